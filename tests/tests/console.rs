//! The console of the example hubs: whom it lets in, and what it does for them. What it looks like is tested in a browser:
//! `tests/browser/console.test.mjs`.
#![cfg(unix)]

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Ending, Request, Response};
use tidings_tests::example::{self, ask, follow};
use tidings_tests::on_every_framework;

on_every_framework! { "hub";
    without_a_token_there_is_no_console
    its_page_and_files_are_for_everybody_and_nothing_else_is
    a_session_is_a_cookie_for_who_has_sent_the_token
    what_changes_something_is_refused_to_pages_of_other_origins
    attempts_to_log_in_have_a_limit
    a_large_body_is_refused
    its_figures_come_live_and_go_to_nobody_else
    clients_are_listed_searched_and_closed
    a_topic_is_read_along_with
    its_streams_end_with_the_server
}

const TOKEN: &str = "s3cret";

/// What needs a session.
const GUARDED: [(&str, &str); 7] = [
    ("GET", "/console/session"),
    ("GET", "/console/clients"),
    ("GET", "/console/figures"),
    ("GET", "/console/tail?topic=*"),
    ("DELETE", "/console/clients/0123456789abcdef"),
    ("PUT", "/console"),
    ("GET", "/console/anything/else"),
];

async fn start(package: &str) -> Process {
    start_with_token(package, TOKEN).await
}

async fn start_with_token(package: &str, token: &str) -> Process {
    let arguments = ["--listen", ANY_PORT, "--token", token, "--demo", "false"];
    Process::start_with(package, &arguments).await
}

fn request(method: &str, target: &str) -> Request {
    Request::new(method, target).header("content-length", "0").header("x-tidings-console", "1")
}

async fn log_in(hub: &Process, token: &str) -> Response {
    let request = Request::post("/console/login", token).header("x-tidings-console", "1");
    ask(hub, request).await
}

/// Logs in. Returns the header `Cookie`.
async fn session(hub: &Process) -> String {
    let answer = log_in(hub, TOKEN).await;
    assert_eq!((answer.status(), answer.text()), (204, ""));
    let cookie = answer.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("name and value").to_owned()
}

async fn publish(hub: &Process, topic: &str, data: &str) {
    let request = Request::post(&format!("/publish?topic={topic}"), data);
    let response = ask(hub, request.header("authorization", format!("Bearer {TOKEN}"))).await;
    assert_eq!(response.status(), 200, "{}", response.text());
}

#[track_caller]
fn refusal(response: &Response, status: u16) -> String {
    assert_eq!(response.status(), status, "{}", response.text());
    example::json(response)["error"].as_str().expect("a text").to_owned()
}

async fn without_a_token_there_is_no_console(package: &str) {
    let hub = Process::start(package).await;
    for (method, target) in
        GUARDED.into_iter().chain([("GET", "/console"), ("POST", "/console/login")])
    {
        let response = ask(&hub, request(method, target)).await;
        assert!(matches!(response.status(), 404 | 405), "{method} {target}: {}", response.status());
    }
}

async fn its_page_and_files_are_for_everybody_and_nothing_else_is(package: &str) {
    let hub = start(package).await;
    for (target, content_type) in [
        ("/console", "text/html; charset=utf-8"),
        ("/console/", "text/html; charset=utf-8"),
        ("/console/console.css", "text/css; charset=utf-8"),
        ("/console/console.js", "text/javascript; charset=utf-8"),
        ("/console/chart.js", "text/javascript; charset=utf-8"),
        ("/console/tail.js", "text/javascript; charset=utf-8"),
        ("/console/icon.svg", "image/svg+xml"),
    ] {
        let response = ask(&hub, Request::get(target)).await;
        assert_eq!(response.status(), 200, "{target}");
        assert_eq!(response.header("content-type"), Some(content_type), "{target}");
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-store"));
        assert_eq!(response.header("referrer-policy"), Some("no-referrer"));
        let policy = response.header("content-security-policy").expect("a policy");
        for rule in
            ["default-src 'none'; script-src 'self'; style-src 'self';", "frame-ancestors 'none'"]
        {
            assert!(policy.contains(rule), "{policy}");
        }
        assert!(!policy.contains("unsafe") && !response.text().contains(TOKEN));
    }
    let forged = format!("tidings-console=99999999999.{}", "0".repeat(64));
    let bearer = format!("Bearer {TOKEN}");
    for (method, target) in GUARDED {
        let request = || request(method, target);
        for stranger in [
            request(),
            request().header("cookie", &forged),
            request().header("cookie", format!("tidings-console={TOKEN}")),
            // There is one way in.
            request().header("authorization", &bearer),
        ] {
            let response = ask(&hub, stranger).await;
            assert_eq!(refusal(&response, 401), "log in first", "{method} {target}");
        }
    }
}

