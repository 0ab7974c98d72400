//! The query parameters of `/events`, `/publish`, `/history` and `/rendered`.

use std::time::Duration;

use tidings::error::Error;
use tidings::{
    EventHistory, EventKey, Filter, Heartbeat, History as Extent, Hub, IdempotencyKey, Message,
    Resume, Subscribe, Topic, TopicPattern,
};

use crate::attributes::{Attributes, Filters};
use crate::refusal::Refusal;

pub(crate) fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

/// How many retained events are asked for: a number, or `all`.
pub(crate) fn history(value: &str) -> Result<Extent, Refusal> {
    match value {
        "all" => Ok(Extent::All),
        _ => value
            .parse()
            .map(Extent::Last)
            .map_err(|_| Refusal::bad_request("history is neither a number of events nor `all`")),
    }
}

/// The parameters of `/events`.
#[derive(Debug, PartialEq, Eq)]
pub struct Events {
    /// At least one topic or pattern.
    pub topics: Vec<TopicPattern>,
    /// How many retained events a fresh client gets.
    pub history: Extent,
    /// Which events the stream has, if not all. Anyone may choose any filter here, or none.
    pub filter: Option<Filter>,
    /// The user of the stream. Anyone may name any user here; `examples/auth` shows authentication.
    pub principal: Option<String>,
    /// What else the stream counts for.
    pub client_key: Option<String>,
    /// The heartbeat, if it is not the hub's.
    pub heartbeat: Option<Heartbeat>,
    /// When the stream ends, as it would with the user's token.
    pub expires_in: Option<Duration>,
}

impl Events {
    /// Parses `topic=a&topic=b:*&history=20&filter.role=admin&principal=ada&client_key=phone&heartbeat=ping&expires_in=900`;
    /// other parameters are ignored.
    ///
    /// # Errors
    ///
    /// When there is no topic, or a value is invalid: a sentence that says what to change.
    pub fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut topics = Vec::new();
        let mut history = Extent::None;
        let mut filters = Filters::default();
        let mut principal = None;
        let mut client_key = None;
        let mut heartbeat = None;
        let mut expires_in = None;
        for (name, value) in pairs(query) {
            match name.as_str() {
                "topic" => topics.push(TopicPattern::new(value).map_err(Refusal::bad_request)?),
                "principal" => principal = Some(value).filter(|value| !value.is_empty()),
                "client_key" => client_key = Some(value).filter(|value| !value.is_empty()),
                "heartbeat" => {
                    heartbeat = Some(Heartbeat::try_event(value).map_err(Refusal::bad_request)?);
                }
                "history" => history = self::history(&value)?,
                "expires_in" => {
                    expires_in = Some(value.parse().map(Duration::from_secs).map_err(|_| {
                        Refusal::bad_request("expires_in is not a number of seconds")
                    })?);
                }
                name => {
                    if let Some(name) = name.strip_prefix("filter.") {
                        filters.add(name, value)?;
                    }
                }
            }
        }
        if topics.is_empty() {
            return Err(no_topic("/events"));
        }
        let filter = filters.filter()?;
        Ok(Self { topics, history, filter, principal, client_key, heartbeat, expires_in })
    }

    /// Subscribes to what the parameters ask for. An application that is not public would choose the topics itself, and accept
    /// no patterns from clients.
    pub fn subscribe(self, hub: &Hub, request: &Resume) -> Subscribe {
        let subscribe = request.subscribe_matching(hub, self.topics).history(self.history);
        let subscribe = match self.filter {
            Some(filter) => subscribe.filter(filter),
            None => subscribe,
        };
        let subscribe = match self.heartbeat {
            Some(heartbeat) => subscribe.heartbeat(heartbeat),
            None => subscribe,
        };
        let subscribe = match self.client_key {
            Some(key) => subscribe.client_key(key),
            None => subscribe,
        };
        let subscribe = match self.expires_in {
            Some(after) => subscribe.expires_in(after),
            None => subscribe,
        };
        match self.principal {
            Some(principal) => subscribe.principal(principal),
            None => subscribe,
        }
    }
}

fn no_topic(path: &str) -> Refusal {
    Refusal::bad_request(format!(
        "topic is missing; add at least one to the URL, such as {path}?topic=news"
    ))
}

/// The parameters of `/history` and `/rendered`.
#[derive(Debug, PartialEq, Eq)]
pub struct History {
    /// At least one topic or pattern.
    pub topics: Vec<TopicPattern>,
    /// How many of the newest events, of all topics together.
    pub last: usize,
}

impl History {
    /// So many events if the request does not say.
    const DEFAULT: usize = 20;
    const MOST: usize = 100;
    /// Each may have a megabyte, and an answer is kept for as long as its client reads it.
    const MOST_BYTES: usize = 1024 * 1024;

