//! The name of a history, as it is written in Redis.

use tidings::backend::Epoch;

/// How the group is called that names a stream's history.
pub(crate) const PREFIX: &str = "tidings:";

/// A consumer group of the stream, `tidings:<keys>:<epoch>`, that nobody reads by. It lives and dies
/// with the stream, in memory, in snapshots and on replicas, so that a stream which was wiped cannot
/// pass for the one before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tag {
    /// Over how many keys the log is spread.
    pub(crate) keys: usize,
    pub(crate) epoch: Epoch,
    text: String,
}

impl Tag {
    fn new(keys: usize, epoch: Epoch) -> Self {
        let text = format!("{PREFIX}{keys}:{epoch}");
        Self { keys, epoch, text }
    }

    /// For a new history.
    pub(crate) fn random(keys: usize) -> Self {
        Self::new(keys, Epoch::random())
    }

    pub(crate) fn parse(text: &str) -> Option<Self> {
        let (keys, epoch) = text.strip_prefix(PREFIX)?.split_once(':')?;
        Some(Self::new(keys.parse().ok()?, Epoch::new(epoch).ok()?))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_read_as_it_was_written() {
        let tag = Tag::random(3);
        assert_eq!(Tag::parse(tag.as_str()), Some(tag));
        for text in ["", "tidings:", "tidings:1", "tidings:x:e", "tidings:1:a b", "others:1:e"] {
            assert_eq!(Tag::parse(text), None, "{text}");
        }
    }
}
