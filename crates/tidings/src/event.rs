//! One event, before it is encoded.

mod attributes;
pub(crate) mod tags;
mod typed;

use std::sync::Arc;
use std::{fmt, time::Duration};

use bytestring::ByteString;
use serde::Serialize;

use crate::{Comment, EventId, EventName, error::EventError};

pub(crate) use attributes::Attributes;
pub use attributes::{AttributeName, AttributeValue};
pub use tags::EventKey;
use tags::Tags;
pub(crate) use typed::NoTypedEvent;

/// What is sent to clients: an event, or one of the stream's other lines (a comment, a reconnection time, an id).
///
/// An `Event` is made by one of the constructors and completed by the `with_` methods. It always holds at least one
/// field, and none that could break the stream: names, ids and comments are parsed, and data may be any text.
///
/// Data of several lines arrives as it was sent but for its line ends: CRLF, LF and CR are one line break each,
/// and a client reads all three as LF.
///
/// What a client makes of an event is set down in the HTML standard, 9.2.6 "Interpreting an event stream".
///
/// Cloning is cheap: clones share the text.
///
/// ```
/// use std::time::Duration;
/// use tidings::{Event, EventId};
///
/// let event = Event::named("note", "two\nlines")?
///     .with_id(EventId::new("7")?)
///     .with_retry(Duration::from_secs(2));
///
/// assert_eq!(
///     event.encode(),
///     "event: note\nretry: 2000\ndata: two\ndata: lines\nid: 7\n\n",
/// );
/// # Ok::<(), tidings::error::EventError>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Event {
    name: Option<EventName>,
    data: Option<ByteString>,
    id: Option<EventId>,
    // Kept as it is written, so that two events are equal exactly if their encodings are meant to be.
    retry_millis: Option<u64>,
    comment: Option<Comment>,
    tags: Option<Arc<Tags>>,
}

impl Event {
    // Not public: an event without any field would be a lone blank line.
    const EMPTY: Self =
        Self { name: None, data: None, id: None, retry_millis: None, comment: None, tags: None };

    /// An event without a name, which clients dispatch as `message`.
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// assert_eq!(Event::new("hello").encode(), "data: hello\n\n");
    /// ```
    #[must_use]
    pub fn new(data: impl Into<String>) -> Self {
        Self::EMPTY.with_data(data)
    }

    /// An event with a name, which clients dispatch to the listeners for that name.
    ///
    /// The name is a `&str`, a `String` or an [`EventName`]; only text can fail. See [`EventName`] on the names
    /// `error` and `open`.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the name is empty or holds a CR or an LF.
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// let event = Event::named("tick", "")?;
    /// assert_eq!(event.encode(), "event: tick\ndata:\n\n");
    ///
    /// let error = Event::named("tick\n", "").unwrap_err();
    /// assert_eq!(error.to_string(), "event name contains '\\n' at byte 4");
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn named<N>(name: N, data: impl Into<String>) -> Result<Self, EventError>
    where
        N: TryInto<EventName>,
        N::Error: Into<EventError>,
    {
        Ok(Self::new(data).with_name(name.try_into().map_err(Into::into)?))
    }

    /// An event with a name, whose data is `value` as JSON on one line.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the name is refused (see [`Event::named`]), and
    /// [`EventErrorKind::Json`](crate::error::EventErrorKind::Json) if `value` cannot be written as JSON.
    ///
    /// ```
    /// use serde::Serialize;
    /// use tidings::Event;
    ///
    /// #[derive(Serialize)]
    /// struct Order {
    ///     number: u32,
    /// }
    ///
    /// let event = Event::json("created", &Order { number: 7 })?;
    /// assert_eq!(event.encode(), "event: created\ndata: {\"number\":7}\n\n");
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn json<N, T>(name: N, value: &T) -> Result<Self, EventError>
    where
        N: TryInto<EventName>,
        N::Error: Into<EventError>,
        T: Serialize + ?Sized,
    {
        // The name first: it costs less to check than the value costs to write.
        let name = name.try_into().map_err(Into::into)?;
        Ok(Self::json_data(value)?.with_name(name))
    }

    /// An event with a key: the name of what it is about. In a topic of
    /// [`Retention::latest_per_key`](crate::Retention::latest_per_key) it takes the place of the earlier event with that key;
    /// elsewhere the key means nothing. Logs keep it, and clients are not sent it.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the key is refused: see [`EventKey`].
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// let event = Event::keyed("EUR/USD", r#"{"pair":"EUR/USD","price":1.09}"#)?;
    /// assert_eq!(event.key().unwrap().as_str(), "EUR/USD");
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn keyed<K>(key: K, data: impl Into<String>) -> Result<Self, EventError>
    where
        K: TryInto<EventKey>,
        K::Error: Into<EventError>,
    {
        Ok(Self::new(data).with_key(key.try_into().map_err(Into::into)?))
    }