    /// Parses `topic=a&topic=b:*&last=20`; other parameters are ignored.
    ///
    /// # Errors
    ///
    /// When there is no topic, or a value is invalid: a sentence that says what to change.
    pub fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut topics = Vec::new();
        let mut last = Self::DEFAULT;
        for (name, value) in pairs(query) {
            match name.as_str() {
                "topic" => topics.push(TopicPattern::new(value).map_err(Refusal::bad_request)?),
                "last" => {
                    let number = value.parse().ok().filter(|last| *last <= Self::MOST);
                    last = number.ok_or_else(|| {
                        Refusal::bad_request(format!(
                            "last is not a number of events up to {}",
                            Self::MOST
                        ))
                    })?;
                }
                _ => {}
            }
        }
        if topics.is_empty() {
            return Err(no_topic("/history"));
        }
        Ok(Self { topics, last })
    }

    /// The parameters of the stream that goes on where the history ends.
    pub fn stream(&self) -> String {
        let topics = self.topics.iter().map(|topic| ("topic", topic.as_str()));
        form_urlencoded::Serializer::new(String::new()).extend_pairs(topics).finish()
    }

    /// Reads the events: fewer of them if their data has more than a megabyte.
    ///
    /// # Errors
    ///
    /// When there are too many topics, and when the hub's log does not answer.
    pub async fn read(self, hub: &Hub) -> Result<EventHistory, Refusal> {
        let history = hub.history_matching(self.topics, Extent::Last(self.last)).await;
        let mut history = history.map_err(|error| {
            let response = Error::from(error).response();
            Refusal { status: response.status, reason: response.body }
        })?;
        let mut bytes = 0;
        let has_room = |event: &&Message| {
            bytes += event.event().len() + event.data().len();
            bytes <= Self::MOST_BYTES
        };
        let newest = history.events.iter().rev().take_while(has_room).count();
        history.events.drain(..history.events.len() - newest);
        Ok(history)
    }
}

/// The names of the events that a page listens to: `event=tick&event=done`, and `message`.
pub fn listened_to(query: Option<&str>) -> Vec<String> {
    let given = pairs(query).filter(|(name, _)| name == "event").map(|(_, value)| value);
    std::iter::once("message".to_owned()).chain(given.filter(|name| !name.is_empty())).collect()
}

/// The parameters of `/publish`.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish {
    /// The topic.
    pub topic: Topic,
    /// The event's name, not validated.
    pub event: Option<String>,
    /// The event's attributes.
    pub attributes: Attributes,
    /// The key of this publication, so that it can be retried.
    pub key: Option<IdempotencyKey>,
    /// On whose behalf it is published. Anyone may name anybody here.
    pub source: Option<String>,
    /// What the event is the newest value of.
    pub event_key: Option<EventKey>,
    /// The key that the event takes away.
    pub remove_key: Option<EventKey>,
}

impl Publish {
    /// Parses `topic=a&event=price&key=order-17&source=ada&attr.role=admin&event_key=EUR`, or `remove_key=EUR` in place of
    /// that; other parameters are ignored.
    ///
    /// # Errors
    ///
    /// When there is not exactly one topic and at most one of each of the others, when a key is both set and removed, or when
    /// one of them is invalid.
    pub fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut topic = None;
        let mut event = None;
        let mut key = None;
        let mut source = None;
        let mut attributes = Attributes::default();
        let mut event_key = None;
        let mut remove_key = None;
        for (name, value) in pairs(query) {
            if let Some(name) = name.strip_prefix("attr.") {
                attributes.add(name, value)?;
                continue;
            }
            let before = match name.as_str() {
                "topic" => topic.replace(value),
                "event" => event.replace(value),
                "key" => key.replace(value),
                "source" => source.replace(value),
                "event_key" => event_key.replace(value),
                "remove_key" => remove_key.replace(value),
                _ => None,
            };
            if before.is_some() {
                return Err(Refusal::bad_request(format!("{name} is given more than once")));
            }
        }
        let topic = topic.ok_or_else(|| {
            Refusal::bad_request(
                "topic is missing; add one to the URL, such as /publish?topic=news",
            )
        })?;
        let topic = Topic::new(topic).map_err(Refusal::bad_request)?;
        let key = key.map(IdempotencyKey::new).transpose().map_err(Refusal::bad_request)?;
        if event_key.is_some() && remove_key.is_some() {
            return Err(Refusal::bad_request("event_key and remove_key exclude each other"));
        }
        let parse = |key: Option<String>| key.map(EventKey::new).transpose();
        let event_key = parse(event_key).map_err(Refusal::bad_request)?;
        let remove_key = parse(remove_key).map_err(Refusal::bad_request)?;
        let event = event.filter(|event| !event.is_empty());
        Ok(Self { topic, event, attributes, key, source, event_key, remove_key })
    }
}

#[cfg(test)]
mod tests {
    use tidings::Event;
    use tokio::time::timeout;

    use super::*;

