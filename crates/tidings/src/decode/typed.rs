//! A message as a serde enum: the inverse of [`Event::typed`](crate::Event::typed).
//!
//! serde's derive asks a deserializer for an enum (external tagging), for a struct of two fields, the tag and the content
//! (adjacent), or for anything (internal). Only the last does not say what the tag is called; what is missing in an empty
//! map does.

use std::borrow::Cow;
use std::fmt;
use std::iter;
use std::vec;

use serde::de::value::{BorrowedStrDeserializer, CowStrDeserializer, MapDeserializer};
use serde::de::{
    self, Deserialize, DeserializeSeed, Deserializer, EnumAccess, MapAccess, VariantAccess, Visitor,
};
use serde::forward_to_deserialize_any;
use serde_json::value::RawValue;

use super::Message;
use crate::error::{MessageError, MessageErrorCause};

impl Message {
    /// The data, read as JSON: the inverse of [`Event::json`](crate::Event::json).
    ///
    /// # Errors
    ///
    /// [`MessageErrorKind::Json`](crate::error::MessageErrorKind::Json) if the data is not JSON, or not that of a `T`.
    ///
    /// ```
    /// use tidings::Decoder;
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.feed(b"data: [\"to\", \"ken\"]\n\n")?;
    /// let message = decoder.next_message().unwrap();
    /// assert_eq!(message.json::<Vec<String>>()?, ["to", "ken"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn json<'a, T: Deserialize<'a>>(&'a self) -> Result<T, MessageError> {
        Ok(serde_json::from_str(self.data())?)
    }

    /// The message as a serde enum, the variant by the event's name and what it holds from the data: the inverse of
    /// [`Event::typed`](crate::Event::typed), for each tagging that it takes.
    ///
    /// A variant that holds nothing takes any data. So one that is `#[serde(other)]` takes the events that the others do
    /// not, unless the tagging is adjacent and the event has data.
    ///
    /// # Errors
    ///
    /// - [`MessageErrorKind::UnknownEvent`](crate::error::MessageErrorKind::UnknownEvent) if no variant has the event's
    ///   name, which the error names. An event without a name is `message`.
    /// - [`MessageErrorKind::Json`](crate::error::MessageErrorKind::Json) if the data is not what the variant holds.
    /// - [`MessageErrorKind::NotAnEnum`](crate::error::MessageErrorKind::NotAnEnum) if `T` is no enum, or is `untagged`.
    ///
    /// ```
    /// use serde::Deserialize;
    /// use tidings::Decoder;
    ///
    /// #[derive(Debug, PartialEq, Deserialize)]
    /// #[serde(rename_all = "snake_case")]
    /// enum OrderEvent {
    ///     Created { number: u32 },
    ///     AllClosed,
    /// }
    ///
    /// let mut decoder = Decoder::new();
    /// decoder.feed(b"event: created\ndata: {\"number\":7}\n\nevent: moved\ndata:\n\n")?;
    /// let message = decoder.next_message().unwrap();
    /// assert_eq!(message.typed::<OrderEvent>()?, OrderEvent::Created { number: 7 });
    ///
    /// let error = decoder.next_message().unwrap().typed::<OrderEvent>().unwrap_err();
    /// assert_eq!(
    ///     error.to_string(),
    ///     "event name \"moved\" is not one of the enum's: \"created\", \"all_closed\"",
    /// );
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn typed<'a, T: Deserialize<'a>>(&'a self) -> Result<T, MessageError> {
        let deserializer = |tag| EnumDeserializer { name: self.event(), data: self.data(), tag };
        let value = match T::deserialize(deserializer(None)) {
            Err(Failure::Tag(tag)) => T::deserialize(deserializer(Some(tag))),
            value => value,
        };
        value.map_err(MessageError::from)
    }
}

#[derive(Debug)]
enum Failure {
    /// The enum's tagging is internal, with this tag: it is to be read again.
    Tag(&'static str),
    NotAnEnum,
    UnknownEvent {
        name: String,
        expected: &'static [&'static str],
    },
    UnknownVariant {
        name: String,
        expected: &'static [&'static str],
    },
    MissingField(&'static str),
    Json(serde_json::Error),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

impl std::error::Error for Failure {}

impl de::Error for Failure {
    fn custom<T: fmt::Display>(message: T) -> Self {
        Self::Json(de::Error::custom(message))
    }

    fn unknown_variant(name: &str, expected: &'static [&'static str]) -> Self {
        Self::UnknownVariant { name: name.to_owned(), expected }
    }

    fn missing_field(field: &'static str) -> Self {
        Self::MissingField(field)
    }
}

impl From<serde_json::Error> for Failure {
    fn from(error: serde_json::Error) -> Self {
        Self::Json(error)
    }
}

impl From<Failure> for MessageError {
    fn from(failure: Failure) -> Self {
        use de::Error;

        match failure {
            Failure::Tag(_) | Failure::NotAnEnum => MessageErrorCause::NotAnEnum.into(),
            Failure::UnknownEvent { name, expected } => {
                MessageErrorCause::UnknownEvent { name, expected }.into()
            }
            Failure::UnknownVariant { name, expected } => {
                serde_json::Error::unknown_variant(&name, expected).into()
            }
            Failure::MissingField(field) => serde_json::Error::missing_field(field).into(),
            Failure::Json(error) => error.into(),
        }
    }
}

