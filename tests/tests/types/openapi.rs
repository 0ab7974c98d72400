//! The document of the API, and what other people's tools make of it.

use serde_json::{Value, json};
use tidings::error::TypesErrorKind;
use tidings::openapi::StreamSchema;
use utoipa::openapi::{HttpMethod, OpenApi as Document};
use utoipa::{OpenApi, ToSchema};

use super::events::{self, OrderEvent, schemas};
use super::{FOLDER, Workshop, received};

#[utoipa::path(get, path = "/orders", responses(
    (status = 200, description = "The orders, as they come", body = OrderEvent, content_type = "text/event-stream"),
    (status = 401, description = "Who are you?"),
))]
#[allow(dead_code, reason = "only what is written above it is read")]
async fn orders() {}

#[utoipa::path(get, path = "/room", responses((status = 200, description = "A room")))]
#[allow(dead_code, reason = "only what is written above it is read")]
async fn room() {}

#[utoipa::path(get, path = "/prices")]
#[allow(dead_code, reason = "only what is written above it is read")]
async fn prices() {}

#[derive(OpenApi)]
#[openapi(paths(orders, room, prices), info(title = "Orders", version = "1"))]
struct Api;

fn document() -> Document {
    let mut document = Api::openapi();
    for (path, schema) in schemas().unwrap() {
        schema.describe(&mut document, HttpMethod::Get, path).unwrap();
    }
    document
}

/// A message as OpenAPI sees it, of a stream at a path; perhaps a wrong one.
fn message(path: &str, event: &str, data: &str, wrong: Option<&str>) -> Value {
    let message = json!({ "event": event, "data": data, "id": "e-1" });
    json!({ "path": path, "message": message, "wrong": wrong })
}

