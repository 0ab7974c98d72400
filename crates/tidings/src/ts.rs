//! What topics send, as TypeScript: an application says which enum of events each topic has, and the front-end is compiled
//! against it. With feature `ts`.
//!
//! ```
//! use serde::Serialize;
//! use tidings::ts::TopicTypes;
//! use ts_rs::TS;
//!
//! #[derive(Serialize, TS)]
//! struct Order {
//!     number: u32,
//!     note: Option<String>,
//! }
//!
//! // What the server publishes, by `Event::typed`.
//! #[derive(Serialize, TS)]
//! #[serde(rename_all = "snake_case")]
//! enum OrderEvent {
//!     Created(Order),
//!     Shipped { number: u32 },
//!     AllClosed,
//! }
//!
//! let types = TopicTypes::new().topic::<OrderEvent>("orders")?;
//! assert!(types.to_string().ends_with(
//! "export type Order = { number: number, note: string | null, };
//!
//! /** The events of each topic, and their data. `*` stands for any run of characters. */
//! export interface Topics {
//!   \"orders\": {
//!     \"created\": Order;
//!     \"shipped\": { number: number, };
//!     \"all_closed\": undefined;
//!   };
//! }
//! "));
//! # Ok::<(), tidings::error::TypesError>(())
//! ```
//!
//! The file is committed. A test of the application [checks](TopicTypes::check) that it is up to date, and another build, that of
//! the front-end, fails where it names an event or a field that there is no more: see the
//! [guide](https://github.com/tidings-rs/tidings/blob/main/docs/guide/typed-events.md).
//!
//! # What the types say
//!
//! The data of a variant is that of [`Event::typed`](crate::Event::typed), as `JSON.parse` reads it; `undefined` where the event
//! has no data. Integers of 64 bits and more are `number`, as JavaScript reads them, and exact up to 2⁵³. All other types are
//! those of [`ts_rs`], so what it does not see is not there, either: a field that serde leaves out
//! (`skip_serializing_if`) needs `#[serde(default)]` or `#[ts(optional)]` as well.
//!
//! Enums are tagged externally (serde's default), adjacently or internally. With internal tagging, a variant holds fields or a
//! struct, and at least one field that is always there: ts-rs does not say enough about others.

mod variants;

use std::any::{TypeId, type_name};
use std::collections::{BTreeMap, HashSet};
use std::fmt;
use std::path::Path;

use ts_rs::{Config, TS, TypeVisitor};

use self::variants::{Variant, variants};
use crate::error::{TypesError, TypesErrorCause};
use crate::{EventName, TopicPattern};

/// The name of the interface that the file exports.
const TOPICS: &str = "Topics";

/// The events of topics, as a file of TypeScript: [`Display`](fmt::Display) is its text.
///
/// It exports the interface `Topics`, with the data of each event of each topic, and the types that these have. It imports
/// nothing. See the [module](self).
#[derive(Debug, Clone, Default)]
#[must_use]
pub struct TopicTypes {
    topics: BTreeMap<TopicPattern, Vec<Variant>>,
    /// By the names of the types.
    declarations: BTreeMap<String, String>,
}

impl TopicTypes {
    /// No topic.
    pub fn new() -> Self {
        Self::default()
    }

