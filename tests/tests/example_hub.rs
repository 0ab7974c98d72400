//! The interface of the example hubs. On Unix, because elsewhere a process cannot be asked to end.
#![cfg(unix)]

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings::END_EVENT;
use tidings_testkit::limit::within;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tidings_tests::example::{self, ask, json};
use tidings_tests::on_every_framework;

on_every_framework! { "hub";
    the_greeting_names_the_framework_and_the_address
    the_page_and_its_files_are_served
    a_published_event_arrives_and_is_confirmed
    a_bad_publication_is_refused_with_a_reason
    a_body_that_is_too_large_is_413_as_json
    a_bad_subscription_is_refused_with_a_reason
    a_fresh_client_gets_the_history_that_it_asks_for
    a_stream_begins_at_the_position
    a_history_is_read_and_its_stream_goes_on
    a_bad_history_is_refused_with_a_reason
    a_page_is_rendered_with_its_stream
    the_demo_publishes_to_its_topics
    a_pattern_has_history_and_live_events
    a_stream_with_a_filter_has_the_events_that_match
    clients_are_listed
    a_client_can_be_closed
    a_stream_ends_when_its_right_expires
    the_topics_of_an_open_stream_can_be_changed
    the_streams_of_a_principal_can_be_closed
    the_cluster_is_described
    a_publication_with_a_key_is_published_once
    a_topic_keeps_the_newest_value_of_each_key
    who_is_on_a_topic_is_told
    a_topic_is_finished_once_and_its_clients_do_not_come_back
    the_health_check_says_ok
    metrics_are_served_for_prometheus
    without_the_demo_its_topics_are_silent
    anything_else_is_not_found
    the_limits_of_users_are_flags
    a_drain_turns_new_streams_away_and_ends_the_others
    sigterm_ends_streams_and_the_process_within_a_second
    sigterm_does_not_wait_for_a_client_that_does_not_read
    after_a_crash_clients_are_reset
    both_transports_serve_the_same
    bad_flags_are_reported_in_a_sentence
    a_port_in_use_is_reported_in_a_sentence
    #[cfg(target_os = "linux")]
    clients_that_do_not_read_cost_no_memory
}

/// Asserts that a response is a refusal, and returns its reason.
#[track_caller]
fn refusal(response: &Response, status: u16) -> String {
    assert_eq!(response.status(), status, "{}", response.text());
    let body = json(response);
    assert_eq!(keys(&body), ["error"]);
    body["error"].as_str().expect("a text").to_owned()
}

fn keys(value: &Value) -> Vec<&str> {
    let keys: BTreeSet<_> =
        value.as_object().into_iter().flatten().map(|(key, _)| &**key).collect();
    keys.into_iter().collect()
}

/// Publishes an event. Returns its id and the number of subscribers.
async fn publish(hub: &Process, query: &str, data: impl Into<Vec<u8>>) -> (String, u64) {
    let response = ask(hub, Request::post(&format!("/publish?{query}"), data)).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    let body = json(&response);
    assert_eq!(keys(&body), ["duplicate", "id", "subscribers"]);
    let id = body["id"].as_str().expect("a text").to_owned();
    (id, body["subscribers"].as_u64().expect("a number"))
}

/// Opens a stream. Returns it with the data of its status event.
async fn follow(hub: &Process, query: &str) -> (Response, Value) {
    example::follow(hub, Request::get(&format!("/events?{query}"))).await
}

async fn the_greeting_names_the_framework_and_the_address(package: &str) {
    let hub = Process::start(package).await;
    let framework = package.trim_start_matches("hub-");
    let address = hub.addr();
    let expected = format!("Tidings hub on {framework}: open http://{address}/ in a browser");
    assert_eq!(hub.greeting(), expected);
    assert!(address.ip().is_loopback() && address.port() != 0);
}

async fn the_page_and_its_files_are_served(package: &str) {
    let hub = Process::start(package).await;
    for (path, content_type, beginning) in [
        ("/", "text/html; charset=utf-8", "<!doctype html>"),
        ("/app.css", "text/css; charset=utf-8", ""),
        ("/app.js", "text/javascript; charset=utf-8", ""),
        ("/rendered.js", "text/javascript; charset=utf-8", ""),
        ("/icon.svg", "image/svg+xml", "<svg"),
    ] {
        let response = ask(&hub, Request::get(path)).await;
        assert_eq!(response.status(), 200, "{path}");
        assert_eq!(response.header("content-type"), Some(content_type));
        assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
        assert_eq!(response.header("cache-control"), Some("no-cache"));
        let policy = response.header("content-security-policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self'"), "{policy}");
        assert!(response.text().len() > 100 && response.text().starts_with(beginning), "{path}");
    }
}