    #[test]
    fn a_stream_has_any_number_of_topics() {
        let events = Events::parse(Some("topic=a&x=y&topic=b%2F*&history=20")).unwrap();
        assert_eq!(events.topics, ["a", "b/*"].map(|topic| TopicPattern::new(topic).unwrap()));
        assert_eq!((events.history, events.principal), (Extent::Last(20), None));
        assert_eq!(Events::parse(Some("topic=a&history=all")).unwrap().history, Extent::All);
    }

    #[test]
    fn a_history_is_of_topics_and_has_a_bound() {
        let history = History::parse(Some("topic=a&topic=b%2F*&last=100&x=y")).unwrap();
        assert_eq!((history.last, &*history.stream()), (100, "topic=a&topic=b%2F*"));
        assert_eq!(History::parse(Some("topic=a")).unwrap().last, 20);
        for (query, reason) in [
            (None, "topic is missing; add at least one to the URL, such as /history?topic=news"),
            (Some("topic=a&last=101"), "last is not a number of events up to 100"),
            (Some("topic=a&last=-1"), "last is not a number of events up to 100"),
            (Some("topic=a&last=all"), "last is not a number of events up to 100"),
            (Some("topic=two+words"), "topic pattern contains ' ' at byte 3"),
        ] {
            assert_eq!(History::parse(query), Err(Refusal::bad_request(reason)));
        }
        assert_eq!(listened_to(Some("event=a+b&event=&topic=a&event=c")), ["message", "a b", "c"]);
    }

    #[tokio::test]
    async fn a_history_has_the_newest_events_up_to_a_megabyte() {
        let hub = Hub::new();
        for topic in ["a", "b", "c"] {
            let event = Event::new(topic.repeat(400_000));
            hub.publish(topic, event).await.unwrap();
        }
        let history = History::parse(Some("topic=a&topic=b&topic=c")).unwrap().read(&hub);
        let history = timeout(Duration::from_secs(10), history).await.unwrap().unwrap();
        let events: Vec<_> = history.events.iter().map(|event| &event.data()[..1]).collect();
        assert_eq!((events, history.position), (vec!["b", "c"], hub.position()));
    }

    #[test]
    fn attributes_and_filters_say_what_their_values_are() {
        let query = "topic=a&attr.role=admin&attr.severity:int=3&attr.draft:bool=true&attr.zip=007";
        let event = Publish::parse(Some(query)).unwrap().attributes.of(Event::new("x"));
        for (query, matches) in [
            ("filter.role=admin", true),
            ("filter.role=editor", false),
            ("filter.role=editor&filter.role=admin", true),
            ("filter.role=admin&filter.zip=7", false),
            ("filter.role=admin&filter.zip=007", true),
            ("filter.severity:int=3", true),
            ("filter.severity=3", false),
            ("filter.severity:min=3&filter.severity:max=3", true),
            ("filter.severity:min=4", false),
            ("filter.draft:bool=true", true),
            ("filter.draft:bool=false", false),
        ] {
            let events = Events::parse(Some(&format!("topic=a&{query}"))).unwrap();
            assert_eq!(events.filter.unwrap().matches(&event), matches, "{query}");
        }
        assert_eq!(Events::parse(Some("topic=a")).unwrap().filter, None);
    }

    #[test]
    fn invalid_requests_get_a_sentence() {
        for (query, reason) in [
            (None, "topic is missing; add at least one to the URL, such as /events?topic=news"),
            (Some("topic=two+words"), "topic pattern contains ' ' at byte 3"),
            (Some("topic="), "topic pattern is empty"),
            (
                Some("topic=a&heartbeat=tidings:x"),
                "event name is reserved: names that begin with `tidings:` belong to the hub",
            ),
            (Some("topic=a&history=x"), "history is neither a number of events nor `all`"),
            (Some("topic=a&filter.a+b=x"), "attribute name contains ' ' at byte 1"),
            (Some("topic=a&filter.a:min=x"), "attribute a is not a whole number"),
            (
                Some("topic=a&filter.a:text=x"),
                "attribute a has an unknown kind; there are `:int` and `:bool`, and `:min` and `:max` in filters",
            ),
            (Some("topic=a&expires_in=soon"), "expires_in is not a number of seconds"),
        ] {
            assert_eq!(Events::parse(query), Err(Refusal::bad_request(reason)));
        }
        for (query, reason) in [
            (None, "topic is missing; add one to the URL, such as /publish?topic=news"),
            (Some("topic=a&topic=b"), "topic is given more than once"),
            (Some("topic=*"), "topic contains '*' at byte 0"),
            (Some("topic=a&key="), "idempotency key is empty"),
            (Some("topic=a&key=x&key=x"), "key is given more than once"),
            (Some("topic=a&attr.a=x&attr.a:int=1"), "attribute a is given more than once"),
            (Some("topic=a&attr.a:bool=yes"), "attribute a is neither `true` nor `false`"),
            (Some("topic=a&event_key="), "event key is empty"),
            (
                Some("topic=a&event_key=x&remove_key=x"),
                "event_key and remove_key exclude each other",
            ),
        ] {
            assert_eq!(Publish::parse(query), Err(Refusal::bad_request(reason)));
        }
    }
}
