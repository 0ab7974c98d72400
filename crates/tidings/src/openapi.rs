//! What a stream sends, in a document of OpenAPI 3.2: the names of its events, and the data of each. With feature `openapi`, for
//! documents that [`utoipa`] makes.
//!
//! ```
//! use serde::Serialize;
//! use tidings::openapi::StreamSchema;
//! use utoipa::openapi::HttpMethod;
//! use utoipa::{OpenApi, ToSchema};
//!
//! #[derive(Serialize, ToSchema)]
//! struct Order {
//!     number: u32,
//! }
//!
//! // What the server publishes, by `Event::typed`.
//! #[derive(Serialize, ToSchema)]
//! #[serde(rename_all = "snake_case")]
//! enum OrderEvent {
//!     Created(Order),
//!     AllClosed,
//! }
//!
//! #[utoipa::path(get, path = "/orders", responses((status = 200, description = "The orders, as they come")))]
//! async fn orders() { /* … */ }
//!
//! #[derive(OpenApi)]
//! #[openapi(paths(orders))]
//! struct Document;
//!
//! let mut document = Document::openapi();
//! StreamSchema::new().events::<OrderEvent>()?.describe(&mut document, HttpMethod::Get, "/orders")?;
//!
//! let json = serde_json::to_value(&document)?;
//! assert_eq!(json["openapi"], "3.2.0");
//! let content = &json["paths"]["/orders"]["get"]["responses"]["200"]["content"];
//! assert!(content["text/event-stream"]["itemSchema"].is_object());
//! let created = &json["components"]["schemas"]["OrderEventMessage"]["oneOf"][0]["properties"];
//! assert_eq!(created["event"]["enum"][0], "created");
//! assert_eq!(created["data"]["contentMediaType"], "application/json");
//! assert_eq!(created["data"]["contentSchema"]["$ref"], "#/components/schemas/OrderEvent.created");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The [guide](https://github.com/tidings-rs/tidings/blob/main/docs/guide/openapi.md) has more.
//!
//! # The schemas
//!
//! As OpenAPI has it, the schema of an item is that of one event, with its fields as the event stream format names them: `event`,
//! `data`, `id`, `retry`. Data is a string; that it is JSON, and of what type, say `contentMediaType` and `contentSchema`.
//! A document gets these components:
//!
//! | component | |
//! |---|---|
//! | `OrderEventMessage` | the events of the enum `OrderEvent` |
//! | `OrderEvent.created` | the data of the variant `created`, if it has any |
//! | `TidingsMessage`, `TidingsStatus`, `TidingsEnd` | the [status](crate::STATUS_EVENT) and the [end](crate::END_EVENT) of a stream, and their data |
//! | `Order` … | what the enum refers to |
//!
//! The data of each variant has a name of its own because generators of code that do not know `contentSchema` pass over it.
//!
//! utoipa's own macros write `schema`, and no `itemSchema`, and describe an enum as `serde_json` would write it. What they do not
//! say is not known here, either:
//!
//! - The types in a tuple variant: its data is an array of so many items.
//! - That an `Option` of a type parameter may be `null`.
//! - Whether an enum is tagged internally or adjacently, if all variants have one field and it is the same. It is refused. So is
//!   adjacent tagging.
//! - Whether an enum whose variants have one field each is untagged. Only [`Event::typed`](crate::Event::typed) refuses that.

mod variants;

use std::any::type_name;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use utoipa::ToSchema;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{AnyOfBuilder, ObjectBuilder, OneOfBuilder, Type};
use utoipa::openapi::{
    ContentBuilder, HttpMethod, OpenApi, OpenApiVersion, Ref, RefOr, Response, Schema,
};

use self::variants::{Variant, variants};
use crate::error::{TypesError, TypesErrorCause};
use crate::{END_EVENT, EventName, STATUS_EVENT};

const EVENT_STREAM: &str = "text/event-stream";
const JSON: &str = "application/json";

/// What a stream sends: the events of enums, and the hub's own. See the [module](self).
#[derive(Clone)]
#[must_use]
pub struct StreamSchema {
    /// The components for messages.
    messages: Vec<String>,
    components: BTreeMap<String, RefOr<Schema>>,
}

impl StreamSchema {
    /// A stream that sends no events but the hub's own.
    pub fn new() -> Self {
        let message = OneOfBuilder::new()
            .item(message(STATUS_EVENT, Some("TidingsStatus"), None))
            .item(message(END_EVENT, Some("TidingsEnd"), None));
        let text = || ObjectBuilder::new().schema_type(Type::String);
        let status = ObjectBuilder::new()
            .property("status", text().enum_values(Some(["fresh", "resumed", "reset"])))
            .required("status")
            .property("client", text())
            .required("client")
            .property("reason", text())
            .property("complete", ObjectBuilder::new().schema_type(Type::Boolean));
        let end = ObjectBuilder::new()
            .property("reason", text())
            .required("reason")
            .property("limit", text());
        let components = [
            ("TidingsMessage".to_owned(), message.into()),
            ("TidingsStatus".to_owned(), status.into()),
            ("TidingsEnd".to_owned(), end.into()),
        ];
        Self { messages: vec!["TidingsMessage".to_owned()], components: components.into() }
    }

