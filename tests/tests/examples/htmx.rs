use tidings_testkit::wire::{Request, Response};
use tidings_tests::example::{ask, follow};

use super::{next, post_form, resume, start};

#[tokio::test]
async fn the_newest_list_is_enough_for_every_page() {
    let server = start("htmx").await;
    // A page that was there before this server: what it shows is gone.
    let left = Request::get("/events").header("last-event-id", "elsewhere-7");
    let (mut open, status) = follow(&server, left).await;
    assert_eq!(status["status"], "reset");
    assert_eq!(next(&mut open, "orders").await.data(), "");
    let ordered = ask(&server, post_form("/orders", "dish=Fish+%26+chips")).await;
    assert_eq!(ordered.status(), 204);
    let list = next(&mut open, "orders").await;
    assert!(list.data().contains("Fish &amp; chips"), "{}", list.data());
    let mut away = Response::to(server.addr(), Request::get("/events")).await;
    assert_eq!(next(&mut away, "orders").await.data(), list.data());

    ask(&server, post_form("/orders", "dish=%3Cb%3Esoup")).await;
    ask(&server, post_form("/orders/1/served", "")).await;
    let mut back = resume(&server, Request::get("/events"), &away).await;
    let (mut new, _) = follow(&server, Request::get("/events")).await;
    let newest = next(&mut new, "orders").await;
    assert!(newest.data().contains("&lt;b>soup"), "{}", newest.data());
    assert!(!newest.data().contains("chips"), "{}", newest.data());
    while next(&mut back, "orders").await.data() != newest.data() {}
}

#[tokio::test]
async fn no_order_is_too_much_to_show() {
    let server = start("htmx").await;
    // Each of these is six bytes in the list.
    let dish = format!("dish={}", "%22".repeat(339));
    for _ in 0..100 {
        assert_eq!(ask(&server, post_form("/orders", &dish)).await.status(), 204);
    }
    assert_eq!(ask(&server, post_form("/orders", "dish=tea")).await.status(), 503);
    assert_eq!(ask(&server, post_form("/orders/1/served", "")).await.status(), 204);
    let long = format!("dish={}", "x".repeat(2_000));
    assert_eq!(ask(&server, post_form("/orders", &long)).await.status(), 413);
    assert_eq!(ask(&server, post_form("/orders", "dish=tea")).await.status(), 204);
}
