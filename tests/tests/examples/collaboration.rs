use serde_json::json;
use tidings::presence::{JOIN_EVENT, LEAVE_EVENT};
use tidings_testkit::wire::Request;
use tidings_tests::example::{ask, follow};

use super::{next, next_json, put, start};

#[tokio::test]
async fn everybody_sees_who_is_there_and_what_they_write() {
    let server = start("collaboration").await;
    let (mut ada, _) = follow(&server, Request::get("/events?user=ada")).await;
    assert_eq!(next_json(&mut ada, JOIN_EVENT).await["principal"], "ada");
    let (grace, _) = follow(&server, Request::get("/events?user=grace")).await;
    assert_eq!(next_json(&mut ada, JOIN_EVENT).await["principal"], "grace");

    ask(&server, Request::post("/paragraphs/1/writing?user=grace", "")).await;
    let writing = next(&mut ada, "writing").await;
    assert_eq!(writing.data(), r#"{"number":1,"by":"grace"}"#);
    assert_eq!(writing.id(), None, "it is not kept");
    for text in ["text=Draft", "text=One+%C3%A9"] {
        let write = put("/paragraphs/1?user=grace", text)
            .header("content-type", "application/x-www-form-urlencoded");
        assert_eq!(ask(&server, write).await.status(), 204);
        next(&mut ada, "paragraph").await;
    }
    grace.reset();
    assert_eq!(next_json(&mut ada, LEAVE_EVENT).await["principal"], "grace");

    // Who comes later gets the paragraph as it is, once, and who is there.
    let (mut late, _) = follow(&server, Request::get("/events?user=linus")).await;
    let paragraph = next_json(&mut late, "paragraph").await;
    assert_eq!(paragraph, json!({ "number": 1, "text": "One é", "by": "grace" }));
}

#[tokio::test]
async fn a_paragraph_may_be_long_in_any_language() {
    let server = start("collaboration").await;
    // As many as the page allows, and each is nine bytes in a form.
    let form = form_urlencoded::Serializer::new(String::new())
        .append_pair("text", &"\u{6587}".repeat(5_000))
        .finish();
    let write = put("/paragraphs/1?user=ada", &form)
        .header("content-type", "application/x-www-form-urlencoded");
    assert_eq!(ask(&server, write).await.status(), 204);
}

#[tokio::test]
async fn the_document_has_the_paragraphs_of_the_page_and_no_others() {
    let server = start("collaboration").await;
    for (number, status) in [(0, 204), (3, 204), (4, 404), (u16::MAX, 404)] {
        let paragraph = format!("/paragraphs/{number}");
        let write = put(&format!("{paragraph}?user=ada"), "text=One")
            .header("content-type", "application/x-www-form-urlencoded");
        let writing = Request::post(&format!("{paragraph}/writing?user=ada"), "");
        for request in [write, writing] {
            assert_eq!(ask(&server, request).await.status(), status, "{paragraph}");
        }
    }
}