    /// An event that takes a key away: it has no value any more, and after some time the topic does not remember that it had
    /// one: see [`Retention::latest_per_key`](crate::Retention::latest_per_key).
    ///
    /// It is sent to clients like any other event. They are not sent the key, so the data says which it is, and that it is
    /// gone.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the key is refused: see [`EventKey`].
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// let event = Event::remove_key("EUR/USD", r#"{"pair":"EUR/USD","price":null}"#)?;
    /// assert!(event.removes_key());
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn remove_key<K>(key: K, data: impl Into<String>) -> Result<Self, EventError>
    where
        K: TryInto<EventKey>,
        K::Error: Into<EventError>,
    {
        Ok(Self::new(data).with_removed_key(key.try_into().map_err(Into::into)?))
    }

    /// An event without a name, whose data is `value` as JSON on one line.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Json`](crate::error::EventErrorKind::Json) if `value` cannot be written as JSON.
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// let event = Event::json_data(&["to", "ken"])?;
    /// assert_eq!(event.encode(), "data: [\"to\",\"ken\"]\n\n");
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn json_data<T>(value: &T) -> Result<Self, EventError>
    where
        T: Serialize + ?Sized,
    {
        serde_json::to_string(value).map(Self::new).map_err(EventError::json)
    }

    /// A comment and nothing else: clients dispatch nothing, but the bytes pass through whatever is between.
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the text holds a CR or an LF.
    ///
    /// ```
    /// use tidings::Event;
    ///
    /// let event = Event::comment("still here")?;
    /// assert_eq!(event.encode(), ": still here\n\n");
    /// assert!(!event.is_dispatched());
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn comment<C>(text: C) -> Result<Self, EventError>
    where
        C: TryInto<Comment>,
        C::Error: Into<EventError>,
    {
        Ok(Self::of_comment(text.try_into().map_err(Into::into)?))
    }

    pub(crate) fn of_comment(text: Comment) -> Self {
        Self::EMPTY.with_comment(text)
    }

    /// Tells clients how long to wait before they reconnect, and nothing else. See [`Event::with_retry`].
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::Event;
    ///
    /// let event = Event::reconnect_after(Duration::from_millis(1500));
    /// assert_eq!(event.encode(), "retry: 1500\n\n");
    /// ```
    #[must_use]
    pub fn reconnect_after(wait: Duration) -> Self {
        Self::EMPTY.with_retry(wait)
    }

    /// Sets the name. Where there is no data, the event is sent with empty data, so that clients dispatch it.
    #[must_use]
    pub fn with_name(mut self, name: EventName) -> Self {
        self.name = Some(name);
        self
    }

    /// An event of these fields; `None` if there are none.
    pub(crate) fn of_fields(
        name: Option<EventName>,
        data: Option<&str>,
        retry: Option<Duration>,
        comment: Option<Comment>,
    ) -> Option<Self> {
        let event = Self { name, data: data.map(Into::into), comment, ..Self::EMPTY };
        let event = retry.into_iter().fold(event, Self::with_retry);
        (event != Self::EMPTY).then_some(event)
    }

    /// Sets the data, which may be any text. Empty data is data: clients dispatch it.
    #[must_use]
    pub fn with_data(mut self, data: impl Into<String>) -> Self {
        self.data = Some(data.into().into());
        self
    }

    /// Sets the id, which clients keep until they are given another and send as `Last-Event-ID` on reconnecting.
    ///
    /// Give an id to events that are dispatched: a browser may ignore an id that comes without data, as Firefox
    /// does.
    #[must_use]
    pub fn with_id(mut self, id: EventId) -> Self {
        self.id = Some(id);
        self
    }

    /// Sets how long clients are to wait before they reconnect, from now on.
    ///
    /// The wire has whole milliseconds. A part of one counts as one, so that a short wait does not become none.
    #[must_use]
    pub fn with_retry(mut self, wait: Duration) -> Self {
        let millis = wait.as_nanos().div_ceil(1_000_000);
        // Only waits of more than 500 million years are cut short by this.
        self.retry_millis = Some(u64::try_from(millis).unwrap_or(u64::MAX));
        self
    }

    /// Sets the comment.
    #[must_use]
    pub fn with_comment(mut self, comment: Comment) -> Self {
        self.comment = Some(comment);
        self
    }