async fn a_published_event_arrives_and_is_confirmed(package: &str) {
    let hub = Process::start(package).await;
    assert_eq!(publish(&hub, "topic=a", "to nobody").await.1, 0);
    let (mut stream, _) = follow(&hub, "topic=a&topic=b%2Fc").await;
    for (query, data, name) in [
        ("topic=a", "one\r\n two\n", "message"),
        ("topic=b%2Fc&event=price", "{\"n\":1}", "price"),
        ("topic=a&event=", "", "message"),
        ("topic=a&event=two+words&other=x", "\u{2028}", "two words"),
    ] {
        let (id, subscribers) = publish(&hub, query, data).await;
        assert_eq!(subscribers, 1);
        let message = stream.next_message().await;
        assert_eq!((message.event(), message.last_event_id()), (name, &*id));
        assert_eq!(message.data(), data.replace("\r\n", "\n"));
    }
}

async fn a_bad_publication_is_refused_with_a_reason(package: &str) {
    let hub = Process::start(package).await;
    for (query, body, reason) in [
        ("", "x", "topic is missing; add one to the URL, such as /publish?topic=news"),
        ("?topic=a&topic=b", "x", "topic is given more than once"),
        ("?topic=a&event=x&event=y", "x", "event is given more than once"),
        ("?topic=", "x", "topic is empty"),
        ("?topic=two+words", "x", "topic contains ' ' at byte 3"),
        ("?topic=a&event=x%0Adata:+y", "x", "event name contains '\\n' at byte 1"),
    ] {
        let response = ask(&hub, Request::post(&format!("/publish{query}"), body)).await;
        assert_eq!(refusal(&response, 400), reason);
    }
    let reserved = Request::post("/publish?topic=a&event=tidings:status", "{}");
    let reason = refusal(&ask(&hub, reserved).await, 400);
    assert_eq!(
        reason,
        "event name is reserved: names that begin with `tidings:` belong to the hub"
    );
    let response = ask(&hub, Request::post("/publish?topic=a", b"a\xff".as_slice())).await;
    let reason = refusal(&response, 400);
    assert!(reason.starts_with("body is not UTF-8: "), "{reason}");
}

async fn a_body_that_is_too_large_is_413_as_json(package: &str) {
    let hub = Process::start(package).await;
    let mib = 1024 * 1024;
    // Over the hub's limit for an event.
    let response = ask(&hub, Request::post("/publish?topic=a", vec![b'x'; mib * 3 / 2])).await;
    let reason = refusal(&response, 413);
    assert!(reason.ends_with("over the limit of 1048576 bytes"), "{reason}");
    // Over the server's limit for a body. The server need not read it to its end.
    let head = Request::new("POST", "/publish?topic=a").header("content-length", "3145728");
    let mut connection = Connection::open(hub.addr()).await;
    connection.write(&[head.bytes(), vec![b'x'; 2 * mib + 1]].concat()).await;
    let mut response = connection.response().await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    let reason = refusal(&response, 413);
    assert!(reason.starts_with("body"), "{reason}");
}

async fn a_bad_subscription_is_refused_with_a_reason(package: &str) {
    let hub = Process::start(package).await;
    for (query, reason) in [
        ("", "topic is missing; add at least one to the URL, such as /events?topic=news"),
        ("?topic=a&topic=", "topic pattern is empty"),
        ("?topic=a+*", "topic pattern contains ' ' at byte 1"),
        ("?topic=a&history=x", "history is neither a number of events nor `all`"),
        ("?topic=a&history=-1", "history is neither a number of events nor `all`"),
    ] {
        let response = ask(&hub, Request::get(&format!("/events{query}"))).await;
        assert_eq!(refusal(&response, 400), reason);
    }
}

async fn a_fresh_client_gets_the_history_that_it_asks_for(package: &str) {
    let hub = Process::start(package).await;
    let mut ids = Vec::new();
    for data in ["one", "two", "three"] {
        ids.push(publish(&hub, "topic=a", data).await.0);
    }
    for (n, (query, expected)) in [
        ("history=2", &["two", "three"][..]),
        ("history=all", &["one", "two", "three"]),
        ("history=all&lastEventId=", &["one", "two", "three"]),
        ("history=9", &["one", "two", "three"]),
        ("history=0", &[]),
        ("", &[]),
    ]
    .into_iter()
    .enumerate()
    {
        let live = format!("topic=live-{n}");
        let (mut stream, status) = follow(&hub, &format!("topic=a&{live}&{query}")).await;
        assert_eq!(status["status"], "fresh");
        publish(&hub, &live, "").await;
        let messages = stream.read_messages(1 + expected.len() + 1).await;
        let data: Vec<_> = messages.iter().skip(1).map(|message| message.data()).collect();
        assert_eq!(data, [expected, &[""]].concat(), "{query}");
    }
    let (mut stream, status) =
        follow(&hub, &format!("topic=a&history=all&lastEventId={}", ids[1])).await;
    assert_eq!(status["status"], "resumed");
    assert_eq!(stream.next_message().await.data(), "three");
}

