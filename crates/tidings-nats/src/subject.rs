//! Topics as subjects, and back.

use percent_encoding::percent_decode_str;
use tidings::Topic;
use tidings::backend::RecordError;

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

    /// Where events of a topic arrive once they are stored.
    pub(crate) fn live(&self, topic: &Topic) -> String {
        format!("{}-live.{}", self.prefix, escape(topic.as_str()))
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

/// Escapes, as `%` and two digits, what a subject may not have or what has a meaning in it: `%`, `>`,
/// a dot that would end an empty token, one at the end, and a `$` in front. `*`, white space and
/// control characters are in no topic.
fn escape(topic: &str) -> String {
    let mut subject = String::with_capacity(topic.len());
    for (at, c) in topic.char_indices() {
        let is_last = at + c.len_utf8() == topic.len();
        match c {
            '%' => subject.push_str("%25"),
            '>' => subject.push_str("%3E"),
            OWN if at == 0 => subject.push_str("%24"),
            '.' if is_last || subject.is_empty() || subject.ends_with('.') => {
                subject.push_str("%2E");
            }
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
            ("tidings.%FF", "subject: is not UTF-8"),
        ] {
            let error = subjects.purpose(subject).unwrap_err().to_string();
            assert!(error.starts_with(message), "{error}");
        }
        let long = format!("tidings.{}", "x".repeat(257));
        assert!(subjects.purpose(&long).unwrap_err().to_string().starts_with("topic: "));
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

    proptest! {
        #[test]
        fn every_topic_has_a_subject_of_its_own_that_leads_back(name in "[a-c.>$%é2E:/-]{1,12}") {
            let (subjects, topic) = (subjects(), topic(&name));
            for subject in [subjects.topic(&topic), subjects.live(&topic)] {
                prop_assert!(subject.split('.').all(|token| !token.is_empty() && token != ">"));
                prop_assert_eq!(subjects.purpose(&subject), Ok(Purpose::Topic(topic.clone())));
            }
        }

        #[test]
        fn any_subject_is_read_or_refused(subject in "tidings(-live)?\\.\\PC{0,12}") {
            if let Ok(Purpose::Topic(topic)) = subjects().purpose(&subject) {
                prop_assert!([subjects().topic(&topic), subjects().live(&topic)].contains(&subject));
            }
        }
    }
}
