use serde_json::json;
use tidings_testkit::wire::Request;
use tidings_tests::example::{ask, follow};

use super::{next_json, post_form, start};

#[tokio::test]
async fn the_stream_goes_on_where_the_page_ends() {
    let server = start("news").await;
    let publish =
        |headline: &str| post_form("/news", &format!("headline={headline}&section=Local"));
    assert_eq!(ask(&server, publish("%3Ci%3Eone")).await.status(), 303);
    let page = ask(&server, Request::get("/")).await;
    assert!(page.text().contains("<span>&lt;i>one</span>"), "{}", page.text());
    let (_, position) = page.text().split_once("data-position=\"").expect("a position");
    let position = position.split('"').next().expect("a first part");

    // Neither in the page nor after the stream was opened.
    ask(&server, publish("two")).await;
    let events = Request::get(&format!("/events?lastEventId={position}"));
    let (mut events, status) = follow(&server, events).await;
    assert_eq!(status["status"], "resumed");
    let two = next_json(&mut events, "published").await;
    assert_eq!(two, json!({ "headline": "two", "section": "Local" }));

    for _ in 0..30 {
        ask(&server, publish("more")).await;
    }
    let page = ask(&server, Request::get("/")).await;
    assert_eq!(page.text().matches("<li>").count(), 20);
}
