use std::error::Error;
use std::fmt;
use std::time::Duration;

use super::Epoch;
use super::error::LogError;
use super::key::IdempotencyKey;
use crate::error::FieldError;
use crate::event::tags::Tags;
use crate::event::{Attributes, Event, EventKey};
use crate::field::{Comment, EventName};
use crate::topic::Topic;

/// An event to append. The hub has checked it.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Append {
    /// The topic.
    pub topic: Topic,
    /// The event, which has no id.
    pub event: Event,
    /// The event is appended only if none with this key was, within the backend's window.
    pub key: Option<IdempotencyKey>,
    /// The hub has events of the topic, none of which is its last. If not, a log that finds the topic
    /// [finished](super::LogErrorKind::Finished) refuses the event.
    pub is_open: bool,
    /// The position up to which the hub had the log when it published. A log that cannot look for a last event in the step
    /// that appends stores it, as [`Record::seen`].
    pub seen: Option<u64>,
}

impl Append {
    /// A publication to a topic, with its key if it has one. It is not known whether the topic is finished.
    pub fn new(topic: Topic, event: Event, key: Option<IdempotencyKey>) -> Self {
        Self { topic, event, key, is_open: false, seen: None }
    }
}

/// An event was appended.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Appended {
    /// The history that the event was appended to. A log that is not sure, because its link was lost and it does not know
    /// yet what the new one leads to, finds out before it answers.
    pub epoch: Epoch,
    /// The event's position; for a duplicate, that of the first event.
    pub position: u64,
    /// The log already had an event with this key.
    pub is_duplicate: bool,
}

impl Appended {
    /// An event with this position in this history; a duplicate, if the log had its key already.
    pub fn new(epoch: Epoch, position: u64, is_duplicate: bool) -> Self {
        Self { epoch, position, is_duplicate }
    }
}

/// An event in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Record {
    /// The event's place in the log's order.
    pub position: u64,
    /// When it was appended, in milliseconds since the Unix epoch.
    pub at: u64,
    /// The event's topic.
    pub topic: Topic,
    /// The event, which has no id.
    pub event: Event,
    /// The position up to which its publisher's node had the log: after a last event of the topic that is not among that, the
    /// event is void. `None` if the log has looked for one when it appended the event, or another program has published it.
    pub seen: Option<u64>,
}

impl Record {
    /// An event of the log. `at` is in milliseconds since the Unix epoch.
    pub fn new(position: u64, at: u64, topic: Topic, event: Event) -> Self {
        Self { position, at, topic, event, seen: None }
    }
}

/// The names and order of the fields of a record in engines that know fields: see
/// [`Record::from_fields`].
const FIELDS: [&str; 10] = [
    "topic",
    "event",
    "data",
    "retry",
    "comment",
    "event_key",
    "removes_key",
    "is_last",
    "attributes",
    "seen",
];

impl Append {
    /// The event as named fields, for engines that store fields: `topic`, then `event`, `data`, `retry` (milliseconds) and
    /// `comment`, as far as the event has them. A log that stores [`seen`](Self::seen) adds that itself.
    ///
    /// ```
    /// use tidings::backend::Append;
    /// use tidings::{Event, Topic};
    ///
    /// let append = Append::new(Topic::new("orders")?, Event::named("created", "order 17")?, None);
    /// let fields: Vec<_> = append.fields().collect();
    /// assert_eq!(fields[0], ("topic", "orders".into()));
    /// assert_eq!(fields[1..], [("event", "created".into()), ("data", "order 17".into())]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn fields(&self) -> impl Iterator<Item = (&'static str, String)> + '_ {
        let event = &self.event;
        let values = [
            Some(self.topic.as_str().to_owned()),
            event.name().map(|name| name.as_str().to_owned()),
            event.data().map(ToOwned::to_owned),
            event.retry_after().map(|wait| wait.as_millis().to_string()),
            event.comment_text().map(|comment| comment.as_str().to_owned()),
            event.key().map(|key| key.as_str().to_owned()),
            event.tags().is_some_and(|tags| tags.removes_key).then(|| TRUE.to_owned()),
            event.tags().is_some_and(|tags| tags.is_last).then(|| TRUE.to_owned()),
            event.tags().and_then(|tags| attributes(&tags.attributes)),
            None,
        ];
        FIELDS.into_iter().zip(values).filter_map(|(name, value)| Some((name, value?)))
    }
}

