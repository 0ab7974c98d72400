//! The names of what a log has in Redis.

use tidings::IdempotencyKey;
use tidings::backend::Append;

/// How the keys of a log are called: all have its name, and those that one command touches share a
/// hash tag, so that they are on one node of a cluster.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// For each part of the log, its hash tag.
    tags: Vec<String>,
}

impl Keys {
    pub(crate) fn new(name: &str, count: usize) -> Self {
        let tag = |index| match index {
            0 => format!("{{{name}}}"),
            _ => format!("{{{name}:{index}}}"),
        };
        Self { tags: (0..count).map(tag).collect() }
    }

    pub(crate) fn count(&self) -> usize {
        self.tags.len()
    }

    /// The stream of this index.
    pub(crate) fn stream(&self, index: usize) -> String {
        format!("{}:log", self.tags[index])
    }

    /// What remembers the event with this idempotency key, beside the stream of this index.
    pub(crate) fn once(&self, index: usize, key: &IdempotencyKey) -> String {
        format!("{}:once:{key}", self.tags[index])
    }

    /// The channel for signals.
    pub(crate) fn signals(&self) -> String {
        format!("{}:signal", self.tags[0])
    }

    /// The stream that an event goes to: CRC-32, which every language has, modulo the number of keys.
    /// It is taken of the topic's name, or of the idempotency key: that holds for the whole hub, so
    /// whoever uses it again has to come to the same stream, whatever the topic.
    pub(crate) fn index_of(&self, append: &Append) -> usize {
        let text = append.key.as_ref().map_or(append.topic.as_str(), IdempotencyKey::as_str);
        match self.count() {
            1 => 0,
            count => crc32fast::hash(text.as_bytes()) as usize % count,
        }
    }
}

#[cfg(test)]
mod tests {
    use tidings::{Event, Topic};

    use super::*;

    #[test]
    fn names_share_a_hash_tag() {
        let keys = Keys::new("shop", 2);
        assert_eq!(keys.stream(0), "{shop}:log");
        assert_eq!(keys.stream(1), "{shop:1}:log");
        assert_eq!(keys.once(1, &IdempotencyKey::new("a").unwrap()), "{shop:1}:once:a");
        assert_eq!(keys.signals(), "{shop}:signal");
    }

    #[test]
    fn a_topic_is_on_the_key_that_others_compute() {
        // python3 -c 'import zlib; print(zlib.crc32(b"orders") % 3)'
        let keys = Keys::new("shop", 3);
        let index = |keys: &Keys, topic: &str, key: Option<&str>| {
            keys.index_of(&Append {
                topic: Topic::new(topic).unwrap(),
                event: Event::new("x"),
                key: key.map(|key| IdempotencyKey::new(key).unwrap()),
            })
        };
        let indices = ["orders", "news", "chat/1"].map(|topic| index(&keys, topic, None));
        assert_eq!(indices, [2, 2, 1]);
        for topic in ["a", "b", "c"] {
            assert_eq!(index(&keys, topic, Some("news")), indices[1]);
        }
        assert_eq!(index(&Keys::new("shop", 1), "orders", None), 0);
    }
}