/// Deserializes an enum from an event's name and data.
#[derive(Clone, Copy)]
struct EnumDeserializer<'de> {
    name: &'de str,
    data: &'de str,
    /// The tag of internal tagging, once it is known.
    tag: Option<&'static str>,
}

impl<'de> EnumDeserializer<'de> {
    /// The data, if there is any, read by `read`.
    fn read_data<T>(
        self,
        read: impl FnOnce(&mut Json<'de>) -> Result<T, serde_json::Error>,
    ) -> Result<T, Failure> {
        Ok(read_json(self.data, read)?)
    }
}

impl<'de> Deserializer<'de> for EnumDeserializer<'de> {
    type Error = Failure;

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(self)
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        let [tag, content] = fields else { return Err(Failure::NotAnEnum) };
        let content = (!self.data.is_empty()).then_some((Cow::Borrowed(*content), self.data));
        visitor.visit_map(Tagged::new(tag, self.name, content.into_iter().collect()))
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        let Some(tag) = self.tag else {
            let nothing = MapDeserializer::new(iter::empty::<(&str, &str)>());
            return Err(match visitor.visit_map(nothing) {
                Err(Failure::MissingField(tag)) => Failure::Tag(tag),
                _ => Failure::NotAnEnum,
            });
        };
        let entries = match self.data {
            "" => Vec::new(),
            _ => self.read_data(|json| json.deserialize_map(Entries))?,
        };
        visitor.visit_map(Tagged::new(tag, self.name, entries))
    }

    fn deserialize_map<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
        Err(Failure::NotAnEnum)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct seq tuple tuple_struct identifier ignored_any
    }
}

impl<'de> EnumAccess<'de> for EnumDeserializer<'de> {
    type Error = Failure;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self), Failure> {
        Ok((NameDeserializer(self.name).read(seed)?, self))
    }
}

impl<'de> VariantAccess<'de> for EnumDeserializer<'de> {
    type Error = Failure;

    fn unit_variant(self) -> Result<(), Failure> {
        Ok(())
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        self.read_data(|json| seed.deserialize(json))
    }

    fn tuple_variant<V: Visitor<'de>>(self, len: usize, visitor: V) -> Result<V::Value, Failure> {
        self.read_data(|json| json.deserialize_tuple(len, visitor))
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        self.read_data(|json| json.deserialize_struct("", fields, visitor))
    }
}

type Json<'de> = serde_json::Deserializer<serde_json::de::StrRead<'de>>;

/// Reads JSON to its end.
fn read_json<'de, T>(
    text: &'de str,
    read: impl FnOnce(&mut Json<'de>) -> Result<T, serde_json::Error>,
) -> Result<T, serde_json::Error> {
    let mut json = serde_json::Deserializer::from_str(text);
    let value = read(&mut json)?;
    json.end()?;
    Ok(value)
}

/// An event's name, as the name of a variant.
struct NameDeserializer<'de>(&'de str);

impl<'de> NameDeserializer<'de> {
    fn read<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value, Failure> {
        seed.deserialize(self).map_err(|failure| match failure {
            // Not that of an enum somewhere in the content.
            Failure::UnknownVariant { name, expected } => Failure::UnknownEvent { name, expected },
            failure => failure,
        })
    }
}

impl<'de> Deserializer<'de> for NameDeserializer<'de> {
    type Error = Failure;

    fn deserialize_identifier<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        visitor.visit_borrowed_str(self.0)
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        _: &'static str,
        _: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Failure> {
        visitor.visit_enum(BorrowedStrDeserializer::new(self.0))
    }

    /// The field of a struct, which is not a tag.
    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Failure> {
        Err(Failure::NotAnEnum)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option
        unit unit_struct newtype_struct seq tuple tuple_struct map struct ignored_any
    }
}

/// A tag, then entries whose values are JSON.
struct Tagged<'de> {
    tag: Option<&'static str>,
    name: Option<&'de str>,
    entries: vec::IntoIter<(Cow<'de, str>, &'de str)>,
    value: &'de str,
}

impl<'de> Tagged<'de> {
    fn new(tag: &'static str, name: &'de str, entries: Vec<(Cow<'de, str>, &'de str)>) -> Self {
        Self { tag: Some(tag), name: Some(name), entries: entries.into_iter(), value: "" }
    }
}

impl<'de> MapAccess<'de> for Tagged<'de> {
    type Error = Failure;

    fn next_key_seed<S: DeserializeSeed<'de>>(
        &mut self,
        seed: S,
    ) -> Result<Option<S::Value>, Failure> {
        if let Some(tag) = self.tag.take() {
            return seed.deserialize(BorrowedStrDeserializer::new(tag)).map(Some);
        }
        let Some((key, value)) = self.entries.next() else { return Ok(None) };
        self.value = value;
        seed.deserialize(CowStrDeserializer::new(key)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value, Failure> {
        match self.name.take() {
            Some(name) => NameDeserializer(name).read(seed),
            None => Ok(read_json(self.value, |json| seed.deserialize(json))?),
        }
    }
}

/// Reads the entries of an object, their values as they are written.
struct Entries;

impl<'de> Visitor<'de> for Entries {
    type Value = Vec<(Cow<'de, str>, &'de str)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some((key, value)) = map.next_entry::<Cow<'de, str>, &'de RawValue>()? {
            entries.push((key, value.get()));
        }
        Ok(entries)
    }
}
