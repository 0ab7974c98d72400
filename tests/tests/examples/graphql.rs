use serde_json::{Value, json};
use tidings_testkit::limit::within;
use tidings_testkit::process::Process;
use tidings_testkit::wire::{Ending, Request, Response};
use tidings_tests::example::ask;

use super::{next, next_json, start};

const TOKEN: &str = "x-graphql-event-stream-token";
const SUBSCRIPTION: &str = "subscription { messages { id text } }";

fn post(body: &Value) -> Request {
    Request::post("/graphql", body.to_string()).header("content-type", "application/json")
}

/// An operation with its own stream, as an `EventSource` asks for it.
fn distinct(query: &str) -> Request {
    get(&[("query", query)])
}

/// The same, of a document with several operations.
fn named(query: &str, operation: &str) -> Request {
    get(&[("query", query), ("operationName", operation)])
}

fn get(parameters: &[(&str, &str)]) -> Request {
    let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
    Request::get(&format!("/graphql?{query}"))
}

async fn query(server: &Process, body: &Value) -> Value {
    let answer = ask(server, post(body)).await;
    serde_json::from_str(answer.text()).expect("JSON")
}

async fn try_to_say(server: &Process, text: &str) -> Value {
    let mutation = "mutation ($text: String!) { say(text: $text) }";
    query(server, &json!({ "query": mutation, "variables": { "text": text } })).await
}

async fn say(server: &Process, text: &str) -> String {
    let said = try_to_say(server, text).await;
    said["data"]["say"].as_str().unwrap_or_else(|| panic!("{said}")).to_owned()
}

/// Says as much as can be shown. In JSON, these are 240,000 bytes.
async fn say_much(server: &Process) {
    for _ in 0..20 {
        say(server, &"\u{1}".repeat(2_000)).await;
    }
}

/// A query of what was said last, so many times.
fn messages(times: usize) -> String {
    let fields: Vec<_> = (0..times).map(|n| format!("a{n}: messages {{ text }}")).collect();
    format!("{{ {} }}", fields.join(" "))
}

fn text(result: &Value) -> &str {
    result["data"]["messages"]["text"].as_str().unwrap_or_else(|| panic!("{result}"))
}