#[test]
fn a_document_is_valid_and_says_what_a_client_gets() {
    let Some(workshop) = Workshop::open() else { return };
    let mut messages = Vec::new();
    for (topic, events) in events::published().unwrap() {
        let path = match topic {
            "orders" => "/orders",
            "room:lobby" => "/room",
            "prices" => "/prices",
            _ => continue,
        };
        for received in received(topic, events) {
            // utoipa 6.0 forgets that an `Option` of a type parameter may be null.
            let wrong = received.data().starts_with(r#"{"replaced":{"old":null"#).then_some("data");
            messages.push(message(path, received.event(), received.data(), wrong));
        }
    }
    assert!(messages.len() >= 20);
    let wrong = [
        message("/orders", "price", r#"{"pair":"a","price":1}"#, Some("message")),
        message("/orders", "all_closed", "{}", Some("message")),
        json!({ "path": "/orders", "message": { "event": "created" }, "wrong": "message" }),
        json!({ "path": "/orders", "message": { "data": "{}" }, "wrong": "message" }),
        message("/orders", "created", r#"{"number":"one"}"#, Some("data")),
        message("/orders", "moved", "[1]", Some("data")),
        message("/orders", "changed", r#"{"added":1}"#, Some("data")),
        message("/orders", "order.returned", r#"{"order-id":1}"#, Some("data")),
        message("/room", "said", r#"{"by":"ada"}"#, Some("data")),
        message("/room", "joinedBy", "{}", Some("data")),
        message("/orders", "tidings:status", r#"{"status":"new","client":"c"}"#, Some("data")),
    ];
    messages.extend(wrong);
    messages.push(message("/orders", "tidings:end", r#"{"reason":"finished"}"#, None));
    workshop.write("openapi.json", &document().to_json().unwrap());
    workshop.write("messages.json", &json!(messages).to_string());
    let (succeeds, said) = workshop.run(&format!("{FOLDER}/openapi.mjs"), &["."]);
    assert!(succeeds && said.is_empty(), "{said}");
}

#[test]
fn the_schema_in_the_guide_is_what_its_enum_gives() {
    #[derive(ToSchema)]
    #[schema(rename_all = "snake_case")]
    #[allow(dead_code, reason = "only its types are read")]
    enum OrderEvent {
        Shipped { number: u32 },
        AllClosed,
    }

    let page = include_str!("../../../docs/guide/openapi.md");
    let shown = page.split("```json\n").nth(1).unwrap().split("```").next().unwrap();
    let mut document = Api::openapi();
    let schema = StreamSchema::new().events::<OrderEvent>().unwrap();
    schema.describe(&mut document, HttpMethod::Get, "/prices").unwrap();
    let document = json!(document);
    let messages = &document["components"]["schemas"]["OrderEventMessage"]["oneOf"];
    assert_eq!(serde_json::from_str::<Value>(shown).unwrap(), messages[0]);
}

#[test]
fn openapi_typescript_makes_types_that_a_client_is_compiled_with() {
    let Some(workshop) = Workshop::open() else { return };
    let client = include_str!("../../types/api_client.ts");
    workshop.write("openapi.json", &document().to_json().unwrap());
    let program = format!("{FOLDER}/node_modules/openapi-typescript/bin/cli.js");
    let (succeeds, said) = workshop.run(&program, &["openapi.json", "--output", "api.d.ts"]);
    assert!(succeeds, "{said}");
    workshop.write("api_client.ts", client);
    assert_eq!(workshop.tsc(), "");
    for (right, wrong, error) in [
        ("case \"created\"", "case \"craeted\"", "TS2678"),
        ("order.number", "order.nummer", "TS2551"),
        ("carrier }: Data", "karrier }: Data", "TS2339"),
    ] {
        let changed = client.replace(right, wrong);
        assert_ne!(changed, client);
        let line = changed.lines().position(|line| line.contains(wrong)).unwrap() + 1;
        workshop.write("api_client.ts", &changed);
        let said = workshop.tsc();
        let expected = format!("api_client.ts({line},");
        let found = said.lines().any(|line| line.starts_with(&expected) && line.contains(error));
        assert!(found, "{wrong}: {said}");
    }
}

#[test]
fn a_document_that_lacks_something_is_left_as_it_is() {
    #[derive(ToSchema)]
    #[allow(dead_code, reason = "only its types are read")]
    struct Line {
        text: String,
    }

    #[derive(ToSchema)]
    #[allow(dead_code, reason = "only its types are read")]
    struct Part {
        text: String,
    }

    #[derive(ToSchema)]
    #[allow(dead_code, reason = "only its types are read")]
    enum Generic<T> {
        Line(T),
        Cut,
    }

    #[derive(ToSchema)]
    #[allow(dead_code, reason = "only its types are read")]
    enum Other {
        Created(Line),
    }

    #[derive(OpenApi)]
    #[openapi(paths(orders), components(schemas(Part)))]
    struct WithParts;

    #[track_caller]
    fn refused(schema: &StreamSchema, mut document: Document, path: &str, why: &str) {
        let before = document.clone();
        let error = schema.describe(&mut document, HttpMethod::Get, path).unwrap_err();
        assert_eq!(error.to_string(), why);
        assert!(document == before);
    }

    let generic = StreamSchema::new().events::<Generic<Part>>().unwrap();
    refused(&generic, Api::openapi(), "/orders", "component Part is not in the document");
    generic.describe(&mut WithParts::openapi(), HttpMethod::Get, "/orders").unwrap();
    let other = StreamSchema::new().events::<Other>().unwrap();
    refused(&other, Api::openapi(), "/orders", "component Line has two different types");
    let misspelt = "operation of path /ordres is not in the document";
    refused(&generic, WithParts::openapi(), "/ordres", misspelt);

    #[track_caller]
    fn unnamed<E: ToSchema>(why: &str) {
        let error = StreamSchema::new().events::<E>().unwrap_err();
        assert_eq!(error.kind(), TypesErrorKind::NotAnEnum);
        assert!(error.to_string().ends_with(why), "{error}");
    }

    #[derive(ToSchema)]
    #[serde(untagged)]
    #[allow(dead_code, reason = "only its types are read")]
    enum Untagged {
        Number(u8),
        Text(String),
    }

    #[derive(ToSchema)]
    #[serde(tag = "t", content = "c")]
    #[allow(dead_code, reason = "only its types are read")]
    enum Adjacent {
        Number(u8),
        Text(String),
    }

    unnamed::<Line>("it is no tagged enum");
    unnamed::<Untagged>("it is no tagged enum");
    unnamed::<String>("it is no tagged enum");
    unnamed::<Adjacent>("it may be tagged internally or adjacently");
}
