//! The names of what a log has in Redis.

use tidings::IdempotencyKey;

/// The keys of a log. All share a hash tag, so that one node of a cluster has them all and one script may
/// touch several.
#[derive(Debug, Clone)]
pub(crate) struct Keys {
    /// The stream.
    pub(crate) stream: String,
    /// The channel for signals. Channels are the same in all databases of a server, so it names the database.
    pub(crate) signals: String,
    /// The topics that are finished, with the ids of their last events.
    pub(crate) ends: String,
    /// The same topics, by the times of those.
    pub(crate) ends_by_time: String,
    once: String,
}

impl Keys {
    pub(crate) fn new(name: &str, database: i64) -> Self {
        let key = |what| format!("{{{name}}}:{what}");
        let signals = key("signal");
        Self {
            stream: key("log"),
            signals: if database == 0 { signals } else { format!("{signals}:{database}") },
            ends: key("ends"),
            ends_by_time: key("ends-by-time"),
            once: key("once"),
        }
    }

    /// What remembers the event that was published under an idempotency key.
    pub(crate) fn once(&self, key: &IdempotencyKey) -> String {
        format!("{}:{key}", self.once)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_share_a_hash_tag() {
        let keys = Keys::new("shop", 0);
        assert_eq!(keys.stream, "{shop}:log");
        assert_eq!(keys.once(&IdempotencyKey::new("a").unwrap()), "{shop}:once:a");
        assert_eq!(keys.signals, "{shop}:signal");
        assert_eq!(Keys::new("shop", 5).signals, "{shop}:signal:5");
    }
}
