use crate::error::{Field, FieldError, FieldErrorKind};
use crate::field::{check_text, parsed_field};

parsed_field! {
    /// The name of a topic. Events are published to topics, and clients subscribe to them.
    ///
    /// A name is 1 to [`Topic::MAX_BYTES`] bytes of UTF-8 without white space, control characters and `*`, which stands for
    /// any run of characters in a [`TopicPattern`]. No other character has a meaning: `orders`, `user:42` and
    /// `sensors/kitchen/temperature` are equally good.
    ///
    /// Cloning shares the text.
    ///
    /// ```
    /// use tidings::Topic;
    ///
    /// let topic = Topic::new("user:42")?;
    /// assert_eq!(topic.as_str(), "user:42");
    /// let error = Topic::new("two words").unwrap_err();
    /// assert_eq!(error.to_string(), "topic contains ' ' at byte 3");
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    ///
    /// A constant is checked when the program is built:
    ///
    /// ```
    /// use tidings::{Event, Hub, Topic};
    ///
    /// const NEWS: Topic = Topic::from_static("news");
    ///
    /// # let hub = Hub::new();
    /// hub.publish(NEWS, Event::new("hello")).wait()?;
    /// # Ok::<(), tidings::error::PublishError>(())
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use tidings::Topic;
    /// const TWO_WORDS: Topic = Topic::from_static("two words");
    /// ```
    Topic,
    check_topic,
    is_topic,
    "a topic is 1 to 256 bytes without white space, control characters and `*`"
}

parsed_field! {
    /// A topic name, or a pattern that matches many: `*` stands for any run of characters, even an empty one.
    ///
    /// Clients subscribe to patterns with [`Hub::subscribe_matching`](crate::Hub::subscribe_matching), and
    /// [retention](crate::Retention) is set by pattern. It has at most [`TopicPattern::MAX_WILDCARDS`] `*`, and is otherwise
    /// the same as a [`Topic`].
    ///
    /// ```
    /// use tidings::{Topic, TopicPattern};
    ///
    /// let pattern = TopicPattern::new("user:*")?;
    /// assert!(pattern.matches(&Topic::new("user:42")?));
    /// assert!(!pattern.matches(&Topic::new("orders")?));
    /// # Ok::<(), tidings::error::FieldError>(())
    /// ```
    ///
    /// ```compile_fail,E0080
    /// # use tidings::TopicPattern;
    /// const NINE: TopicPattern = TopicPattern::from_static("*********");
    /// ```
    TopicPattern,
    check_pattern,
    is_pattern,
    "a topic pattern is 1 to 256 bytes without white space and control characters, with at most 8 `*`"
}

impl Topic {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 256;
}

impl TopicPattern {
    /// The most `*` that a pattern may have: each is work for every event that may match.
    pub const MAX_WILDCARDS: usize = 8;

    /// The same, in memory of its own: as much as the text needs.
    pub(crate) fn to_owned_text(&self) -> Self {
        Self(self.as_str().to_owned().into())
    }

    /// The topic that it names, if it has no `*`.
    #[must_use]
    pub fn topic(&self) -> Option<Topic> {
        (!self.has_wildcard()).then(|| Topic(self.0.clone()))
    }

    /// Whether it has a `*`.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.as_str().contains('*')
    }

    /// The text before the first `*`, with which every matching name begins.
    #[must_use]
    pub fn prefix(&self) -> &str {
        self.as_str().split('*').next().unwrap_or_default()
    }

    /// Whether the pattern matches a topic.
    #[must_use]
    pub fn matches(&self, topic: &Topic) -> bool {
        self.matches_text(topic.as_str())
    }

    /// The work is at most about as much as the two texts are long, times the number of `*`.
    pub(crate) fn matches_text(&self, name: &str) -> bool {
        let mut pieces = self.as_str().split('*');
        let prefix = pieces.next().unwrap_or_default();
        let Some(mut rest) = name.strip_prefix(prefix) else { return false };
        let Some(suffix) = pieces.next_back() else { return rest.is_empty() };
        // The first occurrence of each piece leaves most to the next: no other needs to be tried.
        for piece in pieces {
            let Some((_, after)) = rest.split_once(piece) else { return false };
            rest = after;
        }
        rest.ends_with(suffix)
    }
}

impl From<Topic> for TopicPattern {
    fn from(topic: Topic) -> Self {
        Self(topic.0)
    }
}

impl From<&Topic> for TopicPattern {
    fn from(topic: &Topic) -> Self {
        Self(topic.0.clone())
    }
}

fn check_topic(text: &str) -> Result<(), FieldError> {
    check(Field::Topic, text)
}

fn check_pattern(text: &str) -> Result<(), FieldError> {
    check(Field::TopicPattern, text)?;
    match text.matches('*').count() > TopicPattern::MAX_WILDCARDS {
        true => Err(FieldError::too_many_wildcards(TopicPattern::MAX_WILDCARDS)),
        false => Ok(()),
    }
}

fn check(field: Field, text: &str) -> Result<(), FieldError> {
    check_text(field, text, Topic::MAX_BYTES, |c| match c {
        _ if c.is_whitespace() => Some(FieldErrorKind::WhiteSpace),
        _ if c.is_control() => Some(FieldErrorKind::ForbiddenCharacter),
        '*' if field == Field::Topic => Some(FieldErrorKind::ForbiddenCharacter),
        _ => None,
    })
}

