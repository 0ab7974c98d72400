use std::sync::Arc;

use crate::client::{Client, ClientInfo};
use crate::client_handle;
use crate::client_id::ClientId;
use crate::cluster::signal::Question;
use crate::hub::shared::Shared;
use crate::registry::Registry;
use crate::subscription::history::History;
use crate::topic::{Topic, TopicPattern};

/// The clients of a hub: lists them, and ends their streams. See [`Hub::clients`](crate::Hub::clients).
///
/// A client is listed from [`Subscribe::open`](crate::Subscribe::open) until its response is dropped. Servers drop
/// it when the connection ends, whether it was polled or not.
///
/// Closing ends the stream at once: what was published and not yet sent is left out, and comes when the client
/// resumes. A browser's EventSource connects again without being asked, so a client that must stay out has to be
/// refused at its next request. That refusal must be in force *before* the streams are closed. A handler that
/// authenticates first and subscribes later should check again after subscribing
/// ([`Subscribe::open`](crate::Subscribe::open), check, respond): otherwise a request that was on its way at that
/// moment slips through.
#[derive(Debug)]
pub struct Clients<'a> {
    shared: &'a Shared,
}

impl<'a> Clients<'a> {
    pub(crate) fn new(shared: &'a Shared) -> Self {
        Self { shared }
    }

    fn registry(&self) -> &Registry {
        &self.shared.registry
    }

    fn infos(&self, clients: Vec<Arc<Client>>) -> Vec<ClientInfo> {
        let epoch = self.shared.epoch();
        clients.iter().map(|client| client.info(&epoch)).collect()
    }

    /// The number of open streams.
    pub fn count(&self) -> usize {
        self.registry().count()
    }

    /// The number of open streams that are subscribed to a topic, by its name or by a pattern. A stream that is
    /// subscribed in several ways is counted once for each.
    pub fn count_of_topic(&self, topic: &Topic) -> usize {
        self.shared.journal.lock().topics.subscribers_of(topic)
    }

    /// The number of open streams of a principal.
    pub fn count_of_principal(&self, principal: &str) -> usize {
        self.registry().count_of_principal(principal)
    }

    /// Every topic that has retained events or subscribers by its name, with the number of these subscribers,
    /// sorted by name.
    pub fn topics(&self) -> Vec<(Topic, usize)> {
        let mut topics = Vec::new();
        self.shared.for_each_topic("", |log| {
            topics.extend(log.name.topic().map(|topic| (topic, log.lock().all_subscribers())));
        });
        topics
    }

    /// Every pattern that has subscribers, with their number, sorted.
    pub fn patterns(&self) -> Vec<(TopicPattern, usize)> {
        let logs = self.shared.journal.lock().topics.patterns();
        let patterns = logs.iter().map(|log| (log.name.clone(), log.lock().all_subscribers()));
        // The hub may read some itself.
        let mut patterns: Vec<_> = patterns.filter(|(_, subscribers)| *subscribers > 0).collect();
        patterns.sort();
        patterns
    }

    /// All open streams, in the order in which they connected.
    pub fn list(&self) -> Vec<ClientInfo> {
        let mut clients = self.registry().select(|_| true);
        clients.sort_by_key(|client| (client.connected_at, client.id));
        self.infos(clients)
    }

    /// The open streams of a principal.
    pub fn of_principal(&self, principal: &str) -> Vec<ClientInfo> {
        self.infos(self.registry().of_principal(principal))
    }

    /// One open stream.
    pub fn get(&self, id: ClientId) -> Option<ClientInfo> {
        self.registry().get(id).map(|client| client.info(&self.shared.epoch()))
    }

    /// How many events the topics of an open stream have that were not handed to its transport yet: 0 for a client that
    /// reads as fast as events come. An event that comes by several of its names is counted for each; what is read back from
    /// the hub's log, what its topics have lost, and ephemeral events are not. This looks at each of its topics.
    ///
    /// ```
    /// use tidings::{Event, Hub};
    ///
    /// let hub = Hub::new();
    /// let stream = hub.subscribe("news").open()?;
    /// hub.publish("news", Event::new("hello")).wait()?;
    /// assert_eq!(hub.clients().lag(stream.client_id()), Some(1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn lag(&self, id: ClientId) -> Option<usize> {
        self.registry().get(id).map(|client| client.lag())
    }

    /// Ends one stream. Returns whether there was one.
    pub fn close(&self, id: ClientId) -> bool {
        let client = self.registry().get(id);
        client.inspect(|client| client.close()).is_some()
    }

    /// Ends all streams of a principal. Returns how many there were.
    pub fn close_principal(&self, principal: &str) -> usize {
        let clients = self.registry().of_principal(principal);
        clients.iter().for_each(|client| client.close());
        clients.len()
    }

    /// What this node answers to another one's question, or does about it.
    pub(crate) fn answer(&self, question: &Question) -> usize {
        match question {
            Question::CountOfTopic(topic) => {
                Topic::new(topic).map_or(0, |topic| self.count_of_topic(&topic))
            }
            Question::CountOfPrincipal(principal) => self.count_of_principal(principal),
            Question::Close(id) => {
                let id = id.parse::<ClientId>().ok();
                usize::from(id.is_some_and(|id| self.close(id)))
            }
            Question::ClosePrincipal(principal) => self.close_principal(principal),
            Question::Streams { of, name, newer_than } => {
                let newer_than = newer_than.as_ref().map(|(at, id)| (*at, id.parse().ok()));
                self.registry().count_of(*of, name, newer_than)
            }
            Question::Opened { of, name } => {
                self.shared.review_oldest(*of, name);
                0
            }
            Question::Subscribe { client, names, after } => {
                let from = (History::None, after.as_bytes());
                let add = |id| client_handle::add(self.shared, id, Ok(names.clone()), from);
                // A node that refuses it has not done it.
                usize::from(client.parse().is_ok_and(|id| add(id).unwrap_or(false)))
            }
            Question::Unsubscribe { client, names } => {
                let remove = |id| client_handle::remove(self.shared, id, Ok(names.clone()));
                usize::from(client.parse().is_ok_and(|id| remove(id).unwrap_or(false)))
            }
        }
    }
}