async fn a_session_is_a_cookie_for_who_has_sent_the_token(package: &str) {
    let hub = start(package).await;
    for wrong in ["", "s3cre", "s3cret2", "Bearer s3cret"] {
        let answer = log_in(&hub, wrong).await;
        assert_eq!(refusal(&answer, 401), "token is wrong");
        assert_eq!(answer.header("set-cookie"), None);
    }
    let answer = log_in(&hub, TOKEN).await;
    let cookie = answer.header("set-cookie").expect("a cookie");
    let (value, attributes) = cookie.split_once(';').expect("attributes");
    assert_eq!(attributes, " Path=/console; Max-Age=28800; HttpOnly; SameSite=Strict");
    assert!(!cookie.contains(TOKEN));
    let with_cookie = |target: &str| request("GET", target).header("cookie", value);
    assert_eq!(ask(&hub, with_cookie("/console/session")).await.status(), 204);
    assert_eq!(ask(&hub, with_cookie("/console/anything")).await.status(), 404);
    // It is for the console alone.
    assert_eq!(ask(&hub, with_cookie("/clients")).await.status(), 401);
    let changed = format!("{}0", &value[..value.len() - 1]);
    let changed =
        if changed == value { format!("{}1", &value[..value.len() - 1]) } else { changed };
    let request = request("GET", "/console/session").header("cookie", changed);
    assert_eq!(ask(&hub, request).await.status(), 401);
    // Over TLS, which the browser tells by its origin, the cookie is for TLS alone.
    let https = Request::post("/console/login", TOKEN)
        .header("x-tidings-console", "1")
        .header("origin", "https://hub.example");
    let cookie = ask(&hub, https).await;
    assert!(cookie.header("set-cookie").expect("a cookie").ends_with("; SameSite=Strict; Secure"));

    let logout = Request::new("POST", "/console/logout").header("content-length", "0");
    let answer = ask(&hub, logout.header("x-tidings-console", "1")).await;
    assert_eq!(
        (answer.status(), answer.header("set-cookie")),
        (204, Some("tidings-console=; Path=/console; Max-Age=0; HttpOnly; SameSite=Strict"))
    );
}

async fn what_changes_something_is_refused_to_pages_of_other_origins(package: &str) {
    let hub = start(package).await;
    let cookie = session(&hub).await;
    let (mut stream, status) = follow(&hub, Request::get("/events?topic=a")).await;
    let target = format!("/console/clients/{}", status["client"].as_str().expect("an id"));
    let close =
        || Request::new("DELETE", &target).header("content-length", "0").header("cookie", &cookie);
    let mark = |request: Request| request.header("x-tidings-console", "1");
    // A form or a simple request cannot have the header.
    assert_eq!(refusal(&ask(&hub, close()).await, 403), "header `x-tidings-console` is missing");
    for site in ["cross-site", "same-site"] {
        let foreign = || close().header("sec-fetch-site", site);
        assert_eq!(
            refusal(&ask(&hub, mark(foreign())).await, 403),
            "requests of other origins are refused"
        );
        let stream = Request::get("/console/figures").header("cookie", &cookie);
        refusal(&ask(&hub, stream.header("sec-fetch-site", site)).await, 403);
    }
    for target in ["/console/login", "/console/logout"] {
        let response = ask(&hub, Request::post(target, TOKEN)).await;
        refusal(&response, 403);
        assert_eq!(response.header("set-cookie"), None);
    }
    // No permission for other origins, either.
    let preflight = Request::new("OPTIONS", &target)
        .header("origin", "https://evil.example")
        .header("access-control-request-method", "DELETE");
    let answer = ask(&hub, preflight).await;
    assert!(answer.status() >= 400 && answer.header("access-control-allow-origin").is_none());
    publish(&hub, "a", "still open").await;
    assert_eq!(stream.next_message().await.data(), "still open");
    let own = mark(close().header("sec-fetch-site", "same-origin"));
    assert_eq!(ask(&hub, own).await.status(), 204);
    assert_eq!(stream.read_to_end().await, Ending::Whole);
}

