//! Rights and topics that change while a stream is open.

use tidings::{ClientId, END_EVENT, Message, STATUS_EVENT};

use super::Adapter;
use super::site::{Site, data_of, status_of};
use crate::limit::eventually;
use crate::wire::{Ending, Http2, Request, Response};

/// The reason that a stream's last event says.
#[track_caller]
fn reason(messages: &[Message]) -> String {
    let last = messages.last().expect("a last event");
    assert_eq!(last.event(), END_EVENT, "{messages:?}");
    let data: serde_json::Value = serde_json::from_str(last.data()).expect("its data is JSON");
    data["reason"].as_str().expect("a reason").to_owned()
}

/// Opens a stream, and reads the client's id.
async fn open(site: &Site, target: &str) -> (Response, ClientId) {
    let mut response = site.get(target).await;
    let status = status_of(&response.next_message().await);
    let id = status["client"].as_str().expect("an id").parse().expect("a client id");
    (response, id)
}

pub async fn a_stream_whose_right_expires_says_so_and_leaves_its_connection<A: Adapter>() {
    let site = Site::open::<A>();
    let mut other = site.follow("/events?topic=a").await;
    let mut stream = site.follow("/events?topic=a&expires_ms=300").await;
    let id = site.publish("a", "one");
    assert_eq!(stream.next_message().await.data(), "one");
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    assert_eq!(reason(stream.messages()), "expired");
    assert_eq!(stream.messages().last().map(Message::last_event_id), Some(id.as_str()));
    site.publish("a", "two");
    // The client comes back, over the same connection.
    let again = Request::get("/events?topic=a").header("last-event-id", &id);
    let mut again = stream.into_connection().send(&again).await;
    assert_eq!(status_of(&again.next_message().await)["status"], "resumed");
    assert_eq!(again.next_message().await.data(), "two");
    assert_eq!(data_of(&other.read_messages(3).await[1..]), ["one", "two"]);
    eventually("the stream has left", || site.hub.clients().count() == 2).await;
}

pub async fn a_stream_whose_right_expires_says_so_over_http_2<A: Adapter>() {
    let site = Site::open_h2c::<A>();
    let client = Http2::open(site.addr()).await;
    let mut other = client.get("/events?topic=a").await;
    let mut stream = client.get("/events?topic=a&expires_ms=300").await;
    site.publish("a", "one");
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    assert_eq!(reason(stream.messages()), "expired");
    site.publish("a", "two");
    for expected in [STATUS_EVENT, "one", "two"] {
        let message = other.next_message().await;
        assert!(message.event() == expected || message.data() == expected, "{message:?}");
    }
}

pub async fn a_stream_whose_client_is_refused_later_ends<A: Adapter>() {
    let site = Site::open::<A>();
    let mut streams = Vec::new();
    for n in 0..20 {
        streams.push(site.follow(&format!("/checked?topic=a&topic=t{n}")).await);
    }
    let mut other = site.follow("/events?topic=a").await;
    let checks = site.app.checks();
    eventually("the application is asked", || site.app.checks() > checks + 40).await;
    site.publish("a", "one");
    for stream in &mut streams {
        assert_eq!(stream.next_message().await.data(), "one");
    }
    site.app.refuse();
    for stream in &mut streams {
        assert_eq!(stream.read_to_end().await, Ending::Whole);
        assert_eq!(reason(stream.messages()), "revoked");
    }
    site.publish("a", "two");
    assert_eq!(data_of(&other.read_messages(3).await[1..]), ["one", "two"]);
}

pub async fn an_open_stream_changes_its_topics_and_others_do_not<A: Adapter>() {
    let site = Site::open::<A>();
    let (mut stream, id) = open(&site, "/events?topic=a").await;
    let (mut other, _) = open(&site, "/events?topic=a").await;
    for n in 0..10 {
        site.publish("b", "not for it");
        assert!(site.hub.client(id).subscribe("b").expect("a good name"));
        let ids = [site.publish("b", "one"), site.publish("a", "two"), site.publish("b", "three")];
        let messages = stream.read_messages(1 + 3 * (n + 1)).await;
        assert_eq!(data_of(&messages[1 + 3 * n..]), ["one", "two", "three"]);
        assert_eq!(messages.last().map(Message::last_event_id), Some(&*ids[2]), "round {n}");
        assert!(site.hub.client(id).unsubscribe("b").expect("a good name"));
    }
    assert_eq!(data_of(&other.read_messages(11).await[1..]), ["two"; 10]);
}

pub async fn many_streams_change_their_topics_under_constant_publishing<A: Adapter>() {
    let site = Site::open::<A>();
    let mut streams = Vec::new();
    for _ in 0..40 {
        streams.push(open(&site, "/events?topic=a").await);
    }
    let mut expected = vec![Vec::new(); streams.len()];
    for round in 0..30 {
        for (n, (_, id)) in streams.iter().enumerate() {
            let client = site.hub.client(*id);
            match (round + n) % 4 {
                0 => assert!(client.subscribe("b").expect("a good name")),
                2 => assert!(client.unsubscribe("b").expect("a good name")),
                _ => {}
            }
        }
        for topic in ["a", "b", "a"] {
            let id = site.publish(topic, topic);
            for (n, expected) in expected.iter_mut().enumerate() {
                // Since its last change.
                let has_b = (0..=round).rev().map(|round| (round + n) % 4).find(|it| it % 2 == 0);
                if topic == "a" || has_b == Some(0) {
                    expected.push(id.clone());
                }
            }
        }
    }
    for ((mut stream, _), expected) in streams.into_iter().zip(expected) {
        let messages = &stream.read_messages(1 + expected.len()).await[1..];
        assert!(messages.iter().map(Message::last_event_id).eq(expected.iter().map(|id| &**id)));
    }
}