async fn a_stream_begins_at_the_position(package: &str) {
    let hub = Process::start(package).await;
    publish(&hub, "topic=a", "before").await;
    let position = json(&ask(&hub, Request::get("/position")).await);
    assert_eq!(keys(&position), ["id"]);
    publish(&hub, "topic=a", "after").await;
    let id = position["id"].as_str().expect("a text");
    let (mut stream, status) = follow(&hub, &format!("topic=a&lastEventId={id}")).await;
    assert_eq!(status["status"], "resumed");
    assert_eq!(stream.next_message().await.data(), "after");
}

async fn a_history_is_read_and_its_stream_goes_on(package: &str) {
    let hub = Process::start(package).await;
    let mut ids = Vec::new();
    for (query, data) in
        [("topic=a", "one"), ("topic=b:1&event=tick", "two\n"), ("topic=a", "3"), ("topic=c", "4")]
    {
        ids.push(publish(&hub, query, data).await.0);
    }
    let one = serde_json::json!({ "id": ids[0], "event": "message", "data": "one" });
    let two = serde_json::json!({ "id": ids[1], "event": "tick", "data": "two\n" });
    let three = serde_json::json!({ "id": ids[2], "event": "message", "data": "3" });
    for (query, events) in [
        ("topic=a&topic=b:1", vec![&one, &two, &three]),
        ("topic=a&topic=b:*&last=2", vec![&two, &three]),
        ("topic=b:*&last=100", vec![&two]),
        ("topic=a&last=0", vec![]),
        ("topic=nothing", vec![]),
    ] {
        let history = json(&ask(&hub, Request::get(&format!("/history?{query}"))).await);
        assert_eq!(keys(&history), ["events", "position"]);
        assert_eq!(history["events"], serde_json::json!(events), "{query}");
        let live = format!("topic=live-{}", query.len());
        let position = history["position"].as_str().expect("a text");
        let resumed = format!("{query}&{live}&lastEventId={position}");
        let (mut stream, status) = follow(&hub, &resumed).await;
        assert_eq!(status["status"], "resumed", "{query}");
        publish(&hub, &live, "next").await;
        assert_eq!(stream.next_message().await.data(), "next", "{query}");
    }
}

async fn a_bad_history_is_refused_with_a_reason(package: &str) {
    let hub = Process::start(package).await;
    let many: String = (0..=1_000).map(|n| format!("&topic={n}")).collect();
    for path in ["/history", "/rendered"] {
        for (query, reason) in [
            ("", "topic is missing; add at least one to the URL, such as /history?topic=news"),
            ("?topic=a&last=101", "last is not a number of events up to 100"),
            ("?topic=a&last=all", "last is not a number of events up to 100"),
            ("?topic=a+b", "topic pattern contains ' ' at byte 1"),
            (&many.replacen('&', "?", 1), "subscription has 1001 topics, over the limit of 1000"),
        ] {
            let response = ask(&hub, Request::get(&format!("{path}{query}"))).await;
            assert_eq!(refusal(&response, 400), reason);
        }
    }
}

async fn a_page_is_rendered_with_its_stream(package: &str) {
    let hub = Process::start(package).await;
    publish(&hub, "topic=a%26b", "<script>alert(1)</script>").await;
    publish(&hub, "topic=a%26b&event=tick", "5 > 4 & 3 < 4").await;
    publish(&hub, "topic=a%26b&event=unheard", "nobody listens").await;
    let id = json(&ask(&hub, Request::get("/position")).await)["id"].clone();
    let target = "/rendered?topic=a%26b&event=tick&event=%22%3E%3Cimg%3E";
    let response = ask(&hub, Request::get(target)).await;
    assert_eq!(response.status(), 200);
    assert_eq!(response.header("content-type"), Some("text/html; charset=utf-8"));
    assert_eq!(response.header("x-content-type-options"), Some("nosniff"));
    let policy = response.header("content-security-policy").expect("a policy");
    assert!(policy.starts_with("default-src 'self'"), "{policy}");
    let list = response.text().split_once("<ol").expect("the list").1;
    let expected = format!(
        " id=\"events\" data-stream=\"/events?topic=a%26b&amp;lastEventId={}\" \
         data-names=\"message\ntick\n&quot;>&lt;img>\">\n\
         <li>&lt;script>alert(1)&lt;/script></li>\n<li>5 > 4 &amp; 3 &lt; 4</li>\n</ol>\n",
        id.as_str().expect("a text")
    );
    assert!(list.starts_with(&expected), "{list}");
}

async fn the_demo_publishes_to_its_topics(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, _) = follow(&hub, "topic=ticker&topic=job&topic=notifications").await;
    let mut last = None;
    stream
        .read_until("four prices and a step of the job", |stream| {
            let count = |name| stream.messages().iter().filter(|m| m.event() == name).count();
            count("price") >= 4 && count("progress") >= 1
        })
        .await;
    for message in stream.messages().iter().filter(|message| message.event() == "price") {
        let price: Value = serde_json::from_str(message.data()).expect("JSON");
        assert_eq!(keys(&price), ["n", "price", "symbol"]);
        let n = price["n"].as_u64().expect("a number");
        assert!(last.is_none_or(|last| n == last + 1), "{n} after {last:?}");
        last = Some(n);
    }
}

