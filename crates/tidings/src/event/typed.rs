//! A serde enum as an event: its name from the variant, its data from what the variant holds.
//!
//! serde's derive tells a serializer which variant it writes only for external tagging. With the others it writes a map or a
//! struct whose first entry is the tag, and the tag can be told from a field:
//!
//! - With internal tagging, its value is a literal: a `str`, where a field has a type of a known size (`String`, `&str`).
//! - With adjacent tagging, its value is a unit variant of an enum that has the struct's own name.

use std::fmt;

use serde::ser::{self, Impossible, Serialize, Serializer};
use serde_json::Serializer as JsonSerializer;

use crate::error::EventError;
use crate::{Event, EventName};

impl Event {
    /// An event of a serde enum: its name is that of the variant, and its data is what the variant holds, as JSON on one
    /// line. [`Message::typed`](crate::Message::typed) is the inverse.
    ///
    /// The enum's tagging makes no difference to clients: it is external (serde's default), internal (`tag`) or adjacent
    /// (`tag` and `content`), and the tag is in the name only. Variants are named as serde names them, with `rename` and
    /// `rename_all`.
    ///
    /// | variant | data |
    /// |---|---|
    /// | `Closed` | empty; with internal tagging also that of a variant whose content has no fields |
    /// | `Renamed(String)` | the JSON of what it holds |
    /// | `Moved(u8, u8)` | an array |
    /// | `Created { number: u32 }` | an object |
    ///
    /// Clients dispatch an event with empty data. For data that has the tag as well, as some APIs send it, use
    /// [`Event::json`].
    ///
    /// # Errors
    ///
    /// - [`EventErrorKind::NotAnEnum`](crate::error::EventErrorKind::NotAnEnum) if there is no variant's name to be found:
    ///   the value is not an enum, or one that is `untagged`.
    /// - [`EventErrorKind::Field`](crate::error::EventErrorKind::Field) if the variant's name cannot be an event's, and
    ///   [`EventErrorKind::Json`](crate::error::EventErrorKind::Json) if its content cannot be written as JSON.
    ///
    /// ```
    /// use serde::Serialize;
    /// use tidings::Event;
    ///
    /// #[derive(Serialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum OrderEvent {
    ///     Created { number: u32 },
    ///     AllClosed,
    /// }
    ///
    /// let event = Event::typed(&OrderEvent::Created { number: 7 })?;
    /// assert_eq!(event.encode(), "event: created\ndata: {\"number\":7}\n\n");
    ///
    /// let event = Event::typed(&OrderEvent::AllClosed)?;
    /// assert_eq!(event.encode(), "event: all_closed\ndata:\n\n");
    /// # Ok::<(), tidings::error::EventError>(())
    /// ```
    pub fn typed<T>(value: &T) -> Result<Self, EventError>
    where
        T: Serialize + ?Sized,
    {
        let mut json = Vec::new();
        let name = value.serialize(EnumSerializer { json: &mut JsonSerializer::new(&mut json) });
        let name = EventName::new(name.map_err(EventError::from)?)?;
        let data = String::from_utf8(json)
            .map_err(|error| EventError::json(ser::Error::custom(error.utf8_error())))?;
        Ok(Self::new(data).with_name(name))
    }
}