async fn attempts_to_log_in_have_a_limit(package: &str) {
    let hub = start(package).await;
    let too_many = within("the limit", async {
        loop {
            let answer = log_in(&hub, "wrong").await;
            if answer.status() != 401 {
                return answer;
            }
        }
    });
    let answer = too_many.await;
    assert_eq!(refusal(&answer, 429), "too many attempts; wait a second");
    assert_eq!(answer.header("retry-after"), Some("1"));
    within("the next window", async { while log_in(&hub, TOKEN).await.status() != 204 {} }).await;
}

async fn a_large_body_is_refused(package: &str) {
    // The token is right: only its size may keep it out.
    let log_in_with = async |bytes: usize| {
        let token = "x".repeat(bytes);
        log_in(&start_with_token(package, &token).await, &token).await
    };
    assert_eq!(log_in_with(4096).await.status(), 204);
    let answer = log_in_with(4097).await;
    assert!(matches!(answer.status(), 401 | 413), "{}", answer.status());
    assert_eq!(answer.header("set-cookie"), None);
}

/// Opens a stream of the console.
async fn open(hub: &Process, cookie: &str, target: &str) -> (Response, Value) {
    follow(hub, Request::get(target).header("cookie", cookie)).await
}

async fn its_figures_come_live_and_go_to_nobody_else(package: &str) {
    let hub = start(package).await;
    let cookie = session(&hub).await;
    let (mut everything, _) = follow(&hub, Request::get("/events?topic=*&topic=figures")).await;
    let (mut figures, status) = open(&hub, &cookie, "/console/figures").await;
    assert_eq!(status["status"], "fresh");
    let mut next = async || {
        let message = figures.next_message().await;
        assert_eq!(message.event(), "figures");
        serde_json::from_str::<Value>(message.data()).expect("JSON")
    };
    let first = next().await;
    assert_eq!(first["metrics"]["tidings_clients"], 1.0);
    assert_eq!((&first["ready"], &first["log"]), (&json!(true), &json!("memory")));
    assert_eq!(first["nodes"][0]["clients"], 1);
    publish(&hub, "orders", "x").await;
    let later = within("the topic's event", async {
        loop {
            let figures = next().await;
            let topics = figures["topics"]["list"].as_array().expect("a list");
            if topics.iter().any(|it| it["name"] == "orders" && it["events"] == 1) {
                return figures;
            }
        }
    });
    let later = later.await;
    assert_eq!(later["metrics"]["tidings_events_total"], 1.0, "the console publishes nothing");
    next().await;
    assert_eq!(everything.next_message().await.data(), "x");
    publish(&hub, "orders", "y").await;
    assert_eq!(everything.next_message().await.data(), "y", "there are no figures in between");
}