async fn a_pattern_has_history_and_live_events(package: &str) {
    let hub = Process::start(package).await;
    for (topic, data) in [("user:1:mail", "one"), ("user:10:mail", "other"), ("user:1:chat", "two")]
    {
        publish(&hub, &format!("topic={topic}"), data).await;
    }
    let (mut stream, status) = follow(&hub, "topic=user:1:*&topic=user:1:mail&history=all").await;
    assert_eq!(status["status"], "fresh");
    let (_, subscribers) = publish(&hub, "topic=user:1:mail", "three").await;
    // By its name, and by the pattern.
    assert_eq!(subscribers, 2);
    publish(&hub, "topic=user:1:new", "four").await;
    let messages = stream.read_messages(5).await;
    let data: Vec<_> = messages.iter().skip(1).map(|message| message.data().to_owned()).collect();
    assert_eq!(data, ["one", "two", "three", "four"]);
    let list = json(&ask(&hub, Request::get("/clients")).await);
    assert_eq!(list["topics"], serde_json::json!({ "user:1:*": 1, "user:1:mail": 1 }));
    let last = messages[2].last_event_id().to_owned();
    drop(stream);
    let (mut stream, status) = follow(&hub, &format!("topic=*:1:*&lastEventId={last}")).await;
    assert_eq!(status["status"], "resumed");
    assert_eq!(stream.next_message().await.data(), "three");
    assert_eq!(stream.next_message().await.data(), "four");
}

async fn a_stream_with_a_filter_has_the_events_that_match(package: &str) {
    let hub = Process::start(package).await;
    let filter = "topic=a&history=2&filter.role=admin&filter.role=editor&filter.severity:min=3";
    let (mut live, _) = follow(&hub, filter).await;
    for (number, (attributes, matches)) in [
        ("attr.role=admin&attr.severity:int=3", true),
        ("attr.role=admin&attr.severity:int=2", false),
        ("attr.role=guest&attr.severity:int=9", false),
        ("attr.role=editor&attr.severity:int=4&attr.draft:bool=true", true),
        ("attr.role=admin&attr.severity=3", false),
        ("attr.role=admin", false),
        ("attr.role=admin&attr.severity:int=5", true),
    ]
    .into_iter()
    .enumerate()
    {
        let data = number.to_string();
        let (_, subscribers) = publish(&hub, &format!("topic=a&{attributes}"), &*data).await;
        assert_eq!(subscribers, u64::from(matches), "{attributes}");
        if matches {
            assert_eq!(live.next_message().await.data(), data);
        }
    }
    assert!(!live.text().contains("admin") && !live.text().contains("severity"));
    let (mut fresh, _) = follow(&hub, filter).await;
    let messages: Vec<_> = fresh.read_messages(3).await.iter().map(|it| it.data()).collect();
    assert_eq!(messages[1..], ["3", "6"]);
    for query in ["filter.a:min=x&topic=a", "filter.=x&topic=a", "filter.a:kind=x&topic=a"] {
        let response = ask(&hub, Request::get(&format!("/events?{query}"))).await;
        assert!(refusal(&response, 400).contains("attribute"), "{query}");
    }
}

async fn clients_are_listed(package: &str) {
    let hub = Process::start(package).await;
    let nobody = json(&ask(&hub, Request::get("/clients")).await);
    assert_eq!(nobody, serde_json::json!({ "total": 0, "topics": {}, "clients": [] }));

    let (first, status) = follow(&hub, "topic=b&topic=a").await;
    let (_second, _) = follow(&hub, "topic=a").await;
    let list = json(&ask(&hub, Request::get("/clients")).await);
    assert_eq!(keys(&list), ["clients", "topics", "total"]);
    assert_eq!(
        (&list["total"], &list["topics"]),
        (&2.into(), &serde_json::json!({"a": 2, "b": 1}))
    );
    let client = &list["clients"][0];
    assert_eq!(
        keys(client),
        [
            "bytes_sent",
            "connected_ms",
            "events_sent",
            "id",
            "last_id",
            "principal",
            "remote_addr",
            "topics"
        ]
    );
    assert_eq!(client["id"], status["client"]);
    assert_eq!(client["topics"], serde_json::json!(["a", "b"]));
    assert_eq!(client["principal"], Value::Null);
    assert_eq!(client["remote_addr"], first.local_addr().to_string());
    assert_eq!(client["events_sent"], 1);
    assert_eq!(client["bytes_sent"], first.body().len());
    assert_eq!(client["last_id"], first.last_event_id());
    assert!(client["connected_ms"].is_u64());
}