impl Record {
    /// Reads a record from named fields, as [`Append::fields`] returns them or as another program has written them. Other
    /// fields are ignored.
    ///
    /// # Errors
    ///
    /// When the topic is missing, a field is repeated or not valid, the name is one of the hub's own (`tidings:…`), or there
    /// is neither name nor data.
    ///
    /// ```
    /// use tidings::backend::Record;
    ///
    /// let fields = [("topic", "orders"), ("data", "order 17"), ("colour", "red")];
    /// let record = Record::from_fields(7, 0, fields.map(|(name, value)| (name.as_bytes(), value.as_bytes())))?;
    /// assert_eq!(record.event.data(), Some("order 17"));
    ///
    /// let error = Record::from_fields(7, 0, [(&b"data"[..], &b"x"[..])]).unwrap_err();
    /// assert_eq!(error.to_string(), "topic is missing");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn from_fields<'a>(
        position: u64,
        at: u64,
        fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
    ) -> Result<Self, RecordError> {
        let (topic, event, seen) = read(fields)?;
        if !event.is_dispatched() {
            return Err(nothing_to_dispatch());
        }
        Ok(Self { position, at, topic, event, seen })
    }
}

/// Reads a topic, an event, which clients need not dispatch, and [`Record::seen`].
pub(crate) fn read<'a>(
    fields: impl IntoIterator<Item = (&'a [u8], &'a [u8])>,
) -> Result<(Topic, Event, Option<u64>), RecordError> {
    let mut values: [Option<&str>; FIELDS.len()] = [None; FIELDS.len()];
    for (name, value) in fields {
        let known = FIELDS.iter().zip(&mut values).find(|(field, _)| field.as_bytes() == name);
        let Some((field, slot)) = known else { continue };
        let value = std::str::from_utf8(value)
            .map_err(|error| RecordError::new(field, format!("is not UTF-8: {error}")))?;
        if slot.replace(value).is_some() {
            return Err(RecordError::new(field, "is given more than once"));
        }
    }
    let [topic, name, data, retry, comment, key, removes_key, is_last, attributes, seen] = values;
    let topic = topic.ok_or_else(|| RecordError::new("topic", "is missing"))?;
    let topic = Topic::new(topic)?;
    // People write an empty name for none.
    let name = name.filter(|name| !name.is_empty()).map(EventName::new).transpose()?;
    if name.as_ref().is_some_and(EventName::is_reserved) {
        return Err(RecordError::new(
            "event name",
            "is reserved: names that begin with `tidings:` belong to the hub",
        ));
    }
    let comment = comment.map(Comment::new).transpose()?;
    let retry = retry.map(|retry| {
        let millis = retry.parse().map(Duration::from_millis);
        millis.map_err(|_| RecordError::new("retry", "is not a number of milliseconds"))
    });
    let event = Event::of_fields(name, data, retry.transpose()?, comment);
    let tags = Tags {
        key: key.map(EventKey::new).transpose()?,
        removes_key: truth("removes_key", removes_key)?,
        is_last: truth("is_last", is_last)?,
        attributes: read_attributes(attributes)?,
    };
    let seen =
        seen.map(|seen| seen.parse().map_err(|_| RecordError::new("seen", "is not a position")));
    Ok((topic, event.ok_or_else(nothing_to_dispatch)?.with_tags(tags), seen.transpose()?))
}

/// As a JSON object; `None` if there are none.
fn attributes(attributes: &Attributes) -> Option<String> {
    let is_empty = attributes.is_empty();
    // Text, numbers and truth values can always be written.
    (!is_empty).then(|| serde_json::to_string(attributes).unwrap_or_default())
}

fn read_attributes(json: Option<&str>) -> Result<Attributes, RecordError> {
    let Some(json) = json else { return Ok(Attributes::new()) };
    serde_json::from_str(json)
        .map_err(|error| RecordError::new("attributes", format_args!("are not valid: {error}")))
}

const TRUE: &str = "1";

