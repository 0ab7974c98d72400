use std::fmt;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use super::catch_up::{Announce, CatchUp};
use super::history::{self, Beginning, History, Watermark};
use super::snapshot::{Hook, Snapshot};
use super::status::Status;
use super::{Settings, Subscription};
use crate::error::{FieldError, SubscribeError};
use crate::hub::replication::Replication;
use crate::hub::shared::{Present, Shared};
use crate::keep_alive::Pulse;
use crate::log::TopicLog;
use crate::log::feed::Slot;
use crate::registry::Identity;
use crate::resume::{LastEventId, Resume};
use crate::topic::{Topic, TopicPattern};

/// A subscription that is being made: see [`Hub::subscribe`](crate::Hub::subscribe).
///
/// Adapters turn it into a response by themselves; [`Subscribe::open`] gives the stream of bytes.
#[must_use = "a subscription begins when it is opened or turned into a response"]
pub struct Subscribe {
    shared: Arc<Shared>,
    topics: Result<Vec<TopicPattern>, FieldError>,
    identity: Identity,
    last_event_id: Option<LastEventId>,
    history: History,
    snapshot: Option<Hook>,
    settings: Settings,
}

impl Subscribe {
    pub(crate) fn new(shared: Arc<Shared>, topics: Result<Vec<Topic>, FieldError>) -> Self {
        let settings = Settings {
            status: true,
            heartbeat: shared.defaults.heartbeat,
            retry: shared.defaults.retry,
        };
        let topics = topics.map(|topics| topics.into_iter().map(TopicPattern::from).collect());
        Self {
            shared,
            topics,
            identity: Identity::default(),
            last_event_id: None,
            history: History::default(),
            snapshot: None,
            settings,
        }
    }

    /// Adds families of topics: see [`Hub::subscribe_matching`](crate::Hub::subscribe_matching).
    pub fn matching<I>(mut self, patterns: I) -> Self
    where
        I: IntoIterator,
        I::Item: TryInto<TopicPattern>,
        <I::Item as TryInto<TopicPattern>>::Error: Into<FieldError>,
    {
        let patterns = patterns.into_iter().map(|pattern| pattern.try_into().map_err(Into::into));
        self.topics = self.topics.and_then(|topics| {
            topics.into_iter().map(Ok).chain(patterns).collect::<Result<Vec<_>, FieldError>>()
        });
        self
    }

    /// Names the user on whose behalf the client connects, for the registry: what the
    /// application's authentication says, not what the client says.
    pub fn principal(mut self, principal: impl fmt::Display) -> Self {
        self.identity.principal = Some(principal.to_string().into());
        self
    }

    /// Resumes where the request says that the client left off, and notes its address.
    ///
    /// Takes what an adapter's extractor gives, or a [`Resume`].
    pub fn resume(mut self, request: impl Into<Resume>) -> Self {
        let Resume { last_event_id, remote_addr } = request.into();
        self.last_event_id = last_event_id;
        self.identity.remote_addr = remote_addr.or(self.identity.remote_addr);
        self
    }

    /// Sets the address of the other end, for the registry: for instance what a trusted proxy
    /// says of it.
    pub fn remote_addr(mut self, addr: SocketAddr) -> Self {
        self.identity.remote_addr = Some(addr);
        self
    }

    /// Sets what a fresh client gets of what is retained. Default: nothing, it starts live.
    pub fn history(mut self, history: History) -> Self {
        self.history = history;
        self
    }