async fn a_client_can_be_closed(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, status) = follow(&hub, "topic=a").await;
    let target = format!("/clients/{}", status["client"].as_str().expect("an id"));
    let response = ask(&hub, Request::new("DELETE", &target)).await;
    assert_eq!((response.status(), response.text()), (204, ""));
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    // Its end may arrive before the client leaves the registry.
    let again = within("the client is gone", async {
        loop {
            let again = ask(&hub, Request::new("DELETE", &target)).await;
            if again.status() != 204 {
                return again;
            }
        }
    });
    assert_eq!(refusal(&again.await, 404), "client id: no client with this id is connected");
    let invalid = ask(&hub, Request::new("DELETE", "/clients/x")).await;
    assert_eq!(refusal(&invalid, 404), "client id is not 16 hexadecimal digits");
}

async fn a_stream_ends_when_its_right_expires(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, _) = follow(&hub, "topic=a&expires_in=1").await;
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    let last = stream.messages().last().expect("a last event");
    assert_eq!((last.event(), last.data()), ("tidings:end", r#"{"reason":"expired"}"#));
}

async fn the_topics_of_an_open_stream_can_be_changed(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, status) = follow(&hub, "topic=a").await;
    let id = status["client"].as_str().expect("an id");
    publish(&hub, "topic=b", "before").await;
    let change = async |query: &str| {
        ask(&hub, Request::new("POST", &format!("/clients/{id}/topics?{query}"))).await
    };
    let changed = change("add=b&add=c:*&remove=a&history=5").await;
    assert_eq!(json(&changed), serde_json::json!({ "topics": ["b", "c:*"] }));
    for (topic, data) in [("a", "not"), ("c:1", "one"), ("b", "two")] {
        publish(&hub, &format!("topic={topic}"), data).await;
    }
    let messages = stream.read_messages(4).await;
    let data: Vec<_> = messages[1..].iter().map(|message| message.data()).collect();
    assert_eq!(data, ["before", "one", "two"]);
    let nothing = change("x=y").await;
    assert_eq!(refusal(&nothing, 400), "neither add nor remove names a topic");
    let all = change("remove=b&remove=c:*").await;
    assert_eq!(refusal(&all, 400), "topic is missing");
    let nobody = Request::new("POST", "/clients/0123456789abcdef/topics?add=b");
    let nobody = ask(&hub, nobody).await;
    assert_eq!(refusal(&nobody, 404), "client id: no client with this id is connected");
}

async fn the_streams_of_a_principal_can_be_closed(package: &str) {
    let hub = Process::start(package).await;
    let (mut hers, _) = follow(&hub, "topic=a&principal=ada+b").await;
    let (mut other, _) = follow(&hub, "topic=a&principal=ada").await;
    let close = async |closed: usize| {
        let response = ask(&hub, Request::new("DELETE", "/principals/ada%20b")).await;
        assert_eq!(response.status(), 200);
        assert_eq!(json(&response), serde_json::json!({ "closed": closed, "silent": [] }));
    };
    close(1).await;
    assert_eq!(hers.read_to_end().await, Ending::Whole);
    // The server drops it after its end.
    within("one client to be left", async {
        while json(&ask(&hub, Request::get("/clients")).await)["total"] != 1 {
            tokio::task::yield_now().await;
        }
    })
    .await;
    close(0).await;
    publish(&hub, "topic=a", "still connected").await;
    assert_eq!(other.next_message().await.data(), "still connected");
}

async fn the_cluster_is_described(package: &str) {
    let hub = Process::start(package).await;
    let (_stream, _) = follow(&hub, "topic=a").await;
    let cluster = json(&ask(&hub, Request::get("/cluster")).await);
    let id = "0000000000000000";
    let node = serde_json::json!({
        "id": id, "self": true, "clients": 1, "ready": true, "lost": false, "last_seen_ms": 0,
    });
    assert_eq!(cluster, serde_json::json!({ "clients": 1, "nodes": [node] }));
}

async fn a_publication_with_a_key_is_published_once(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, _) = follow(&hub, "topic=a").await;
    let mut answers = Vec::new();
    for _ in 0..2 {
        let response = ask(&hub, Request::post("/publish?topic=a&key=order-17", "17")).await;
        answers.push(json(&response));
    }
    assert_eq!(answers[0]["id"], answers[1]["id"]);
    assert_eq!(answers.iter().map(|a| a["duplicate"] == true).collect::<Vec<_>>(), [false, true]);
    publish(&hub, "topic=a", "18").await;
    let data = [stream.next_message().await, stream.next_message().await];
    assert_eq!(data.map(|message| message.data().to_owned()), ["17", "18"]);
}

