//! Topics as subjects, and back.

use percent_encoding::percent_decode_str;
use tidings::backend::RecordError;
use tidings::{Topic, TopicPattern};

/// The subjects of one log.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    prefix: String,
}

/// What a subject of the stream is for.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Events of a topic.
    Topic(Topic),
    /// The log's own.
    Own,
}

/// No topic's subject begins with it.
const OWN: char = '$';

impl Subjects {
    /// `prefix` was [checked](is_prefix).
    pub(crate) fn new(prefix: String) -> Self {
        Self { prefix }
    }

    /// Everything that the stream keeps.
    pub(crate) fn all(&self) -> String {
        format!("{}.>", self.prefix)
    }

    /// Everything that the stream sends on once it has stored it.
    pub(crate) fn all_live(&self) -> String {
        format!("{}-live.>", self.prefix)
    }

    /// Where events of a topic are published.
    pub(crate) fn topic(&self, topic: &Topic) -> String {
        format!("{}.{}", self.prefix, escape(topic.as_str()))
    }

    /// Where events of a topic or of a family are published: a subject, or two, which may end in a wildcard.
    /// To a wildcard belongs more than the family: whatever has the same complete tokens in front.
    ///
    /// `kitchen.*` is `tidings.kitchen.>`, and `tidings.kitchen%2E`, since `*` may also stand for nothing.
    pub(crate) fn filters(&self, topics: &TopicPattern) -> Vec<String> {
        if let Some(topic) = topics.topic() {
            return vec![self.topic(&topic)];
        }
        let begin = topics.prefix();
        let escaped = escape_begin(begin);
        let tokens = escaped.rfind('.').map_or("", |dot| &escaped[..=dot]);
        let wildcard = format!("{}.{tokens}>", self.prefix);
        // The one topic of the family that has nothing behind its last dot, so that this is written otherwise.
        let shortest = Topic::new(begin).ok();
        let shortest = shortest.filter(|topic| tokens == escaped && topics.matches(topic));
        let shortest = shortest.map(|topic| self.topic(&topic));
        [wildcard].into_iter().chain(shortest).collect()
    }

    /// Where that arrives once it is stored which was published to a subject, or what belongs to a wildcard.
    pub(crate) fn live(&self, filter: &str) -> String {
        let rest = filter.strip_prefix(self.prefix.as_str()).unwrap_or_default();
        format!("{}-live{rest}", self.prefix)
    }

    /// Markers: see [`follower`](crate::follower).
    pub(crate) fn marker(&self) -> String {
        format!("{}.{OWN}sync", self.prefix)
    }

    pub(crate) fn live_marker(&self) -> String {
        format!("{}-live.{OWN}sync", self.prefix)
    }

    /// The stream's first message.
    pub(crate) fn beginning(&self) -> String {
        format!("{}.{OWN}begin", self.prefix)
    }

    /// What nodes say to each other. It is not kept.
    pub(crate) fn signal(&self) -> String {
        format!("{}-signal", self.prefix)
    }

    /// Where the history's epoch is kept.
    pub(crate) fn epoch(&self) -> String {
        format!("{}-epoch", self.prefix)
    }

    /// What a subject of the stream is for.
    pub(crate) fn purpose(&self, subject: &str) -> Result<Purpose, RecordError> {
        let rest = subject.strip_prefix(self.prefix.as_str());
        let rest = rest.and_then(|rest| rest.strip_prefix("-live").or(Some(rest)));
        let Some(name) = rest.and_then(|rest| rest.strip_prefix('.')) else {
            return Err(RecordError::new("subject", format!("`{subject}` is not of this log")));
        };
        if name.starts_with(OWN) {
            return Ok(Purpose::Own);
        }
        let text = percent_decode_str(name)
            .decode_utf8()
            .map_err(|error| RecordError::new("subject", format!("is not UTF-8: {error}")))?;
        // A second spelling of a topic would be a second subject of it.
        if escape(&text) != name {
            let cause = format!("`{subject}` is escaped otherwise than this log does it");
            return Err(RecordError::new("subject", cause));
        }
        Ok(Purpose::Topic(Topic::new(text)?))
    }
}

