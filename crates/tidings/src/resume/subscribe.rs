use super::Resume;
use crate::hub::Hub;
use crate::into_topics::IntoTopics;
use crate::subscription::subscribe::Subscribe;
use crate::topic::TopicPattern;

/// How a handler subscribes its client.
impl Resume {
    /// Subscribes the client to topics: [`Hub::subscribe`] with [`resume`](Subscribe::resume), which a handler must not
    /// forget. Without it, every reconnect is a fresh client that misses what was published meanwhile.
    ///
    /// ```
    /// use tidings::{Hub, Resume};
    ///
    /// # fn handler(hub: &Hub, user_id: u64, request: Resume) -> Result<(), tidings::error::SubscribeError> {
    /// let topics = ("orders", format!("user:{user_id}"));
    /// let subscription = request.subscribe(hub, topics).principal(user_id).open()?;
    /// # Ok(()) }
    /// # handler(&Hub::new(), 1, Resume::new()).unwrap();
    /// ```
    pub fn subscribe<K>(&self, hub: &Hub, topics: impl IntoTopics<K>) -> Subscribe {
        hub.subscribe(topics).resume(self.clone())
    }

    /// Subscribes the client to patterns: [`Hub::subscribe_matching`] with [`resume`](Subscribe::resume).
    pub fn subscribe_matching<K>(
        &self,
        hub: &Hub,
        patterns: impl IntoTopics<K, TopicPattern>,
    ) -> Subscribe {
        hub.subscribe_matching(patterns).resume(self.clone())
    }
}