async fn a_topic_keeps_the_newest_value_of_each_key(package: &str) {
    let arguments = ["--listen", ANY_PORT, "--latest-per-key", "prices", "--latest-per-key", "p:*"];
    let hub = Process::start_with(package, &arguments).await;
    for topic in ["prices", "p:1", "others"] {
        for (query, data) in [
            ("event_key=EUR", "EUR 1"),
            ("event_key=GBP", "GBP 1"),
            ("event_key=EUR&event=price", "EUR 2"),
            ("event_key=USD", "USD 1"),
            ("remove_key=GBP", "GBP gone"),
            ("", "all"),
        ] {
            publish(&hub, &format!("topic={topic}&{query}"), data).await;
        }
    }
    for (topic, expected) in [
        ("prices", vec!["EUR 2", "USD 1", "GBP gone", "all"]),
        ("p:*", vec!["EUR 2", "USD 1", "GBP gone", "all"]),
        ("others", vec!["EUR 1", "GBP 1", "EUR 2", "USD 1", "GBP gone", "all"]),
    ] {
        let (mut stream, _) = follow(&hub, &format!("topic={topic}&history=all")).await;
        for expected in expected {
            assert_eq!(stream.next_message().await.data(), expected, "{topic}");
        }
    }
}

async fn who_is_on_a_topic_is_told(package: &str) {
    let hub = Process::start_with(package, &["--listen", ANY_PORT, "--presence", "room/*"]).await;
    let (mut watcher, _) = follow(&hub, "topic=presence/room/1&history=all").await;
    let mut streams = Vec::new();
    for principal in ["ada", "grace", "ada"] {
        let query = format!("topic=room/1&topic=news&principal={principal}");
        streams.push(follow(&hub, &query).await);
        if streams.len() < 3 {
            let join = watcher.next_message().await;
            let data: Value = serde_json::from_str(join.data()).expect("JSON");
            assert_eq!((join.event(), &data["principal"]), ("presence:join", &principal.into()));
        }
    }
    let present = json(&ask(&hub, Request::get("/presence?topic=room%2F1")).await);
    let names = [0, 1].map(|n| present[n]["principal"].as_str().expect("a text"));
    assert_eq!((names, present.as_array().map(Vec::len)), (["ada", "grace"], Some(2)));
    assert_eq!(keys(&present[0]), ["nodes", "principal", "since"]);
    let nobody = ask(&hub, Request::get("/presence?topic=news")).await;
    assert_eq!(nobody.text(), "[]");
    streams.swap_remove(1).0.close().await;
    let leave = watcher.next_message().await;
    let data: Value = serde_json::from_str(leave.data()).expect("JSON");
    assert_eq!((leave.event(), &data["principal"]), ("presence:leave", &"grace".into()));
    let refused = ask(&hub, Request::get("/presence")).await;
    let reason = "there is not one topic in the URL, as in /presence?topic=room/1";
    assert_eq!(refusal(&refused, 400), reason);
}