/// Why a value is no typed event.
#[derive(Debug)]
pub(crate) enum NoTypedEvent {
    /// The value is something else: what it is.
    NotAnEnum(&'static str),
    Json(serde_json::Error),
}

type Result<T, E = NoTypedEvent> = std::result::Result<T, E>;

impl fmt::Display for NoTypedEvent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotAnEnum(found) => f.write_str(found),
            Self::Json(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for NoTypedEvent {}

impl ser::Error for NoTypedEvent {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Json(ser::Error::custom(message))
    }
}

impl From<serde_json::Error> for NoTypedEvent {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

type Json<'a> = &'a mut JsonSerializer<&'a mut Vec<u8>>;
type JsonTuple<'a> = <Json<'a> as Serializer>::SerializeTuple;
type JsonStruct<'a> = <Json<'a> as Serializer>::SerializeStruct;
type JsonMap<'a> = <Json<'a> as Serializer>::SerializeMap;

/// Writes what the variant holds as JSON, and returns the variant's name.
struct EnumSerializer<'a> {
    json: Json<'a>,
}

macro_rules! refuse {
    ($($method:ident($($argument:ty),*), $found:literal;)*) => {$(
        fn $method(self $(, _: $argument)*) -> Result<Self::Ok> {
            Err(NoTypedEvent::NotAnEnum($found))
        }
    )*};
}

macro_rules! refuse_what_is_no_variant {
    () => {
        refuse! {
            serialize_bool(bool), "a boolean";
            serialize_i8(i8), "a number";
            serialize_i16(i16), "a number";
            serialize_i32(i32), "a number";
            serialize_i64(i64), "a number";
            serialize_i128(i128), "a number";
            serialize_u8(u8), "a number";
            serialize_u16(u16), "a number";
            serialize_u32(u32), "a number";
            serialize_u64(u64), "a number";
            serialize_u128(u128), "a number";
            serialize_f32(f32), "a number";
            serialize_f64(f64), "a number";
            serialize_char(char), "a character";
            serialize_bytes(&[u8]), "bytes";
            serialize_none(), "an option";
            serialize_unit(), "a unit";
            serialize_unit_struct(&'static str), "a unit struct";
        }

        fn serialize_some<T: Serialize + ?Sized>(self, _: &T) -> Result<Self::Ok> {
            Err(NoTypedEvent::NotAnEnum("an option"))
        }

        fn serialize_seq(self, _: Option<usize>) -> Result<Self::SerializeSeq> {
            Err(NoTypedEvent::NotAnEnum("a sequence"))
        }

        fn serialize_tuple(self, _: usize) -> Result<Self::SerializeTuple> {
            Err(NoTypedEvent::NotAnEnum("a tuple"))
        }

        fn serialize_tuple_struct(
            self,
            _: &'static str,
            _: usize,
        ) -> Result<Self::SerializeTupleStruct> {
            Err(NoTypedEvent::NotAnEnum("a tuple struct"))
        }
    };
}

impl<'a> Serializer for EnumSerializer<'a> {
    type Ok = String;
    type Error = NoTypedEvent;
    type SerializeSeq = Impossible<String, NoTypedEvent>;
    type SerializeTuple = Impossible<String, NoTypedEvent>;
    type SerializeTupleStruct = Impossible<String, NoTypedEvent>;
    type SerializeTupleVariant = Variant<JsonTuple<'a>>;
    type SerializeMap = Tagged<'a>;
    type SerializeStruct = Tagged<'a>;
    type SerializeStructVariant = Variant<JsonStruct<'a>>;

    refuse_what_is_no_variant!();
    refuse! { serialize_str(&str), "a string"; }

    fn serialize_unit_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<String> {
        Ok(variant.to_owned())
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<String> {
        value.serialize(self)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<String> {
        value.serialize(self.json)?;
        Ok(variant.to_owned())
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Ok(Variant { name: variant, content: self.json.serialize_tuple(len)? })
    }

    fn serialize_struct_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
        len: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Ok(Variant { name: variant, content: self.json.serialize_struct(name, len)? })
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Tagged<'a>> {
        Ok(Tagged { name: None, tag: None, json: Some(self.json), object: None })
    }

    fn serialize_struct(self, name: &'static str, _: usize) -> Result<Tagged<'a>> {
        Ok(Tagged { name: Some(name), tag: None, json: Some(self.json), object: None })
    }
}

/// A variant of external tagging.
struct Variant<C> {
    name: &'static str,
    content: C,
}

impl ser::SerializeTupleVariant for Variant<JsonTuple<'_>> {
    type Ok = String;
    type Error = NoTypedEvent;

    fn serialize_field<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        Ok(ser::SerializeTuple::serialize_element(&mut self.content, value)?)
    }

    fn end(self) -> Result<String> {
        ser::SerializeTuple::end(self.content)?;
        Ok(self.name.to_owned())
    }
}

impl ser::SerializeStructVariant for Variant<JsonStruct<'_>> {
    type Ok = String;
    type Error = NoTypedEvent;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        Ok(ser::SerializeStruct::serialize_field(&mut self.content, key, value)?)
    }

    fn end(self) -> Result<String> {
        ser::SerializeStruct::end(self.content)?;
        Ok(self.name.to_owned())
    }
}

/// A struct or a map that begins with a tag, or is neither tagged nor an enum.
struct Tagged<'a> {
    /// A struct's name.
    name: Option<&'static str>,
    tag: Option<Tag>,
    /// As long as no content was written.
    json: Option<Json<'a>>,
    /// The content of internal tagging. It begins with its first entry: a variant that holds nothing has no data.
    object: Option<JsonMap<'a>>,
}

/// A variant's name.
enum Tag {
    Internal(String),
    Adjacent(&'static str),
}

impl<'a> Tagged<'a> {
    fn refusal(&self) -> NoTypedEvent {
        NoTypedEvent::NotAnEnum(if self.name.is_some() { "a struct" } else { "a map" })
    }