    /// Sets the key: see [`Event::keyed`].
    #[must_use]
    pub fn with_key(mut self, key: EventKey) -> Self {
        self.tags_mut().key = Some(key);
        self
    }

    /// Sets the event's key, which it takes away, as [`remove_key`](Self::remove_key) does: for an event that has a name or is
    /// [typed](Self::typed).
    ///
    /// ```
    /// use serde::Serialize;
    /// use tidings::{Event, EventKey};
    ///
    /// #[derive(Serialize)]
    /// #[serde(rename_all = "lowercase")]
    /// enum Ticker {
    ///     Delisted { pair: &'static str },
    /// }
    ///
    /// let event = Event::typed(&Ticker::Delisted { pair: "EUR/USD" })?;
    /// let event = event.with_removed_key(EventKey::new("EUR/USD")?);
    /// assert!(event.removes_key());
    /// assert_eq!(event.name().map(|name| name.as_str()), Some("delisted"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[must_use]
    pub fn with_removed_key(self, key: EventKey) -> Self {
        let mut event = self.with_key(key);
        event.tags_mut().removes_key = true;
        event
    }

    /// Sets an attribute, which the [filters](crate::Filter) of streams ask for. Logs keep it, and no client is sent it.
    ///
    /// The name is a `&str`, a `String` or an [`AttributeName`]; only text can fail. Attributes count towards the
    /// [greatest size of an event](crate::HubBuilder::max_event_bytes).
    ///
    /// # Errors
    ///
    /// [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the name is refused: see [`AttributeName`].
    ///
    /// ```
    /// use tidings::{AttributeName, AttributeValue, Event};
    ///
    /// let event = Event::new("disk is full").with_attribute("severity", 3)?;
    /// assert_eq!(event.encode(), "data: disk is full\n\n");
    ///
    /// let attributes: Vec<_> = event.attributes().collect();
    /// let name = AttributeName::new("severity")?;
    /// assert_eq!(attributes, [(&name, &AttributeValue::Integer(3))]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_attribute<N>(
        mut self,
        name: N,
        value: impl Into<AttributeValue>,
    ) -> Result<Self, EventError>
    where
        N: TryInto<AttributeName>,
        N::Error: Into<EventError>,
    {
        let name = name.try_into().map_err(Into::into)?;
        self.tags_mut().attributes.insert(name, value.into());
        Ok(self)
    }

    /// Sets what is kept and not sent.
    pub(crate) fn with_tags(mut self, tags: Tags) -> Self {
        self.tags = (tags != Tags::default()).then(|| Arc::new(tags));
        self
    }

    pub(crate) fn tags_mut(&mut self) -> &mut Tags {
        Arc::make_mut(self.tags.get_or_insert_default())
    }

    pub(crate) fn tags(&self) -> Option<&Arc<Tags>> {
        self.tags.as_ref()
    }

    /// The key, if there is one: see [`Event::keyed`].
    #[must_use]
    pub fn key(&self) -> Option<&EventKey> {
        self.tags.as_ref()?.key.as_ref()
    }

    /// Whether it takes its key away: see [`Event::remove_key`].
    #[must_use]
    pub fn removes_key(&self) -> bool {
        self.key().is_some() && self.tags.as_ref().is_some_and(|tags| tags.removes_key)
    }

    /// The attributes, in the order of their names.
    pub fn attributes(&self) -> impl Iterator<Item = (&AttributeName, &AttributeValue)> {
        self.tags.iter().flat_map(|tags| &tags.attributes)
    }

    /// Whether it is the last event of its topic: see [`Hub::finish`](crate::Hub::finish).
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.tags.as_ref().is_some_and(|tags| tags.is_last)
    }

    /// The name, if there is one. Clients dispatch an event without a name as `message`.
    #[must_use]
    pub fn name(&self) -> Option<&EventName> {
        self.name.as_ref()
    }

    /// The data as it was given, with its line ends as they were.
    #[must_use]
    pub fn data(&self) -> Option<&str> {
        self.data.as_deref()
    }

    /// The id, if there is one.
    #[must_use]
    pub fn id(&self) -> Option<&EventId> {
        self.id.as_ref()
    }

    /// How long clients are told to wait before they reconnect, in the whole milliseconds that are sent.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_millis.map(Duration::from_millis)
    }

    /// The comment, if there is one.
    #[must_use]
    pub fn comment_text(&self) -> Option<&Comment> {
        self.comment.as_ref()
    }

    /// Whether clients dispatch this: it has data or a name.
    ///
    /// The other fields do their work without: clients keep an id and a reconnection time, and skip a comment.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tidings::{Event, EventName};
    ///
    /// let event = Event::reconnect_after(Duration::from_secs(1));
    /// assert!(!event.is_dispatched());
    /// assert!(event.with_name(EventName::new("hello")?).is_dispatched());
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    #[must_use]
    pub fn is_dispatched(&self) -> bool {
        self.data.is_some() || self.name.is_some()
    }

    /// The bytes of its text, also of what clients are not sent, for limits on what waits or is read at a time.
    #[doc(hidden)]
    #[must_use]
    pub fn size(&self) -> usize {
        let name = self.name().map_or(0, |name| name.as_str().len());
        let comment = self.comment_text().map_or(0, |comment| comment.as_str().len());
        let tags = self.tags().map_or(0, |tags| tags.size());
        self.data().map_or(0, str::len) + name + comment + tags
    }

    pub(crate) fn retry_millis(&self) -> Option<u64> {
        self.retry_millis
    }
}