async fn a_topic_is_finished_once_and_its_clients_do_not_come_back(package: &str) {
    let hub = Process::start(package).await;
    let (mut stream, _) = follow(&hub, "topic=a").await;
    let finish = || ask(&hub, Request::post("/finish?topic=a&event=done&key=k", "the end"));
    let finished = json(&finish().await);
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    let received: Vec<_> = stream.messages().iter().map(|it| (it.event(), it.data())).collect();
    let end = ("tidings:end", r#"{"reason":"finished"}"#);
    assert_eq!(received[1..], [("done", "the end"), end]);
    assert_eq!(finished["id"], stream.last_event_id());
    assert_eq!(json(&finish().await)["duplicate"], true);
    let late = ask(&hub, Request::post("/publish?topic=a", "late")).await;
    assert_eq!(refusal(&late, 409), "topic is finished");
    let again = Request::get("/events?topic=a").header("last-event-id", stream.last_event_id());
    assert_eq!(ask(&hub, again).await.status(), 204);
}

async fn metrics_are_served_for_prometheus(package: &str) {
    let hub = Process::start(package).await;
    let (_stream, _) = follow(&hub, "topic=a").await;
    let response = ask(&hub, Request::get("/metrics")).await;
    assert_eq!(response.header("content-type"), Some("text/plain; version=0.0.4; charset=utf-8"));
    assert!(response.text().contains("\ntidings_clients 1\n"), "{}", response.text());
}

async fn without_the_demo_its_topics_are_silent(package: &str) {
    let arguments = ["--listen", ANY_PORT, "--demo", "false"];
    let hub = Process::start_with(package, &arguments).await;
    // The demo would publish its first events right away.
    let (mut other, _) =
        follow(&hub, "topic=job&topic=ticker&topic=notifications&history=all").await;
    publish(&hub, "topic=ticker", "the first").await;
    assert_eq!(other.next_message().await.data(), "the first");
}

async fn the_health_check_says_ok(package: &str) {
    let hub = Process::start(package).await;
    let response = ask(&hub, Request::get("/healthz")).await;
    assert_eq!((response.status(), response.text()), (200, "ok\n"));
}

/// Reads a stream to its end, and returns the data of its last event.
async fn end_of(stream: &mut Response) -> String {
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    let last = stream.messages().last().expect("a last event");
    assert_eq!(last.event(), END_EVENT);
    last.data().to_owned()
}

async fn the_limits_of_users_are_flags(package: &str) {
    let start = async |flags: &[&str]| {
        Process::start_with(package, &[&["--listen", ANY_PORT], flags].concat()).await
    };
    let ada = || Request::get("/events?topic=a&principal=ada&client_key=phone");
    for (flag, limit) in [
        ("--streams-per-principal", "principal"),
        ("--streams-per-client-key", "client_key"),
        ("--streams-per-topic", "topic"),
    ] {
        let hub = start(&[flag, "1"]).await;
        let _one = example::follow(&hub, ada()).await;
        let mut two = Response::to(hub.addr(), ada()).await;
        assert_eq!(two.status(), 200);
        let expected = format!(r#"{{"reason":"limited","limit":"{limit}"}}"#);
        assert_eq!(end_of(&mut two).await, expected);
    }
    let hub = start(&["--streams-per-principal", "1", "--over-limit", "supersede"]).await;
    let (mut one, _) = example::follow(&hub, ada()).await;
    let _two = example::follow(&hub, ada()).await;
    assert_eq!(end_of(&mut one).await, r#"{"reason":"superseded"}"#);

    let hub = start(&["--streams-per-principal", "1", "--over-limit", "status"]).await;
    let _one = example::follow(&hub, ada()).await;
    assert_eq!(ask(&hub, ada()).await.status(), 429);

    let hub = start(&["--publications-per-source", "2", "--max-lifetime", "0.2"]).await;
    let publish = async |source: &str| {
        let target = format!("/publish?topic=a&source={source}");
        ask(&hub, Request::post(&target, "x")).await.status()
    };
    let outcomes = [publish("ada").await, publish("ada").await, publish("ada").await];
    assert_eq!(outcomes, [200, 200, 429]);
    assert_eq!(publish("bob").await, 200);
    let (mut one, _) = example::follow(&hub, ada()).await;
    assert_eq!(end_of(&mut one).await, r#"{"reason":"lifetime"}"#);
}

async fn a_drain_turns_new_streams_away_and_ends_the_others(package: &str) {
    let arguments = ["--listen", ANY_PORT, "--drain-over", "2"];
    let mut hub = Process::start_with(package, &arguments).await;
    let mut streams = Vec::new();
    for _ in 0..4 {
        streams.push(follow(&hub, "topic=a").await.0);
    }
    hub.terminate();
    let health = async {
        loop {
            let health = ask(&hub, Request::get("/healthz")).await;
            if health.status() != 200 {
                break health;
            }
        }
    };
    let health = within("the drain", health).await;
    assert_eq!((health.status(), health.text()), (503, "hub is draining\n"));
    let mut new = Response::to(hub.addr(), Request::get("/events?topic=a")).await;
    assert_eq!(end_of(&mut new).await, r#"{"reason":"drained"}"#);
    for stream in &mut streams {
        assert_eq!(end_of(stream).await, r#"{"reason":"drained"}"#);
    }
    assert!(hub.ended().await.success());
}

async fn anything_else_is_not_found(package: &str) {
    let hub = Process::start(package).await;
    for path in ["/nothing", "/app.js.map", "/../Cargo.toml"] {
        assert_eq!(ask(&hub, Request::get(path)).await.status(), 404, "{path}");
    }
    for (method, path) in [("GET", "/publish?topic=a"), ("DELETE", "/clients"), ("POST", "/events")]
    {
        let response = ask(&hub, Request::new(method, path).header("content-length", "0")).await;
        assert!(matches!(response.status(), 404 | 405), "{method} {path}: {}", response.status());
    }
}

/// What the hubs promise, and another second for a busy machine.
const A_SECOND: Duration = Duration::from_secs(1 + 1);

async fn sigterm_ends_streams_and_the_process_within_a_second(package: &str) {
    let mut hub = Process::start(package).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        streams.push(follow(&hub, "topic=a&topic=ticker").await.0);
    }
    publish(&hub, "topic=a", "the last").await;
    let began = Instant::now();
    hub.terminate();
    for stream in &mut streams {
        assert_eq!(stream.read_to_end().await, Ending::Whole);
        assert!(stream.messages().iter().any(|message| message.data() == "the last"));
    }
    let status = hub.ended().await;
    assert!(began.elapsed() < A_SECOND, "it took {:?}", began.elapsed());
    assert!(status.success(), "{status}: {}", hub.complaints());
    assert_eq!(hub.complaints(), "");
}

async fn sigterm_does_not_wait_for_a_client_that_does_not_read(package: &str) {
    let mut hub = Process::start(package).await;
    let stalled = stalled(hub.addr(), "topic=a").await;
    for _ in 0..16 {
        publish(&hub, "topic=a", "x".repeat(500_000)).await;
    }
    let (mut stream, _) = follow(&hub, "topic=a").await;
    let began = Instant::now();
    hub.terminate();
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    let status = hub.ended().await;
    assert!(began.elapsed() < A_SECOND, "it took {:?}", began.elapsed());
    assert!(status.success(), "{status}: {}", hub.complaints());
    drop(stalled);
}

/// A client that reads only the head of the response.
async fn stalled(hub: SocketAddr, query: &str) -> Response {
    let connection = Connection::open_narrow(hub, 4 * 1024).await;
    connection.send(&Request::get(&format!("/events?{query}"))).await
}

async fn after_a_crash_clients_are_reset(package: &str) {
    let hub = Process::start(package).await;
    let address = hub.addr();
    let (mut stream, _) = follow(&hub, "topic=a").await;
    publish(&hub, "topic=a", "before").await;
    stream.next_message().await;
    let id = stream.last_event_id().to_owned();

    let hub = hub.kill_and_restart().await;
    assert_eq!(hub.addr(), address);
    assert_ne!(stream.read_to_end().await, Ending::Whole, "a crash is no orderly end");
    let (mut stream, status) = follow(&hub, &format!("topic=a&lastEventId={id}")).await;
    assert_eq!((&status["status"], &status["reason"]), (&"reset".into(), &"unknown".into()));
    publish(&hub, "topic=a", "after").await;
    assert_eq!(stream.next_message().await.data(), "after");
}

/// actix-web has one transport, whatever the flag says.
async fn both_transports_serve_the_same(package: &str) {
    let mut seen = Vec::new();
    for transport in ["auto", "body"] {
        let arguments = ["--listen", ANY_PORT, "--transport", transport];
        let hub = Process::start_with(package, &arguments).await;
        let (mut stream, status) = follow(&hub, "topic=a").await;
        let (id, _) = publish(&hub, "topic=a&event=price", "one\ntwo").await;
        let message = stream.next_message().await;
        assert_eq!(message.last_event_id(), id);
        // actix-web does not keep their order.
        let headers: BTreeSet<_> =
            stream.headers().iter().filter(|(name, _)| name != "date").cloned().collect();
        let event = (message.event().to_owned(), message.data().to_owned());
        seen.push((status["status"].clone(), event, headers));
        if cfg!(target_os = "linux") {
            let threads = hub.threads().expect("Linux lists them");
            let writers = threads.iter().any(|name| name.starts_with("tidings-writer"));
            assert_eq!(writers, transport == "auto" && package != "hub-actix-web", "{threads:?}");
        }
    }
    assert_eq!(seen[0], seen[1]);
}

async fn bad_flags_are_reported_in_a_sentence(package: &str) {
    for (flags, sentence) in [
        (&["--listen", "here"][..], "error: invalid value 'here' for '--listen <ADDRESS>': "),
        (
            &["--listen"],
            "error: a value is required for '--listen <ADDRESS>' but none was supplied",
        ),
        (&["--port", "80"], "error: unexpected argument '--port' found"),
        (
            &["--transport", "pigeon"],
            "error: invalid value 'pigeon' for '--transport <auto|body>': transport is neither",
        ),
    ] {
        let output = Process::run(package, flags).await;
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.starts_with(sentence), "{complaint}");
        assert!(!output.status.success());
        assert!(output.stdout.is_empty());
    }
}

async fn a_port_in_use_is_reported_in_a_sentence(package: &str) {
    let hub = Process::start(package).await;
    let address = hub.addr().to_string();
    let output = Process::run(package, &["--listen", &address]).await;
    let complaint = String::from_utf8_lossy(&output.stderr);
    assert!(
        complaint.starts_with(&format!("{package}: cannot listen on {address}: "))
            && complaint.ends_with("; try another --listen\n")
            && complaint.lines().count() == 1,
        "{complaint}"
    );
    assert!(!output.status.success());
    assert!(output.stdout.is_empty());
}

#[cfg(target_os = "linux")]
async fn clients_that_do_not_read_cost_no_memory(package: &str) {
    const CLIENTS: usize = 50;
    const EVENTS: usize = 256;
    const BYTES: usize = 128 * 1024;
    let hub = Process::start(package).await;
    let before = hub.memory().expect("Linux measures it");
    let mut stalled_clients = Vec::new();
    for _ in 0..CLIENTS {
        stalled_clients.push(stalled(hub.addr(), "topic=large").await);
    }
    let mut connection = Connection::open(hub.addr()).await;
    let request = Request::post("/publish?topic=large", "x".repeat(BYTES));
    for _ in 0..EVENTS {
        let mut response = connection.send(&request).await;
        assert_eq!(response.read_to_end().await, Ending::Whole);
        assert_eq!(json(&response)["subscribers"], CLIENTS);
        connection = response.into_connection();
    }
    let after = hub.memory().expect("Linux measures it");
    let more = after.saturating_sub(before);
    println!(
        "{package}: {CLIENTS} stalled clients, {} MiB published: {} MiB of memory more",
        (EVENTS * BYTES) >> 20,
        more >> 20
    );
    // A queue for each client would be 1,600 MiB. The hub may hold the topic's 1 MiB, at most 16 MiB of chunks, and
    // for each client what its server has not written yet.
    assert!(more < 48 << 20, "{} MiB more", more >> 20);
    drop(stalled_clients);
}
