use serde::ser::{Serialize, SerializeStruct, Serializer};

use crate::decode::Message;
use crate::field::EventId;

/// Events that topics retain, as data: see [`Hub::history`](crate::Hub::history).
///
/// As JSON it is `{"events":[{"id":"…","event":"…","data":"…"}],"position":"…"}`.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct EventHistory {
    /// The events in the hub's order, as a client receives them. Each has its [`id`](Message::id).
    pub events: Vec<Message>,
    /// Where to go on. A client that [resumes](crate::Subscribe::resume) here is sent every later event of the topics,
    /// and none of these.
    pub position: EventId,
}

impl Serialize for EventHistory {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Item<'a>(&'a Message);

        impl Serialize for Item<'_> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let Self(message) = self;
                let mut fields = serializer.serialize_struct("Event", 3)?;
                fields.serialize_field("id", message.last_event_id())?;
                fields.serialize_field("event", message.event())?;
                fields.serialize_field("data", message.data())?;
                fields.end()
            }
        }

        let events: Vec<_> = self.events.iter().map(Item).collect();
        let mut fields = serializer.serialize_struct("EventHistory", 2)?;
        fields.serialize_field("events", &events)?;
        fields.serialize_field("position", &self.position)?;
        fields.end()
    }
}