/// Whether subjects may begin with it: tokens of letters, digits, `-` and `_`, with dots between.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    let is_token = |token: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !token.is_empty() && token.bytes().all(is_plain)
    };
    prefix.split('.').all(is_token)
}

/// Whether all that belongs to a filter belongs to another one, which is a wildcard, or is the same.
pub(crate) fn covers(filter: &str, other: &str) -> bool {
    match filter.strip_suffix('>') {
        Some(tokens) => other.len() > tokens.len() && other.starts_with(tokens),
        None => other == filter,
    }
}

/// Escapes, as `%` and two digits, what a subject may not have or what has a meaning in it: `%`, `>`,
/// a dot that would end an empty token, one at the end, and a `$` in front. `*`, white space and
/// control characters are in no topic.
fn escape(topic: &str) -> String {
    let mut subject = escape_begin(topic);
    if subject.ends_with('.') {
        subject.pop();
        subject.push_str("%2E");
    }
    subject
}

/// Escapes what a topic begins with, if there is more of it.
fn escape_begin(begin: &str) -> String {
    let mut subject = String::with_capacity(begin.len());
    for (at, c) in begin.char_indices() {
        match c {
            '%' => subject.push_str("%25"),
            '>' => subject.push_str("%3E"),
            OWN if at == 0 => subject.push_str("%24"),
            '.' if subject.is_empty() || subject.ends_with('.') => subject.push_str("%2E"),
            c => subject.push(c),
        }
    }
    subject
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn subjects() -> Subjects {
        Subjects::new("tidings".to_owned())
    }

    fn topic(name: &str) -> Topic {
        Topic::new(name).unwrap()
    }

    #[test]
    fn plain_names_stay_readable() {
        for (name, subject) in [
            ("orders", "tidings.orders"),
            ("orders.eu", "tidings.orders.eu"),
            ("user:42", "tidings.user:42"),
            ("sensors/kitchen", "tidings.sensors/kitchen"),
            ("température", "tidings.température"),
            ("a$b", "tidings.a$b"),
        ] {
            assert_eq!(subjects().topic(&topic(name)), subject);
        }
    }

    #[test]
    fn what_a_subject_cannot_have_is_escaped() {
        for (name, escaped) in [
            (".", "%2E"),
            ("..", "%2E%2E"),
            ("a..b", "a.%2Eb"),
            (".a.", "%2Ea%2E"),
            ("a>", "a%3E"),
            ("$sync", "%24sync"),
            ("100%", "100%25"),
        ] {
            assert_eq!(escape(name), escaped);
        }
    }

    #[test]
    fn subjects_that_are_no_topics_are_told_apart() {
        let subjects = subjects();
        for own in [subjects.marker(), subjects.live_marker(), subjects.beginning()] {
            assert_eq!(subjects.purpose(&own), Ok(Purpose::Own));
        }
        for (subject, message) in [
            ("other.orders", "subject: `other.orders` is not of this log"),
            ("tidings2.orders", "subject: `tidings2.orders` is not of this log"),
            ("tidings.100%", "subject: `tidings.100%` is escaped otherwise than this log does it"),
            ("tidings.%61", "subject: `tidings.%61` is escaped otherwise than this log does it"),
            ("tidings.%FF", "subject is not UTF-8"),
        ] {
            let error = subjects.purpose(subject).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let long = format!("tidings.{}", "x".repeat(257));
        assert!(subjects.purpose(&long).unwrap_err().to_string().starts_with("topic: "));
    }

    #[test]
    fn a_family_is_what_has_its_complete_tokens_in_front() {
        for (pattern, filters) in [
            ("orders.eu", &["tidings.orders.eu"][..]),
            ("*", &["tidings.>"]),
            ("user:42:*", &["tidings.>"]),
            ("sensors.kitchen.*", &["tidings.sensors.kitchen.>", "tidings.sensors.kitchen%2E"]),
            ("sensors.kitchen.**", &["tidings.sensors.kitchen.>", "tidings.sensors.kitchen%2E"]),
            ("sensors.kitchen.*.c", &["tidings.sensors.kitchen.>"]),
            ("sensors.kit*", &["tidings.sensors.>"]),
            ("sensors..*", &["tidings.sensors.>"]),
            (".*", &["tidings.>"]),
            ("$a.>b.*", &["tidings.%24a.%3Eb.>", "tidings.%24a.%3Eb%2E"]),
        ] {
            let pattern = TopicPattern::new(pattern).unwrap();
            assert_eq!(subjects().filters(&pattern), filters, "{pattern}");
        }
    }

    #[test]
    fn wildcards_cover_what_is_below_them() {
        for (filter, other) in [
            ("t.a", "t.a"),
            ("t.a.>", "t.a.b"),
            ("t.a.>", "t.a.b.c"),
            ("t.a.>", "t.a.b.>"),
            ("t.a.>", "t.a.>"),
        ] {
            assert!(covers(filter, other), "{filter} {other}");
        }
        for (filter, other) in
            [("t.a", "t.b"), ("t.a.>", "t.a"), ("t.a.>", "t.ab"), ("t.a", "t.a.>")]
        {
            assert!(!covers(filter, other), "{filter} {other}");
        }
    }

    #[test]
    fn prefixes_are_plain_tokens() {
        for prefix in ["tidings", "acme.tidings", "a-b_c.1"] {
            assert!(is_prefix(prefix), "{prefix}");
        }
        for prefix in ["", ".", "a.", "a..b", "a b", "a.*", ">", "$JS"] {
            assert!(!is_prefix(prefix), "{prefix}");
        }
    }

    /// As NATS has it: token by token.
    fn belongs(filter: &str, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for wanted in filter.split('.') {
            match tokens.next() {
                Some(_) if wanted == ">" => return true,
                Some(token) if wanted == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    proptest! {
        #[test]
        fn every_topic_has_a_subject_of_its_own_that_leads_back(name in "[a-c.>$%é2E:/-]{1,12}") {
            let (subjects, topic) = (subjects(), topic(&name));
            let subject = subjects.topic(&topic);
            for subject in [subjects.live(&subject), subject] {
                prop_assert!(subject.split('.').all(|token| !token.is_empty() && token != ">"));
                prop_assert_eq!(subjects.purpose(&subject), Ok(Purpose::Topic(topic.clone())));
            }
        }

        #[test]
        fn any_subject_is_read_or_refused(subject in "tidings(-live)?\\.\\PC{0,12}") {
            if let Ok(Purpose::Topic(topic)) = subjects().purpose(&subject) {
                let published = subjects().topic(&topic);
                prop_assert!([subjects().live(&published), published].contains(&subject));
            }
        }

        #[test]
        fn every_topic_of_a_family_belongs_to_one_of_its_filters(
            parts in prop::collection::vec("[ab.>$%é]{0,3}", 1..4),
            runs in prop::collection::vec("[ab.>$%é]{0,3}", 3),
        ) {
            let pattern = parts.join("*");
            let mut name = parts[0].clone();
            for (part, run) in parts[1..].iter().zip(&runs) {
                name.push_str(run);
                name.push_str(part);
            }
            prop_assume!(!name.is_empty());
            let (pattern, topic) = (TopicPattern::new(pattern).unwrap(), topic(&name));
            prop_assert!(pattern.matches(&topic));
            let (filters, subject) = (subjects().filters(&pattern), subjects().topic(&topic));
            prop_assert!(filters.iter().any(|filter| belongs(filter, &subject)), "{filters:?}");
            let subject = subjects().live(&subject);
            let live = filters.iter().map(|filter| subjects().live(filter));
            prop_assert!(live.into_iter().any(|filter| belongs(&filter, &subject)));
        }

        #[test]
        fn what_is_covered_belongs_to_what_covers_it(
            one in "[ab]{1,2}(\\.[ab]{1,2}){0,2}(\\.>)?",
            other in "[ab]{1,2}(\\.[ab]{1,2}){0,2}(\\.>)?",
            subject in "[ab]{1,2}(\\.[ab]{1,2}){0,3}",
        ) {
            if covers(&one, &other) && belongs(&other, &subject) {
                prop_assert!(belongs(&one, &subject));
            }
        }
    }
}