    fn entry<K, T>(&mut self, key: &K, value: &T) -> Result<()>
    where
        K: Serialize + ?Sized,
        T: Serialize + ?Sized,
    {
        match self.tag {
            None => self.tag = Some(self.read_tag(value)?),
            Some(Tag::Internal(_)) => {
                ser::SerializeMap::serialize_entry(self.object()?, key, value)?
            }
            Some(Tag::Adjacent(_)) => match self.json.take() {
                Some(json) => value.serialize(json)?,
                None => return Err(self.refusal()),
            },
        }
        Ok(())
    }

    /// The tag, if the first entry is one.
    fn read_tag<T: Serialize + ?Sized>(&self, value: &T) -> Result<Tag> {
        // A reference to a type of a known size is one address; one to a `str` has its length, too.
        let is_unsized = size_of::<&T>() > size_of::<usize>();
        match value.serialize(TagSerializer { name: self.name }) {
            Ok(Tag::Internal(_)) if !is_unsized => Err(self.refusal()),
            tag => tag.map_err(|_| self.refusal()),
        }
    }

    fn object(&mut self) -> Result<&mut JsonMap<'a>> {
        if let Some(json) = self.json.take() {
            self.object = Some(json.serialize_map(None)?);
        }
        let refusal = self.refusal();
        self.object.as_mut().ok_or(refusal)
    }

    fn finish(self) -> Result<String> {
        let refusal = self.refusal();
        if let Some(object) = self.object {
            ser::SerializeMap::end(object)?;
        }
        match self.tag {
            Some(Tag::Internal(variant)) => Ok(variant),
            Some(Tag::Adjacent(variant)) => Ok(variant.to_owned()),
            None => Err(refusal),
        }
    }
}

impl ser::SerializeStruct for Tagged<'_> {
    type Ok = String;
    type Error = NoTypedEvent;

    fn serialize_field<T: Serialize + ?Sized>(
        &mut self,
        key: &'static str,
        value: &T,
    ) -> Result<()> {
        self.entry(key, value)
    }

    fn end(self) -> Result<String> {
        self.finish()
    }
}

impl ser::SerializeMap for Tagged<'_> {
    type Ok = String;
    type Error = NoTypedEvent;

    fn serialize_entry<K, T>(&mut self, key: &K, value: &T) -> Result<()>
    where
        K: Serialize + ?Sized,
        T: Serialize + ?Sized,
    {
        self.entry(key, value)
    }

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<()> {
        // serde's derive writes the tag as an entry.
        match self.tag {
            Some(Tag::Internal(_)) => Ok(self.object()?.serialize_key(key)?),
            _ => Err(self.refusal()),
        }
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<()> {
        Ok(self.object()?.serialize_value(value)?)
    }

    fn end(self) -> Result<String> {
        self.finish()
    }
}

/// Reads the first entry of a map or a struct of this name.
struct TagSerializer {
    name: Option<&'static str>,
}

impl Serializer for TagSerializer {
    type Ok = Tag;
    type Error = NoTypedEvent;
    type SerializeSeq = Impossible<Tag, NoTypedEvent>;
    type SerializeTuple = Impossible<Tag, NoTypedEvent>;
    type SerializeTupleStruct = Impossible<Tag, NoTypedEvent>;
    type SerializeTupleVariant = Impossible<Tag, NoTypedEvent>;
    type SerializeMap = Impossible<Tag, NoTypedEvent>;
    type SerializeStruct = Impossible<Tag, NoTypedEvent>;
    type SerializeStructVariant = Impossible<Tag, NoTypedEvent>;

    refuse_what_is_no_variant!();

    fn serialize_str(self, text: &str) -> Result<Tag> {
        Ok(Tag::Internal(text.to_owned()))
    }

    fn serialize_unit_variant(
        self,
        name: &'static str,
        _: u32,
        variant: &'static str,
    ) -> Result<Tag> {
        if self.name != Some(name) {
            return Err(NoTypedEvent::NotAnEnum("another enum"));
        }
        Ok(Tag::Adjacent(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: &T,
    ) -> Result<Tag> {
        Err(NoTypedEvent::NotAnEnum("a newtype struct"))
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: &T,
    ) -> Result<Tag> {
        Err(NoTypedEvent::NotAnEnum("a variant with content"))
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeTupleVariant> {
        Err(NoTypedEvent::NotAnEnum("a variant with content"))
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        _: &'static str,
        _: usize,
    ) -> Result<Self::SerializeStructVariant> {
        Err(NoTypedEvent::NotAnEnum("a variant with content"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Self::SerializeMap> {
        Err(NoTypedEvent::NotAnEnum("a map"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Self::SerializeStruct> {
        Err(NoTypedEvent::NotAnEnum("a struct"))
    }
}