    /// Sets what a client gets when it is reset, and when it is fresh: the current state, made of
    /// whatever the application has, in place of old events.
    ///
    /// The hub takes its position first, then calls the hook, sends the events that it returns,
    /// and goes on with everything that was published after that position. So a change must be
    /// made *before* it is published; then the state has it, and may have some that follow as
    /// events once more. The events of a snapshot get no ids; a client that is cut off in the
    /// middle of one gets another.
    ///
    /// When the hook fails the stream ends with that error, and the client tries again. A fresh
    /// client for whom [`history`](Self::history) is set gets that instead.
    ///
    /// ```
    /// use tidings::{Event, Hub, Snapshot};
    ///
    /// # fn example(hub: Hub) -> Result<(), tidings::SubscribeError> {
    /// let subscription = hub
    ///     .subscribe(["stock"])
    ///     .snapshot(|| async {
    ///         let level = 17; // from the database
    ///         Ok(Snapshot::new([Event::json("level", &level)?]))
    ///     })
    ///     .open()?;
    /// # Ok(()) }
    /// # example(Hub::new()).unwrap();
    /// ```
    pub fn snapshot<F, Fut>(mut self, hook: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<Snapshot, Box<dyn std::error::Error + Send + Sync>>>
            + Send
            + 'static,
    {
        self.snapshot = Some(Hook::new(hook));
        self
    }

    /// Whether the status event is sent. Default: yes. Without it the client cannot know of a
    /// reset, nor resume before its first event.
    pub fn status(mut self, send: bool) -> Self {
        self.settings.status = send;
        self
    }

    /// How long the stream may be idle before it sends a heartbeat; `None` for never. Default:
    /// the hub's.
    pub fn heartbeat(mut self, interval: impl Into<Option<Duration>>) -> Self {
        self.settings.heartbeat = interval.into();
        self
    }

    /// How long the client is told to wait before it connects again, give or take a fifth; `None`
    /// to leave it to the client. Default: the hub's.
    pub fn retry(mut self, delay: impl Into<Option<Duration>>) -> Self {
        self.settings.retry = delay.into();
        self
    }

    /// Begins the subscription: the client is in the registry from now on, until the returned
    /// stream is dropped, and no event that is published from now on is lost to it.
    ///
    /// # Errors
    ///
    /// When a topic's name is not one, or when there is no topic.
    pub fn open(mut self) -> Result<Subscription, SubscribeError> {
        let topics = std::mem::replace(&mut self.topics, Ok(Vec::new()));
        let mut topics = topics.map_err(SubscribeError::topic)?;
        if topics.is_empty() {
            return Err(SubscribeError::no_topics());
        }
        topics.sort();
        topics.dedup();
        let shared = self.shared.clone();
        // In this order: from here on the topics stay, and what comes after `now` is live.
        let logs = shared.subscribe(&topics);
        let Present { mark: now, epoch, began } = shared.present();
        let past = || shared.topics.past_of(&logs);
        let claim = self.last_event_id.as_ref().map(|id| id.position(&epoch));
        let resumed = claim.map(|position| history::resumed(past(), position, now));
        let (status, history) = match &resumed {
            None => (Status::Fresh, self.history),
            Some(Ok(_)) => (Status::Resumed, History::None),
            Some(Err(reason)) => (Status::Reset(*reason), History::All),
        };
        let catch_up = shared.replication.as_ref().and_then(|replication| {
            self.catch_up(replication, (status, history), claim.flatten(), &logs, (now, began))
        });
        let with_snapshot = self.snapshot.is_some()
            && match status {
                Status::Fresh => history == History::None,
                Status::Resumed | Status::Pending => false,
                Status::Reset(_) => true,
            };
        let beginning = match resumed {
            Some(Ok(beginning)) => beginning,
            _ if catch_up.is_some() => history::live(now),
            _ if with_snapshot || history == History::None => history::live(now),
            _ => history::retained(history, past(), now, shared.clock.now()),
        };
        let Beginning { cursor, position, .. } = beginning;
        let slots = Slot::of(&logs);
        let feed = shared.feeds.of(logs);
        let pulse = Pulse::new(shared.clock.clone(), self.settings.heartbeat);
        let client = shared.registry.enter(feed, self.identity, pulse, position);
        client.pulse.start(&client);
        let mut subscription = Subscription::new(
            shared,
            client,
            cursor,
            slots,
            self.settings.status,
            self.snapshot.map(Box::new),
        );
        let status = if catch_up.is_some() { Status::Pending } else { status };
        let announce = Announce { status, position, epoch };
        subscription.begin(announce, with_snapshot, self.settings.retry);
        subscription.go_to(beginning);
        subscription.catch_up(catch_up);
        Ok(subscription)
    }

    /// What is to be read from the hub's log first: what memory cannot tell.
    fn catch_up(
        &self,
        replication: &Replication,
        (status, history): (Status, History),
        claim: Option<u64>,
        logs: &[Arc<TopicLog>],
        (now, began): (Watermark, u64),
    ) -> Option<Box<CatchUp>> {
        let retained = || Some(CatchUp::retained(history, (&self.shared, logs), began, status));
        // The replica is not where news begins: it has only begun, or does not follow the topics yet.
        let is_unfollowed = || logs.iter().any(|log| log.lock().floor.is_unfollowed());
        let news = match replication.log.is_selective() && is_unfollowed() {
            true => replication.end_of_unfollowed(),
            false => replication.end(),
        };
        let is_behind = now.position < news;
        match (status, claim) {
            (Status::Resumed, _) => None,
            (_, Some(position)) => Some(CatchUp::after(position, began, Some(Status::Resumed))),
            (Status::Fresh, None) if history == History::None => {
                let is_to_wait = is_behind && self.snapshot.is_none();
                is_to_wait.then(|| CatchUp::from_news(news, began))
            }
            (Status::Fresh, None) if is_behind => retained(),
            (Status::Reset(_), None) if self.snapshot.is_some() => None,
            _ if replication.log.is_selective() => retained(),
            _ => None,
        }
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("topics", &self.topics)
            .field("principal", &self.identity.principal)
            .field("last_event_id", &self.last_event_id)
            .field("history", &self.history)
            .finish_non_exhaustive()
    }
}