// The same rules for constants. A test compares the two.

const fn is_topic(text: &str) -> bool {
    matches!(stars_of_name(text), Some(0))
}

const fn is_pattern(text: &str) -> bool {
    matches!(stars_of_name(text), Some(0..=TopicPattern::MAX_WILDCARDS))
}

/// The number of `*` in a name; `None` if it is no name for another reason.
const fn stars_of_name(text: &str) -> Option<usize> {
    let bytes = text.as_bytes();
    if bytes.is_empty() || bytes.len() > Topic::MAX_BYTES {
        return None;
    }
    let (mut at, mut stars) = (0, 0);
    while at < bytes.len() {
        let (code, len) = decode(bytes, at);
        match code {
            // Control characters and white space.
            0..=0x20 | 0x7f..=0xa0 | 0x1680 | 0x2000..=0x200a => return None,
            0x2028 | 0x2029 | 0x202f | 0x205f | 0x3000 => return None,
            0x2a => stars += 1,
            _ => {}
        }
        at += len;
    }
    Some(stars)
}

/// The character at this byte of valid UTF-8, and its length.
const fn decode(bytes: &[u8], at: usize) -> (u32, usize) {
    let first = bytes[at] as u32;
    let (mut code, len) = match first {
        0..0x80 => (first, 1),
        0x80..0xe0 => (first & 0x1f, 2),
        0xe0..0xf0 => (first & 0x0f, 3),
        _ => (first & 0x07, 4),
    };
    let mut next = 1;
    while next < len {
        code = code << 6 | bytes[at + next] as u32 & 0x3f;
        next += 1;
    }
    (code, len)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_checked_by_the_same_rules() {
        let of_every_character = (char::MIN..=char::MAX).map(|c| format!("a{c}b"));
        let lengths = ["", "x", "*"].map(str::to_owned).into_iter();
        let lengths = lengths.chain([255, 256, 257].map(|bytes| "x".repeat(bytes)));
        let stars = (0..10).map(|stars| "*a".repeat(stars));
        for text in of_every_character.chain(lengths).chain(stars) {
            assert_eq!(is_topic(&text), check_topic(&text).is_ok(), "{text:?}");
            assert_eq!(is_pattern(&text), check_pattern(&text).is_ok(), "{text:?}");
        }
    }

    #[track_caller]
    fn matches(pattern: &str, topic: &str) -> bool {
        TopicPattern::new(pattern).unwrap().matches(&Topic::new(topic).unwrap())
    }

    #[test]
    fn star_stands_for_any_run_of_characters() {
        assert!(matches("*", "a"));
        assert!(matches("user:*", "user:42"));
        assert!(matches("user:*", "user:"));
        assert!(matches("*:42", "user:42"));
        assert!(matches("a*b*c", "a-b-b-c"));
        assert!(matches("a**c", "abc"));
        assert!(!matches("user:*", "users"));
        assert!(!matches("*:42", "user:421"));
        assert!(!matches("a*b*c", "a-c-b"));
        // Without one, a pattern is one topic.
        assert!(matches("orders", "orders"));
        assert!(!matches("orders", "orders2"));
        assert!(!matches("orders", "order"));
        assert!(!matches("ab*ba", "aba"));
        assert!(matches("*a*a*a*a*a*a*a*", "aaaaaaa"));
        assert!(!matches("*a*a*a*a*a*a*a*", "aaaaaa"));
    }

    #[test]
    fn a_constant_is_used_as_it_is() {
        const TEXT: &str = "news";
        const NEWS: Topic = Topic::from_static(TEXT);
        // What `publish` makes of it has the same text in the same place: nothing was copied.
        for topic in [NEWS, Topic::from(&NEWS), NEWS.clone()] {
            assert!(std::ptr::eq(topic.as_str(), TEXT));
        }
    }

    #[test]
    fn a_pattern_has_at_most_eight_stars() {
        assert!(TopicPattern::new("a*".repeat(8)).is_ok());
        for name in ["a*".repeat(9), "*".repeat(9)] {
            let error = TopicPattern::new(name).unwrap_err();
            assert_eq!(error.kind(), FieldErrorKind::TooManyWildcards);
            assert_eq!(error.to_string(), "topic pattern has more than 8 `*`");
        }
    }

    #[test]
    fn bad_names_say_what_and_where() {
        for (name, kind) in [
            ("", FieldErrorKind::Empty),
            ("two words", FieldErrorKind::WhiteSpace),
            ("a\nb", FieldErrorKind::WhiteSpace),
            ("a\u{7f}", FieldErrorKind::ForbiddenCharacter),
            ("price:*", FieldErrorKind::ForbiddenCharacter),
            ("x".repeat(257).as_str(), FieldErrorKind::TooLong),
        ] {
            let error = Topic::new(name).unwrap_err();
            assert_eq!(error.kind(), kind, "{name:?}");
            assert!(error.to_string().starts_with("topic "), "{error}");
        }
    }

    #[test]
    fn names_of_any_script_and_256_bytes_are_good() {
        assert!(Topic::new("x".repeat(256)).is_ok());
        assert!(Topic::new("température/cuisine").is_ok());
    }
}
