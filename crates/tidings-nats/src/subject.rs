//! Topics as subjects, and back.

use percent_encoding::percent_decode_str;
use tidings::backend::RecordError;
use tidings::{Topic, TopicPattern};

/// The subjects of one log.
#[derive(Debug, Clone)]
pub(crate) struct Subjects {
    prefix: String,
}

/// The purpose of a subject of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Purpose {
    /// Events of a topic.
    Topic(Topic),
    /// Messages of the log itself.
    Own,
}

/// The log's own subjects begin with it, and no topic's.
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

    /// Everything that the stream republishes.
    pub(crate) fn all_live(&self) -> String {
        format!("{}-live.>", self.prefix)
    }

    /// The subject of a topic.
    pub(crate) fn topic(&self, topic: &Topic) -> String {
        format!("{}.{}", self.prefix, escape(topic.as_str()))
    }

    /// The subjects of a pattern: one or two, which may end in a wildcard. A wildcard may cover more than the pattern:
    /// everything with the same complete tokens at the beginning.
    ///
    /// `kitchen.*` is `tidings.kitchen.>`, and `tidings.kitchen%2E` because `*` also matches nothing.
    pub(crate) fn filters(&self, pattern: &TopicPattern) -> Vec<String> {
        if let Some(topic) = pattern.topic() {
            return vec![self.topic(&topic)];
        }
        let begin = pattern.prefix();
        let escaped = escape_begin(begin);
        let tokens = escaped.rfind('.').map_or("", |dot| &escaped[..=dot]);
        let wildcard = format!("{}.{tokens}>", self.prefix);
        // The one matching topic that ends in the last dot, which is then escaped.
        let shortest = Topic::new(begin).ok();
        let shortest = shortest.filter(|topic| tokens == escaped && pattern.matches(topic));
        let shortest = shortest.map(|topic| self.topic(&topic));
        [wildcard].into_iter().chain(shortest).collect()
    }

    /// The subject on which the stream republishes the messages of a subject or wildcard.
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

    /// What nodes tell each other; the stream does not keep it.
    pub(crate) fn signal(&self) -> String {
        format!("{}-signal", self.prefix)
    }

    /// The subject under which the epoch is kept.
    pub(crate) fn epoch(&self) -> String {
        format!("{}-epoch", self.prefix)
    }

    /// The purpose of a subject of the stream.
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
            let cause = format!("`{subject}` is escaped in another way than this log does it");
            return Err(RecordError::new("subject", cause));
        }
        Ok(Purpose::Topic(Topic::new(text)?))
    }
}

/// Whether it may be the prefix of subjects: tokens of letters, digits, `-` and `_`, with dots between.
pub(crate) fn is_prefix(prefix: &str) -> bool {
    let is_token = |token: &str| {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        !token.is_empty() && token.bytes().all(is_plain)
    };
    prefix.split('.').all(is_token)
}

/// Whether a filter matches everything that another one matches.
pub(crate) fn covers(filter: &str, other: &str) -> bool {
    match filter.strip_suffix('>') {
        Some(tokens) => other.len() > tokens.len() && other.starts_with(tokens),
        None => other == filter,
    }
}

/// Escapes, as `%` and two digits, characters that a subject may not have or that have a meaning in it: `%`, `>`, a
/// dot that would end an empty token or the subject, and a `$` at the beginning. Topics contain no `*`, white space or
/// control characters.
fn escape(topic: &str) -> String {
    let mut subject = escape_begin(topic);
    if subject.ends_with('.') {
        subject.pop();
        subject.push_str("%2E");
    }
    subject
}

/// Escapes the beginning of a topic.
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
    fn characters_that_a_subject_cannot_have_are_escaped() {
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
            ("other.orders", "subject `other.orders` is not of this log"),
            ("tidings2.orders", "subject `tidings2.orders` is not of this log"),
            (
                "tidings.100%",
                "subject `tidings.100%` is escaped in another way than this log does it",
            ),
            (
                "tidings.%61",
                "subject `tidings.%61` is escaped in another way than this log does it",
            ),
            ("tidings.%FF", "subject is not UTF-8"),
        ] {
            let error = subjects.purpose(subject).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let long = format!("tidings.{}", "x".repeat(257));
        assert!(subjects.purpose(&long).unwrap_err().to_string().starts_with("topic "));
    }

    #[test]
    fn a_pattern_becomes_a_wildcard_after_its_complete_tokens() {
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

    /// Matches as NATS does: token by token.
    fn matches(filter: &str, subject: &str) -> bool {
        let mut tokens = subject.split('.');
        for expected in filter.split('.') {
            match tokens.next() {
                Some(_) if expected == ">" => return true,
                Some(token) if expected == token => {}
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
        fn every_topic_of_a_pattern_matches_one_of_its_filters(
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
            prop_assert!(filters.iter().any(|filter| matches(filter, &subject)), "{filters:?}");
            let subject = subjects().live(&subject);
            let live = filters.iter().map(|filter| subjects().live(filter));
            prop_assert!(live.into_iter().any(|filter| matches(&filter, &subject)));
        }

        #[test]
        fn a_subject_that_a_covered_filter_matches_matches_the_covering_one(
            one in "[ab]{1,2}(\\.[ab]{1,2}){0,2}(\\.>)?",
            other in "[ab]{1,2}(\\.[ab]{1,2}){0,2}(\\.>)?",
            subject in "[ab]{1,2}(\\.[ab]{1,2}){0,3}",
        ) {
            if covers(&one, &other) && matches(&other, &subject) {
                prop_assert!(matches(&one, &subject));
            }
        }
    }
}