async fn clients_are_listed_searched_and_closed(package: &str) {
    let hub = start(package).await;
    let cookie = session(&hub).await;
    let (mut hers, status) =
        follow(&hub, Request::get("/events?topic=a&topic=b:*&principal=Ada")).await;
    let (_other, _) = follow(&hub, Request::get("/events?topic=%3Cb%3E&principal=bob")).await;
    let id = status["client"].as_str().expect("an id");
    let list = async |search: &str| {
        let target = format!("/console/clients?search={search}");
        example::json(&ask(&hub, Request::get(&target).header("cookie", &cookie)).await)
    };
    let all = list("").await;
    assert_eq!((&all["total"], &all["found"]), (&json!(2), &json!(2)));
    assert_eq!(all["clients"][0]["principal"], "bob", "the newest is the first");
    for search in ["ada", "B:*", id, "127.0.0.1", "+ada+"] {
        let found = list(search).await;
        assert!(
            found["clients"].as_array().expect("a list").iter().any(|client| client["id"] == id),
            "{search}"
        );
    }
    let client = &list("ada").await["clients"][0];
    assert_eq!((&client["topics"], &client["topics_more"]), (&json!(["a", "b:*"]), &json!(0)));
    assert_eq!((&client["lag"], &client["events_sent"]), (&json!(0), &json!(1)));
    assert_eq!(list("nobody").await, json!({ "total": 2, "found": 0, "clients": [] }));

    let close =
        |id: &str| request("DELETE", &format!("/console/clients/{id}")).header("cookie", &cookie);
    assert_eq!(ask(&hub, close(id)).await.status(), 204);
    assert_eq!(hers.read_to_end().await, Ending::Whole);
    assert_eq!(
        refusal(&ask(&hub, close("x")).await, 404),
        "client id is not 16 hexadecimal digits"
    );
    let nobody = ask(&hub, close("0123456789abcdef")).await;
    assert_eq!(refusal(&nobody, 404), "no client with this id is connected");
}

async fn a_topic_is_read_along_with(package: &str) {
    let hub = start(package).await;
    let cookie = session(&hub).await;
    for data in ["one", "two", "<b>three</b>"] {
        publish(&hub, "orders:7", data).await;
    }
    let (mut tail, _) = open(&hub, &cookie, "/console/tail?topic=orders:*&last=2").await;
    publish(&hub, "orders:8", "four").await;
    let mut seen = Vec::new();
    for _ in 0..3 {
        seen.push(tail.next_message().await.data().to_owned());
    }
    assert_eq!(seen, ["two", "<b>three</b>", "four"]);
    // It is listed as any other client is.
    let target = "/console/clients?search=tidings-console";
    let list = example::json(&ask(&hub, Request::get(target).header("cookie", &cookie)).await);
    assert_eq!(list["found"], 1);
    let last = tail.last_event_id().to_owned();
    publish(&hub, "orders:8", "five").await;
    let target = format!("/console/tail?topic=orders:*&last=2&lastEventId={last}");
    let (mut tail, status) = open(&hub, &cookie, &target).await;
    assert_eq!(status["status"], "resumed");
    assert_eq!(tail.next_message().await.data(), "five");
    for (topic, reason) in
        [("", "topic pattern is empty"), ("a+b", "topic pattern contains ' ' at byte 1")]
    {
        let target = format!("/console/tail?topic={topic}");
        let response = ask(&hub, Request::get(&target).header("cookie", &cookie)).await;
        assert_eq!(refusal(&response, 400), reason);
    }
}

async fn its_streams_end_with_the_server(package: &str) {
    let mut hub = start(package).await;
    let cookie = session(&hub).await;
    let (mut figures, _) = open(&hub, &cookie, "/console/figures").await;
    let (mut tail, _) = open(&hub, &cookie, "/console/tail?topic=*").await;
    figures.next_message().await;
    let began = Instant::now();
    hub.terminate();
    assert_eq!(figures.read_to_end().await, Ending::Whole);
    assert_eq!(tail.read_to_end().await, Ending::Whole);
    assert!(hub.ended().await.success());
    // What the hubs promise, and another second for a busy machine.
    assert!(began.elapsed() < Duration::from_secs(2), "it took {:?}", began.elapsed());
}

/// Nobody looks, and nothing is made.
#[cfg(target_os = "linux")]
mod threads {
    use super::*;

    on_every_framework! { "hub";
        nothing_is_made_while_nobody_looks
    }

    async fn nothing_is_made_while_nobody_looks(package: &str) {
        let hub = start(package).await;
        let cookie = session(&hub).await;
        let is_making = || {
            let threads = hub.threads().expect("Linux lists them");
            threads.iter().any(|name| name.starts_with("tidings-console"))
        };
        assert!(!is_making());
        for _ in 0..2 {
            let (figures, _) = open(&hub, &cookie, "/console/figures").await;
            eventually("figures are made", is_making).await;
            drop(figures);
            eventually("they are made no more", || !is_making()).await;
        }
    }
}
