use tidings_testkit::wire::{Request, Response};
use tidings_tests::example::ask;

use super::{next, start};

#[tokio::test]
async fn votes_are_patched_into_every_page() {
    let server = start("datastar").await;
    assert_eq!(ask(&server, Request::post("/votes/tea", "")).await.status(), 204);
    assert_eq!(ask(&server, Request::post("/votes/beer", "")).await.status(), 404);
    let mut page = Response::to(server.addr(), Request::get("/events")).await;
    let patch = next(&mut page, "datastar-patch-elements").await;
    assert!(patch.data().starts_with("elements <ul id=\"result\">"), "{}", patch.data());
    assert!(patch.data().contains("<progress value=\"1\" max=\"1\" aria-label=\"tea\">"));
    ask(&server, Request::post("/votes/water", "")).await;
    let patch = next(&mut page, "datastar-patch-elements").await;
    assert!(patch.data().contains("<progress value=\"1\" max=\"2\" aria-label=\"water\">"));
}

/// What the route for Datastar's tests of servers answers to a list of events, and what it should.
const EVENTS: [(&str, &str); 9] = [
    (
        r#"{"type":"patchElements","elements":"<p id=\"a\">\n</p>"}"#,
        "event: datastar-patch-elements\ndata: elements <p id=\"a\">\ndata: elements </p>\n\n",
    ),
    (
        r##"{"type":"patchElements","elements":"<p></p>","mode":"append","selector":"#a",
            "useViewTransition":true,"eventId":"7","retryDuration":500}"##,
        "event: datastar-patch-elements\nretry: 500\ndata: selector #a\ndata: mode append\n\
         data: useViewTransition true\ndata: elements <p></p>\nid: 7\n\n",
    ),
    (
        r##"{"type":"patchElements","selector":"#a","mode":"remove","retryDuration":1000}"##,
        "event: datastar-patch-elements\ndata: selector #a\ndata: mode remove\n\n",
    ),
    (
        r#"{"type":"patchElements","elements":"<p id=\"a\"></p>","mode":"outer","useViewTransition":false}"#,
        "event: datastar-patch-elements\ndata: elements <p id=\"a\"></p>\n\n",
    ),
    (
        r#"{"type":"patchSignals","signals":{"a":1,"b":{"c":null}},"onlyIfMissing":true}"#,
        "event: datastar-patch-signals\ndata: onlyIfMissing true\n\
         data: signals {\"a\":1,\"b\":{\"c\":null}}\n\n",
    ),
    (
        r#"{"type":"patchSignals","signals":{"a":"two\nlines"}}"#,
        "event: datastar-patch-signals\ndata: signals {\"a\":\"two\\nlines\"}\n\n",
    ),
    (
        r#"{"type":"patchSignals","signals-raw":"{\n\"a\": 1}"}"#,
        "event: datastar-patch-signals\ndata: signals {\ndata: signals \"a\": 1}\n\n",
    ),
    (
        r#"{"type":"executeScript","script":"a();\nb();"}"#,
        "event: datastar-patch-elements\ndata: selector body\ndata: mode append\n\
         data: elements <script data-effect=\"el.remove()\">a();\ndata: elements b();</script>\n\n",
    ),
    (
        r#"{"type":"executeScript","script":"a()","autoRemove":false,
            "attributes":{"type":"module","async":"\""}}"#,
        "event: datastar-patch-elements\ndata: selector body\ndata: mode append\n\
         data: elements <script type=\"module\" async=\"&quot;\">a()</script>\n\n",
    ),
];

#[tokio::test]
async fn events_are_those_of_datastar() {
    let server = start("datastar").await;
    let both = |events: &str, wanted: String| {
        let signals = format!("{{\"events\":[{events}]}}");
        let query = form_urlencoded::Serializer::new(String::new())
            .append_pair("datastar", &signals)
            .finish();
        let requests =
            [Request::get(&format!("/test?{query}")), Request::post("/test", signals.clone())];
        (requests, wanted)
    };
    let all = EVENTS.map(|(event, _)| event).join(",");
    let all = both(&all, EVENTS.map(|(_, wanted)| wanted).concat());
    let each = EVENTS.map(|(event, wanted)| both(event, wanted.to_owned()));
    for (requests, wanted) in each.into_iter().chain([all]) {
        for request in requests {
            let answer = ask(&server, request.header("accept", "text/event-stream")).await;
            assert_eq!(answer.text().trim_start_matches(":\n\n"), wanted);
        }
    }
    for bad in ["", "{}", r#"{"events":[{"type":"other"}]}"#] {
        assert_eq!(ask(&server, Request::post("/test", bad)).await.status(), 400, "{bad}");
    }
}