impl fmt::Debug for Event {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Most events have two of the five: an absent field is left out.
        let mut out = f.debug_struct("Event");
        if let Some(id) = self.id() {
            out.field("id", &id.as_str());
        }
        if let Some(comment) = self.comment_text() {
            out.field("comment", &comment.as_str());
        }
        if let Some(name) = self.name() {
            out.field("name", &name.as_str());
        }
        if let Some(wait) = self.retry_after() {
            out.field("retry", &wait);
        }
        if let Some(data) = self.data() {
            out.field("data", &data);
        }
        if let Some(key) = self.key() {
            out.field("key", &key.as_str());
        }
        for (name, value) in self.attributes() {
            out.field(name.as_str(), value);
        }
        out.finish()
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, error::Error};

    use super::*;
    use crate::error::EventErrorKind;

    #[test]
    fn names_may_be_text_or_parsed() {
        let name = EventName::new("tick").unwrap();
        let expected = Event::new("1").with_name(name.clone());
        assert_eq!(Event::named("tick", "1").unwrap(), expected);
        assert_eq!(Event::named("tick".to_owned(), "1").unwrap(), expected);
        assert_eq!(Event::named(&name, "1").unwrap(), expected);
        assert_eq!(Event::json(name, &1).unwrap(), expected);
    }

    #[test]
    fn comments_may_be_text_or_parsed() {
        let comment = Comment::new("c").unwrap();
        assert_eq!(Event::comment(&comment).unwrap(), Event::comment("c").unwrap());
    }

    #[test]
    fn a_value_that_json_cannot_hold_is_an_error() {
        let error = Event::json("x", &BTreeMap::from([([1, 2], 3)])).unwrap_err();
        assert_eq!(error.kind(), EventErrorKind::Json);
        assert_eq!(error.to_string(), "data cannot be written as JSON: key must be a string");
        assert!(error.source().unwrap().is::<serde_json::Error>());
    }

    #[test]
    fn a_wait_is_rounded_up_to_whole_milliseconds() {
        let sent = |wait| Event::reconnect_after(wait).retry_after();
        assert_eq!(sent(Duration::ZERO), Some(Duration::ZERO));
        assert_eq!(sent(Duration::from_nanos(1)), Some(Duration::from_millis(1)));
        assert_eq!(sent(Duration::from_micros(1500)), Some(Duration::from_millis(2)));
        assert_eq!(sent(Duration::MAX), Some(Duration::from_millis(u64::MAX)));
    }

    #[test]
    fn only_data_or_a_name_is_dispatched() {
        let comment = Event::comment("").unwrap();
        let id = EventId::new("1").unwrap();
        assert!(!comment.is_dispatched());
        assert!(!comment.clone().with_id(id).is_dispatched());
        assert!(comment.clone().with_data("").is_dispatched());
        assert!(comment.with_name(EventName::new("x").unwrap()).is_dispatched());
    }

    #[test]
    fn the_size_is_that_of_all_text() {
        assert_eq!(Event::new("data").size(), 4);
        let event = Event::keyed("key", "data").unwrap().with_name(EventName::new("tick").unwrap());
        let event = event.with_comment(Comment::new("comment").unwrap());
        assert_eq!(event.size(), 4 + 3 + 4 + 7);
        let event = event.with_attribute("tenant", "example").unwrap();
        assert_eq!(event.size(), 4 + 3 + 4 + 7 + 6 + 7);
        assert_eq!(Event::reconnect_after(Duration::ZERO).size(), 0);
    }

    #[test]
    fn debug_shows_the_fields_that_are_set() {
        assert_eq!(
            format!("{:?}", Event::named("tick", "1").unwrap()),
            r#"Event { name: "tick", data: "1" }"#
        );
    }
}