fn truth(field: &str, value: Option<&str>) -> Result<bool, RecordError> {
    match value {
        None => Ok(false),
        Some(TRUE) => Ok(true),
        Some(_) => Err(RecordError::new(field, "is not 1")),
    }
}

fn nothing_to_dispatch() -> RecordError {
    RecordError::new("data", "is missing, and so is the event name")
}

/// Something in the engine is not a record: another program wrote it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RecordError(String);

impl RecordError {
    /// An error of a field: its name and the cause, in lower case, as in `topic is missing`.
    pub fn new(field: &str, cause: impl fmt::Display) -> Self {
        Self(format!("{field} {cause}"))
    }

    fn of(error: impl fmt::Display) -> Self {
        Self(error.to_string())
    }
}

impl From<FieldError> for RecordError {
    fn from(error: FieldError) -> Self {
        Self::of(error)
    }
}

impl fmt::Display for RecordError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for RecordError {}

/// A [`Replica`](super::Replica) does not accept anything: the hub is gone, and the log's work has ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Refused(pub(crate) ());

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("hub is gone")
    }
}

impl Error for Refused {}

impl From<Refused> for LogError {
    fn from(refused: Refused) -> Self {
        Self::new(super::LogErrorKind::Closed, refused.to_string())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::AttributeName;

    fn read(fields: &[(&str, &str)]) -> Result<Record, String> {
        let fields = fields.iter().map(|(name, value)| (name.as_bytes(), value.as_bytes()));
        Record::from_fields(1, 2, fields).map_err(|error| error.to_string())
    }

    #[test]
    fn fields_are_read_as_they_were_written() {
        let event = Event::named("created", "a\r\nb")
            .unwrap()
            .with_retry(Duration::from_millis(1_500))
            .with_comment(Comment::new("c").unwrap());
        for event in [
            event,
            Event::new(""),
            Event::comment("c").unwrap().with_name(EventName::new("n").unwrap()),
            Event::keyed("a key", "x").unwrap().with_tags(Tags {
                removes_key: true,
                is_last: true,
                attributes: [("a", 1.into()), ("b", "1".into()), ("c.d-e_f", true.into())]
                    .map(|(name, value)| (AttributeName::new(name).unwrap(), value))
                    .into(),
                ..Tags::default()
            }),
        ] {
            let append = Append::new(Topic::new("t").unwrap(), event.clone(), None);
            let fields: Vec<_> = append.fields().collect();
            let fields: Vec<_> = fields.iter().map(|(name, value)| (*name, &**value)).collect();
            let record = read(&fields).unwrap();
            assert_eq!((record.position, record.at), (1, 2));
            assert_eq!((record.topic.as_str(), record.event), ("t", event));
        }
    }

    #[test]
    fn fields_that_are_not_an_event_are_refused_with_the_field_and_the_cause() {
        for (fields, message) in [
            (&[("data", "x")][..], "topic is missing"),
            (&[("topic", "two words"), ("data", "x")], "topic contains ' ' at byte 3"),
            (&[("topic", "t")], "data is missing, and so is the event name"),
            (&[("topic", "t"), ("event", "")], "data is missing, and so is the event name"),
            (&[("topic", "t"), ("event", "a\nb")], "event name contains '\\n' at byte 1"),
            (
                &[("topic", "t"), ("event", "tidings:x")],
                "event name is reserved: names that begin with `tidings:` belong to the hub",
            ),
            (&[("topic", "t"), ("data", "x"), ("data", "y")], "data is given more than once"),
            (
                &[("topic", "t"), ("data", "x"), ("retry", "-1")],
                "retry is not a number of milliseconds",
            ),
            (&[("topic", "t"), ("data", "x"), ("is_last", "true")], "is_last is not 1"),
            (&[("topic", "t"), ("data", "x"), ("event_key", "")], "event key is empty"),
            (
                &[("topic", "t"), ("data", "x"), ("attributes", r#"{"a":1.5}"#)],
                "attributes are not valid: expected text, a whole number or a truth value at line 1 column 9",
            ),
        ] {
            assert_eq!(read(fields).unwrap_err(), message);
        }
        let error = Record::from_fields(1, 2, [(&b"topic"[..], &b"\xff"[..])]).unwrap_err();
        assert!(error.to_string().starts_with("topic is not UTF-8"), "{error}");
    }
}