#[tokio::test]
async fn a_query_is_answered_with_json() {
    let server = start("graphql").await;
    say(&server, "one").await;
    let answer = ask(&server, post(&json!({ "query": "{ messages { text } }" }))).await;
    assert_eq!(answer.text(), r#"{"data":{"messages":[{"text":"one"}]}}"#);
}

#[tokio::test]
async fn what_costs_too_much_is_refused() {
    let server = start("graphql").await;
    say(&server, &"é".repeat(2_000)).await;
    let refused = try_to_say(&server, &"é".repeat(2_001)).await;
    assert!(refused["errors"].is_array(), "{refused}");
    let shown = query(&server, &json!({ "query": messages(12) })).await;
    assert_eq!(shown["errors"], Value::Null);
    let refused = query(&server, &json!({ "query": messages(13) })).await;
    assert!(refused["errors"].is_array(), "{refused}");
}

/// Fragments of which each spreads the next one so many times, and what spreads the first one.
fn nested(fragments: usize, times: usize) -> String {
    let fragment = |n: usize| {
        let spreads = format!("...F{} ", n + 1).repeat(times);
        format!(" fragment F{n} on Query {{ {spreads}}}")
    };
    let fragments: String = (0..fragments).map(fragment).collect();
    format!("{{ ...F0 }}{fragments}")
}

#[tokio::test]
async fn a_short_query_does_not_keep_a_server_busy() {
    let server = start("graphql").await;
    let client = Client::new(&server).await;
    let compared = format!("{{ a({}) {} }}", "a: 1 ".repeat(900), "a ".repeat(900));
    let unused = nested(100, 1).replacen("...F0", "messages { text }", 1);
    for large in [nested(30, 10), nested(30, 2), compared, unused] {
        let refused = "query is too large";
        let answer = query(&server, &json!({ "query": large })).await;
        assert_eq!(answer["errors"][0]["message"], refused, "{large}");
        let mut stream = Response::to(server.addr(), distinct(&large)).await;
        let result = next_json(&mut stream, "next").await;
        assert_eq!(result["errors"][0]["message"], refused, "{large}");
        assert_eq!(client.start("a", &large).await.status(), 400, "{large}");
    }
    let large = post(&json!({ "query": messages(1), "variables": { "x": "x".repeat(33_000) } }));
    assert_eq!(Response::to(server.addr(), large).await.status(), 413);
}

#[tokio::test]
async fn a_subscription_has_one_field() {
    let server = start("graphql").await;
    say(&server, "one").await;
    let two = "subscription { a: messages { id } b: messages { id } }";
    let mut stream = Response::to(server.addr(), distinct(two)).await;
    let refused = next_json(&mut stream, "next").await;
    assert!(refused["errors"].is_array(), "{refused}");
    assert_eq!(stream.next_message().await.event(), "complete");
    let client = Client::new(&server).await;
    assert_eq!(client.start("a", two).await.status(), 400);
}

#[tokio::test]
async fn a_get_request_changes_nothing() {
    let server = start("graphql").await;
    let several = "query Q { messages { text } } mutation M { say(text: \"two\") }";
    let mutations = [
        distinct("mutation { say(text: \"one\") }"),
        named(several, "M"),
        // Nobody asks for it by its name.
        distinct("mutation M { say(text: \"three\") }"),
    ];
    for mutation in mutations {
        let refused = ask(&server, mutation).await;
        assert_eq!((refused.status(), refused.header("allow")), (405, Some("POST")));
    }
    let mut stream = Response::to(server.addr(), named(several, "Q")).await;
    let shown = next_json(&mut stream, "next").await;
    assert_eq!(shown, json!({ "data": { "messages": [] } }));
}

#[tokio::test]
async fn an_operation_with_its_own_stream_is_resumed_by_event_source() {
    let server = start("graphql").await;
    let mut stream = Response::to(server.addr(), distinct(SUBSCRIPTION)).await;
    let one = say(&server, "one").await;
    let message = next(&mut stream, "next").await;
    assert_eq!(message.id(), Some(&*one));
    assert_eq!(text(&message.json().expect("JSON")), "one");
    stream.reset();
    say(&server, "two").await;

    let request = distinct(SUBSCRIPTION).header("last-event-id", &one);
    let mut stream = Response::to(server.addr(), request).await;
    assert_eq!(text(&next_json(&mut stream, "next").await), "two");

    // An id of another history.
    let request = distinct(SUBSCRIPTION).header("last-event-id", "elsewhere-7");
    let mut stream = Response::to(server.addr(), request).await;
    let reset = next_json(&mut stream, "next").await;
    assert_eq!(reset["errors"][0]["extensions"]["code"], "RESET");
    assert_eq!(text(&next_json(&mut stream, "next").await), "one");
}

#[tokio::test]
async fn errors_and_the_end_are_events() {
    let server = start("graphql").await;
    for query in ["{ messages { text } }", "{ nothing }", "{"] {
        let request = post(&json!({ "query": query })).header("accept", "text/event-stream");
        let mut stream = Response::to(server.addr(), request).await;
        assert_eq!(stream.status(), 200);
        let result = next_json(&mut stream, "next").await;
        assert_eq!(result["errors"].is_array(), query != "{ messages { text } }", "{result}");
        assert_eq!(next(&mut stream, "complete").await.data(), "");
        assert_eq!(stream.read_to_end().await, Ending::Whole);
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_server_that_ends_completes_no_subscription() {
    let server = start("graphql").await;
    let mut stream = Response::to(server.addr(), distinct(SUBSCRIPTION)).await;
    say(&server, "one").await;
    next(&mut stream, "next").await;
    server.terminate();
    stream.read_to_end().await;
    assert!(!stream.text().contains("complete"), "{}", stream.text());
}

/// A reservation.
struct Client<'a> {
    server: &'a Process,
    token: String,
}

impl<'a> Client<'a> {
    async fn new(server: &'a Process) -> Self {
        let reserved = ask(server, Request::new("PUT", "/graphql")).await;
        assert_eq!(reserved.status(), 201);
        Self { server, token: reserved.text().to_owned() }
    }

    async fn connect(&self, last_event_id: Option<&str>) -> Response {
        let request = Request::get(&format!("/graphql?token={}", self.token));
        let request = match last_event_id {
            Some(id) => request.header("last-event-id", id),
            None => request,
        };
        Response::to(self.server.addr(), request).await
    }

    async fn start(&self, id: &str, query: &str) -> Response {
        ask(self.server, self.operation(id, query)).await
    }

    /// Starts an operation when another one with its id has completed.
    async fn start_next(&self, id: &str, query: &str) {
        within("the id to be free", async {
            while self.start(id, query).await.status() != 202 {
                tokio::task::yield_now().await;
            }
        })
        .await;
    }

    fn operation(&self, id: &str, query: &str) -> Request {
        let body = json!({ "query": query, "extensions": { "operationId": id } });
        post(&body).header(TOKEN, &self.token)
    }

    async fn stop(&self, id: &str) -> u16 {
        let request = Request::new("DELETE", &format!("/graphql?operationId={id}"));
        ask(self.server, request.header(TOKEN, &self.token)).await.status()
    }
}

#[tokio::test]
async fn one_stream_has_all_operations_and_loses_nothing_by_a_cut() {
    let server = start("graphql").await;
    let client = Client::new(&server).await;
    let mut stream = client.connect(None).await;
    assert_eq!(client.start("a", SUBSCRIPTION).await.status(), 202);
    let one = say(&server, "one").await;
    let next_a = next_json(&mut stream, "next").await;
    assert_eq!((next_a["id"].as_str(), text(&next_a["payload"])), (Some("a"), "one"));
    assert_eq!(next_a["payload"]["data"]["messages"]["id"], one);

    assert_eq!(client.start("b", "{ messages { text } }").await.status(), 202);
    assert_eq!(next_json(&mut stream, "next").await["id"], "b");
    assert_eq!(next(&mut stream, "complete").await.data(), r#"{"id":"b"}"#);

    let seen = stream.last_event_id().to_owned();
    stream.reset();
    say(&server, "two").await;
    let mut stream = client.connect(Some(&seen)).await;
    assert_eq!(text(&next_json(&mut stream, "next").await["payload"]), "two");

    assert_eq!(client.stop("a").await, 200);
    assert_eq!(next(&mut stream, "complete").await.data(), r#"{"id":"a"}"#);
    // It is refused at once.
    assert_eq!(client.start("c", "{ nothing }").await.status(), 400);
    assert_eq!(client.start("d", "{").await.status(), 400);
}

#[tokio::test]
async fn an_id_is_of_one_operation_until_that_has_completed() {
    let server = start("graphql").await;
    let client = Client::new(&server).await;
    let mut stream = client.connect(None).await;
    assert_eq!(client.start("1", SUBSCRIPTION).await.status(), 202);
    // Nothing of it is done.
    let again = client.start("1", "mutation { say(text: \"again\") }").await;
    assert_eq!(again.status(), 409);
    assert_eq!(client.start("1", SUBSCRIPTION).await.status(), 409);
    say(&server, "one").await;
    let message = stream.next_message().await;
    assert_eq!(message.event(), "next", "{message:?}");
    let next_1: Value = message.json().expect("JSON");
    assert_eq!((next_1["id"].as_str(), text(&next_1["payload"])), (Some("1"), "one"));

    assert_eq!(client.stop("1").await, 200);
    assert_eq!(next(&mut stream, "complete").await.data(), r#"{"id":"1"}"#);
    client.start_next("1", SUBSCRIPTION).await;
    // One that is refused has none.
    for _ in 0..2 {
        assert_eq!(client.start("2", "{ nothing }").await.status(), 400);
    }
}

#[tokio::test]
async fn a_reservation_has_one_stream_and_ends_when_it_is_left() {
    let server = start("graphql").await;
    let client = Client::new(&server).await;
    let mut old = client.connect(None).await;
    let new = client.connect(None).await;
    // A newer stream takes its place, and the connection ends without an event that is not of the protocol.
    assert_eq!(old.read_to_end().await, Ending::Whole);
    assert!(old.messages().is_empty(), "{old:?}");
    assert_eq!(client.start("a", SUBSCRIPTION).await.status(), 202);
    new.reset();
    within("the end of the reservation", async {
        while client.stop("a").await != 404 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    assert_eq!(client.start("b", SUBSCRIPTION).await.status(), 404);
    assert_eq!(client.connect(None).await.status(), 404);
}

#[tokio::test]
async fn a_client_of_another_history_starts_its_operations_again() {
    let server = start("graphql").await;
    say(&server, "one").await;
    let client = Client::new(&server).await;
    // It says with each request what it has seen.
    let mut stream = client.connect(Some("elsewhere-7")).await;
    assert_eq!(stream.status(), 200);
    let operation = client.operation("a", SUBSCRIPTION).header("last-event-id", "elsewhere-7");
    assert_eq!(ask(&server, operation).await.status(), 202);
    let reset = next_json(&mut stream, "next").await;
    assert_eq!(reset["payload"]["errors"][0]["extensions"]["code"], "RESET");
    assert_eq!(text(&next_json(&mut stream, "next").await["payload"]), "one");
}

#[tokio::test]
async fn a_result_that_is_too_long_for_an_event_is_an_error() {
    let server = start("graphql").await;
    say_much(&server).await;
    let client = Client::new(&server).await;
    let mut stream = client.connect(None).await;
    assert_eq!(client.start("a", &messages(5)).await.status(), 202);
    let too_long = next_json(&mut stream, "next").await;
    assert_eq!((&too_long["id"], &too_long["payload"]["data"]), (&json!("a"), &Value::Null));
    assert!(too_long["payload"]["errors"].is_array(), "{too_long}");
    assert_eq!(next(&mut stream, "complete").await.data(), r#"{"id":"a"}"#);
}

#[tokio::test]
async fn a_reservation_ends_when_something_of_it_is_gone() {
    let server = start("graphql").await;
    let client = Client::new(&server).await;
    let _stream = client.connect(None).await;
    assert_eq!(client.connect(Some("elsewhere-7")).await.status(), 404);
    assert_eq!(client.start("a", SUBSCRIPTION).await.status(), 404);

    say_much(&server).await;
    let client = Client::new(&server).await;
    // There is no room for two of these. When the third one begins, they are published.
    for _ in 0..3 {
        client.start_next("a", &messages(4)).await;
    }
    assert_eq!(client.connect(None).await.status(), 404);
}

#[tokio::test]
async fn reservations_and_their_operations_are_limited() {
    let server = start("graphql").await;
    let client = Client::new(&server).await;
    for id in 0..100 {
        assert_eq!(client.start(&id.to_string(), SUBSCRIPTION).await.status(), 202);
    }
    assert_eq!(client.start("100", SUBSCRIPTION).await.status(), 429);
    for _ in 1..1_000 {
        Client::new(&server).await;
    }
    assert_eq!(ask(&server, Request::new("PUT", "/graphql")).await.status(), 503);
}
