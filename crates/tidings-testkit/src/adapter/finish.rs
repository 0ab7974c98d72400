//! The end of a topic.

use tidings::{END_EVENT, Event};

use super::Adapter;
use super::site::{Site, data_of, status_of};
use crate::wire::{Connection, Ending, Http2, Request, Response};

const END: &str = r#"{"reason":"finished"}"#;

/// Publishes the last event of a topic, and returns its id.
#[track_caller]
fn finish(site: &Site, topic: &str) -> String {
    let last = site.hub.finish(topic, Event::new("last")).wait();
    last.expect("a topic is finished").id().to_string()
}

/// Comes back with an id to a topic that is over.
async fn is_over(connection: Connection, target: &str, id: &str) -> Connection {
    let mut response = connection.send(&Request::get(target).header("Last-Event-ID", id)).await;
    assert_eq!(response.status(), 204);
    assert_eq!(response.header("content-type"), None);
    assert_eq!(response.header("cache-control"), Some("no-store"));
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), "");
    response.into_connection()
}

async fn ends(response: &mut Response) {
    assert_eq!(response.read_to_end().await, Ending::Whole);
    let end = response.messages().last().expect("an end");
    assert_eq!((end.event(), end.data()), (END_EVENT, END));
}

pub async fn all_streams_of_a_finished_topic_end_and_do_not_come_back<A: Adapter>() {
    let site = Site::open::<A>();
    let mut streams = Vec::new();
    for n in 0..30 {
        let target = ["/events?topic=a", "/bare?topic=a", "/events?topic=a&topic=b"][n % 3];
        let mut response = site.get(target).await;
        if !target.starts_with("/bare") {
            status_of(&response.next_message().await);
        }
        streams.push(response);
    }
    site.publish("a", "one");
    finish(&site, "a");
    for (n, stream) in streams.iter_mut().enumerate() {
        if n % 3 < 2 {
            ends(stream).await;
            assert_eq!(data_of(stream.messages())[1 - n % 3..], ["one", "last", END]);
        }
    }
    site.publish("b", "two");
    let last = finish(&site, "b");
    for (n, stream) in streams.into_iter().enumerate() {
        let mut stream = stream;
        if n % 3 == 2 {
            ends(&mut stream).await;
            assert_eq!(data_of(stream.messages())[1..], ["one", "last", "two", "last", END]);
            assert_eq!(stream.last_event_id(), last);
        }
        let id = stream.last_event_id().to_owned();
        // The connection is good for another request, and for one after the answer without a body.
        let connection = is_over(stream.into_connection(), "/events?topic=a", &id).await;
        is_over(connection, "/bare?topic=a", &id).await;
    }
    assert_eq!(site.hub.clients().count(), 0);
    assert_eq!(site.hub.metrics().ended_finished, 30);
}

pub async fn a_client_that_comes_back_gets_the_rest_and_then_204<A: Adapter>() {
    let site = Site::open::<A>();
    let first = site.publish("a", "first");
    site.publish("a", "second");
    let last = finish(&site, "a");
    for (id, rest) in [(Some(first), &["second", "last"][..]), (None, &["last"])] {
        let request = Request::get("/events?topic=a");
        let request = match &id {
            Some(id) => request.header("Last-Event-ID", id),
            None => request,
        };
        let mut response = site.send(request).await;
        assert_eq!(response.status(), 200);
        ends(&mut response).await;
        assert_eq!(data_of(&response.messages()[1..]), [rest, &[END]].concat());
        assert_eq!(response.last_event_id(), last);
        is_over(response.into_connection(), "/events?topic=a", &last).await;
    }
    let query = format!("/events?topic=a&lastEventId={last}");
    assert_eq!(site.get(&query).await.status(), 204);
}

pub async fn a_client_that_reads_slowly_gets_everything_up_to_the_end<A: Adapter>() {
    let site = Site::open::<A>();
    let connection = Connection::open_narrow(site.addr(), 16 * 1024).await;
    let mut slow = connection.send(&Request::get("/events?topic=a")).await;
    slow.next_message().await;
    for n in 0..40 {
        site.publish("a", &format!("{n} {}", "x".repeat(16 * 1024)));
    }
    let last = finish(&site, "a");
    ends(&mut slow).await;
    assert_eq!(slow.last_event_id(), last);
    assert_eq!(slow.messages().len(), 1 + 40 + 1 + 1);
}

pub async fn streams_of_http_2_end_and_do_not_come_back<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut streams = Vec::new();
    for _ in 0..10 {
        let mut response = client.get("/events?topic=a").await;
        status_of(&response.next_message().await);
        streams.push(response);
    }
    let last = finish(&site, "a");
    for stream in &mut streams {
        assert_eq!(stream.read_to_end().await, Ending::Whole);
        assert_eq!(data_of(&stream.messages()[1..]), ["last", END]);
    }
    let mut over = client.send("GET", "/events?topic=a", &[("last-event-id", &*last)]).await;
    assert_eq!(over.status(), 204);
    assert!(over.headers().iter().all(|(name, _)| *name != "content-length"), "RFC 9110, 8.6");
    assert_eq!(over.read_to_end().await, Ending::Whole);
    assert_eq!(over.text(), "");
}