    /// A topic, or all that match a pattern such as `room:*`, with the enum of their events. Several enums of one topic are
    /// taken together.
    ///
    /// # Errors
    ///
    /// - [`TypesErrorKind::Field`](crate::error::TypesErrorKind::Field) if the topic is refused, or a variant's name cannot be
    ///   an event's.
    /// - [`TypesErrorKind::NotAnEnum`](crate::error::TypesErrorKind::NotAnEnum) if variants have no names, or cannot be told.
    /// - [`TypesErrorKind::Conflict`](crate::error::TypesErrorKind::Conflict) if two types have the same name in TypeScript, or
    ///   two events of a topic.
    ///
    /// ```
    /// # use tidings::ts::TopicTypes;
    /// #[derive(serde::Serialize, ts_rs::TS)]
    /// #[serde(untagged)]
    /// enum Untagged { Number(u8), Text(String) }
    ///
    /// let error = TopicTypes::new().topic::<Untagged>("orders").unwrap_err();
    /// assert_eq!(error.kind(), tidings::error::TypesErrorKind::NotAnEnum);
    /// ```
    pub fn topic<E>(
        mut self,
        topic: impl TryInto<TopicPattern, Error: Into<TypesError>>,
    ) -> Result<Self, TypesError>
    where
        E: TS + 'static,
    {
        let topic = topic.try_into().map_err(Into::into)?;
        // `JSON.parse` makes no `bigint`.
        let config = Config::new().with_large_int("number");
        let mut declarations = Declarations {
            config: &config,
            all: &mut self.declarations,
            seen: HashSet::new(),
            conflict: None,
        };
        E::visit_dependencies(&mut declarations);
        if let Some(name) = declarations.conflict {
            return Err(TypesErrorCause::Conflict(format!("type {name}")).into());
        }
        let found = variants(&E::inline(&config))
            .map_err(|why| TypesErrorCause::NotAnEnum(type_name::<E>(), why))?;
        let events = self.topics.entry(topic.clone()).or_default();
        for variant in found {
            EventName::new(&variant.name)?;
            match events.iter().find(|other| other.name == variant.name) {
                None => events.push(variant),
                Some(other) if *other == variant => {}
                Some(_) => {
                    let what = format!("event {:?} of topic {:?}", variant.name, topic.as_str());
                    return Err(TypesErrorCause::Conflict(what).into());
                }
            }
        }
        Ok(self)
    }

    /// Writes the file, if it is not up to date.
    ///
    /// # Errors
    ///
    /// [`TypesErrorKind::File`](crate::error::TypesErrorKind::File) if it cannot be written.
    pub fn write(&self, path: impl AsRef<Path>) -> Result<(), TypesError> {
        let path = path.as_ref();
        if self.check(path).is_ok() {
            return Ok(());
        }
        std::fs::write(path, self.to_string())
            .map_err(|error| TypesErrorCause::File(path.to_owned(), error).into())
    }

    /// Checks that the file is what [`TopicTypes::write`] would write, but for the kind of its line breaks.
    ///
    /// # Errors
    ///
    /// - [`TypesErrorKind::OutOfDate`](crate::error::TypesErrorKind::OutOfDate) if it is not.
    /// - [`TypesErrorKind::File`](crate::error::TypesErrorKind::File) if it cannot be read.
    pub fn check(&self, path: impl AsRef<Path>) -> Result<(), TypesError> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path)
            .map_err(|error| TypesErrorCause::File(path.to_owned(), error))?;
        match text.replace("\r\n", "\n") == self.to_string() {
            true => Ok(()),
            false => Err(TypesErrorCause::OutOfDate(path.to_owned()).into()),
        }
    }
}

impl fmt::Display for TopicTypes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("// @generated by `tidings::ts` from the enums of the server.\n\n")?;
        for declaration in self.declarations.values() {
            writeln!(f, "{declaration}\n")?;
        }
        f.write_str("/** The events of each topic, and their data. `*` stands for any run of characters. */\n")?;
        writeln!(f, "export interface {TOPICS} {{")?;
        for (topic, events) in &self.topics {
            writeln!(f, "  {}: {{", quoted(topic.as_str()))?;
            for Variant { name, data } in events {
                writeln!(f, "    {}: {data};", quoted(name))?;
            }
            f.write_str("  };\n")?;
        }
        f.write_str("}\n")
    }
}

/// A string of JSON is one of TypeScript.
fn quoted(text: &str) -> serde_json::Value {
    text.into()
}

/// Collects the declarations of the types that others refer to.
struct Declarations<'a> {
    config: &'a Config,
    all: &'a mut BTreeMap<String, String>,
    seen: HashSet<TypeId>,
    /// The name of two types.
    conflict: Option<String>,
}

impl TypeVisitor for Declarations<'_> {
    fn visit<T: TS + 'static + ?Sized>(&mut self) {
        // Those of the language are not declared.
        if T::output_path().is_none() || !self.seen.insert(TypeId::of::<T>()) {
            return;
        }
        let name = T::ident(self.config);
        let docs = T::docs().unwrap_or_default();
        let declaration = format!("{docs}export {}", T::decl(self.config));
        let known = self.all.insert(name.clone(), declaration.clone());
        if name == TOPICS || known.is_some_and(|known| known != declaration) {
            self.conflict = Some(name);
        }
        T::visit_dependencies(self);
    }
}