    /// Adds the events of an enum. Several enums are taken together.
    ///
    /// # Errors
    ///
    /// - [`TypesErrorKind::Field`](crate::error::TypesErrorKind::Field) if a variant's name cannot be an event's.
    /// - [`TypesErrorKind::NotAnEnum`](crate::error::TypesErrorKind::NotAnEnum) if variants have no names, or cannot be told.
    /// - [`TypesErrorKind::Conflict`](crate::error::TypesErrorKind::Conflict) if two components have the same name.
    pub fn events<E: ToSchema>(mut self) -> Result<Self, TypesError> {
        let name = E::name();
        let found = variants(E::schema())
            .map_err(|why| TypesErrorCause::NotAnEnum(type_name::<E>(), why))?;
        let mut messages = OneOfBuilder::new();
        for Variant { name: event, data, description } in found {
            EventName::new(&event)?;
            let component = data.is_some().then(|| component_name(&name, &event));
            messages = messages.item(message(&event, component.as_deref(), description));
            if let (Some(component), Some(data)) = (component, data) {
                add(&mut self.components, component, data)?;
            }
        }
        let component = format!("{name}Message");
        add(&mut self.components, component.clone(), messages.into())?;
        self.messages.push(component);
        let mut schemas = Vec::new();
        E::schemas(&mut schemas);
        for (name, schema) in schemas {
            add(&mut self.components, name, schema)?;
        }
        Ok(self)
    }

    /// Says it in a document: the answer 200 of this operation is an event stream of these events. What the document has said
    /// about the content of that stream is replaced, and its version is 3.2.
    ///
    /// # Errors
    ///
    /// The document is unchanged, and the error
    ///
    /// - [`TypesErrorKind::Missing`](crate::error::TypesErrorKind::Missing) if the document lacks the operation, or a component
    ///   that a schema refers to. utoipa does not name the parts of a generic enum; add them by `components(schemas(…))`.
    /// - [`TypesErrorKind::Conflict`](crate::error::TypesErrorKind::Conflict) if it has another component of the same name.
    pub fn describe(
        &self,
        document: &mut OpenApi,
        method: HttpMethod,
        path: &str,
    ) -> Result<(), TypesError> {
        let mut components = document.components.clone().unwrap_or_default();
        for (name, schema) in &self.components {
            add(&mut components.schemas, name.clone(), schema.clone())?;
        }
        for schema in self.components.values() {
            for name in references(&json!(schema)) {
                if !components.schemas.contains_key(&name) {
                    return Err(TypesErrorCause::Missing(format!("component {name}")).into());
                }
            }
        }
        let operation =
            document.paths.paths.get_mut(path).and_then(|item| operation(item, &method));
        let Some(operation) = operation else {
            return Err(TypesErrorCause::Missing(format!("operation of path {path}")).into());
        };
        let response = operation.responses.responses.entry("200".to_owned());
        let response = response.or_insert_with(|| Response::new("Events").into());
        if let RefOr::Ref(_) = response {
            *response = Response::new("Events").into();
        }
        if let RefOr::T(response) = response {
            let content = ContentBuilder::new().item_schema(Some(self.item_schema())).build();
            response.content.insert(EVENT_STREAM.to_owned(), content.into());
        }
        document.components = Some(components);
        document.openapi = OpenApiVersion::Version32;
        Ok(())
    }

    /// The schema of one event.
    fn item_schema(&self) -> RefOr<Schema> {
        // Enums may have events of the same name.
        let any = self
            .messages
            .iter()
            .fold(AnyOfBuilder::new(), |any, component| any.item(Ref::from_schema_name(component)));
        any.into()
    }
}

impl Default for StreamSchema {
    fn default() -> Self {
        Self::new()
    }
}

// utoipa's types are `Debug` only with a feature of its own.
impl std::fmt::Debug for StreamSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StreamSchema").field("messages", &self.messages).finish_non_exhaustive()
    }
}

/// The schema of an event of this name, with the component that its data is.
fn message(event: &str, data: Option<&str>, description: Option<String>) -> Schema {
    let text = || ObjectBuilder::new().schema_type(Type::String);
    let data = match data {
        None => text().enum_values(Some([""])),
        Some(component) => {
            text().content_media_type(JSON).content_schema(Some(Ref::from_schema_name(component)))
        }
    };
    let message = ObjectBuilder::new()
        .description(description)
        .property("event", text().enum_values(Some([event])))
        .required("event")
        .property("data", data)
        .required("data")
        .property("id", text())
        .property("retry", ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0)));
    message.build().into()
}

/// Names of components are letters, digits, `.`, `-` and `_`.
fn component_name(name: &str, event: &str) -> String {
    let is_allowed = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    let event: String = event.chars().map(|c| if is_allowed(c) { c } else { '_' }).collect();
    format!("{name}.{event}")
}

/// Adds a component, which may be there already.
fn add(
    components: &mut BTreeMap<String, RefOr<Schema>>,
    name: String,
    schema: RefOr<Schema>,
) -> Result<(), TypesError> {
    match components.get(&name) {
        Some(known) if *known != schema => {
            Err(TypesErrorCause::Conflict(format!("component {name}")).into())
        }
        _ => {
            components.insert(name, schema);
            Ok(())
        }
    }
}

fn operation<'a>(item: &'a mut PathItem, method: &HttpMethod) -> Option<&'a mut Operation> {
    let operation = match method {
        HttpMethod::Get => &mut item.get,
        HttpMethod::Post => &mut item.post,
        HttpMethod::Put => &mut item.put,
        HttpMethod::Delete => &mut item.delete,
        HttpMethod::Options => &mut item.options,
        HttpMethod::Head => &mut item.head,
        HttpMethod::Patch => &mut item.patch,
        HttpMethod::Trace => &mut item.trace,
    };
    operation.as_mut()
}

/// The components to which a schema refers.
fn references(schema: &Value) -> Vec<String> {
    match schema {
        Value::Object(fields) => {
            let own = fields.get("$ref").and_then(Value::as_str);
            let own = own.and_then(|reference| reference.strip_prefix("#/components/schemas/"));
            own.map(str::to_owned).into_iter().chain(fields.values().flat_map(references)).collect()
        }
        Value::Array(items) => items.iter().flat_map(references).collect(),
        _ => Vec::new(),
    }
}
