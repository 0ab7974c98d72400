//! The query parameters of `/events` and `/publish`.

use tidings::{
    EventKey, Heartbeat, History, Hub, IdempotencyKey, Resume, Subscribe, Topic, TopicPattern,
};

use crate::refusal::Refusal;

fn pairs(query: Option<&str>) -> impl Iterator<Item = (String, String)> {
    form_urlencoded::parse(query.unwrap_or_default().as_bytes()).into_owned()
}

/// The parameters of `/events`.
#[derive(Debug, PartialEq, Eq)]
pub struct Events {
    /// At least one topic or pattern.
    pub topics: Vec<TopicPattern>,
    /// How many retained events a fresh client gets.
    pub history: History,
    /// The user of the stream. Anyone may name any user here; `examples/auth` shows authentication.
    pub principal: Option<String>,
    /// The heartbeat, if it is not the hub's.
    pub heartbeat: Option<Heartbeat>,
}

impl Events {
    /// Parses `topic=a&topic=b:*&history=20&principal=ada&heartbeat=ping`; other parameters are ignored.
    ///
    /// # Errors
    ///
    /// When there is no topic, or a value is invalid: a sentence that says what to change.
    pub fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut topics = Vec::new();
        let mut history = History::None;
        let mut principal = None;
        let mut heartbeat = None;
        for (name, value) in pairs(query) {
            match name.as_str() {
                "topic" => topics.push(TopicPattern::new(value).map_err(Refusal::bad_request)?),
                "principal" => principal = Some(value).filter(|value| !value.is_empty()),
                "heartbeat" => {
                    heartbeat = Some(Heartbeat::try_event(value).map_err(Refusal::bad_request)?);
                }
                "history" if value == "all" => history = History::All,
                "history" => {
                    history = value.parse().map(History::Last).map_err(|_| {
                        Refusal::bad_request("history is neither a number of events nor `all`")
                    })?;
                }
                _ => {}
            }
        }
        if topics.is_empty() {
            return Err(Refusal::bad_request(
                "topic is missing; add at least one to the URL, such as /events?topic=news",
            ));
        }
        Ok(Self { topics, history, principal, heartbeat })
    }

    /// Subscribes to what the parameters ask for. An application that is not public would choose the topics itself, and accept
    /// no patterns from clients.
    pub fn subscribe(self, hub: &Hub, request: &Resume) -> Subscribe {
        let subscribe = request.subscribe_matching(hub, self.topics).history(self.history);
        let subscribe = match self.heartbeat {
            Some(heartbeat) => subscribe.heartbeat(heartbeat),
            None => subscribe,
        };
        match self.principal {
            Some(principal) => subscribe.principal(principal),
            None => subscribe,
        }
    }
}

/// The parameters of `/publish`.
#[derive(Debug, PartialEq, Eq)]
pub struct Publish {
    /// The topic.
    pub topic: Topic,
    /// The event's name, not validated.
    pub event: Option<String>,
    /// The key of this publication, so that it can be retried.
    pub key: Option<IdempotencyKey>,
    /// What the event is the newest value of.
    pub event_key: Option<EventKey>,
    /// The key that the event takes away.
    pub remove_key: Option<EventKey>,
}

impl Publish {
    /// Parses `topic=a&event=price&key=order-17&event_key=EUR`, or `remove_key=EUR`; other parameters are ignored.
    ///
    /// # Errors
    ///
    /// When there is not exactly one topic and at most one of each of the others, when a key is both set and removed, or when
    /// one of them is invalid.
    pub fn parse(query: Option<&str>) -> Result<Self, Refusal> {
        let mut topic = None;
        let mut event = None;
        let mut key = None;
        let mut event_key = None;
        let mut remove_key = None;
        for (name, value) in pairs(query) {
            let before = match name.as_str() {
                "topic" => topic.replace(value),
                "event" => event.replace(value),
                "key" => key.replace(value),
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
        Ok(Self { topic, event, key, event_key, remove_key })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stream_has_any_number_of_topics() {
        let events = Events::parse(Some("topic=a&x=y&topic=b%2F*&history=20")).unwrap();
        assert_eq!(events.topics, ["a", "b/*"].map(|topic| TopicPattern::new(topic).unwrap()));
        assert_eq!((events.history, events.principal), (History::Last(20), None));
        assert_eq!(Events::parse(Some("topic=a&history=all")).unwrap().history, History::All);
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
        ] {
            assert_eq!(Events::parse(query), Err(Refusal::bad_request(reason)));
        }
        for (query, reason) in [
            (None, "topic is missing; add one to the URL, such as /publish?topic=news"),
            (Some("topic=a&topic=b"), "topic is given more than once"),
            (Some("topic=*"), "topic contains '*' at byte 0"),
            (Some("topic=a&key="), "idempotency key is empty"),
            (Some("topic=a&key=x&key=x"), "key is given more than once"),
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
