//! Limits on the number of streams.

use tidings::{END_EVENT, Hub, OverLimit};

use super::Adapter;
use super::site::{Site, events_of};
use crate::wire::Ending;

pub async fn one_stream_too_many_is_told_to_come_later<A: Adapter>() {
    let site = Site::with::<A>(Hub::builder().streams_per_principal(1));
    let one = site.follow("/events?topic=a&principal=ada").await;
    let mut two = site.get("/events?topic=a&principal=ada").await;
    assert_eq!(two.status(), 200);
    assert_eq!(two.read_to_end().await, Ending::Whole);
    assert_eq!(events_of(two.messages()), [END_EVENT]);
    assert_eq!(two.messages()[0].data(), r#"{"reason":"limited","limit":"principal"}"#);
    drop(one);
}

pub async fn one_stream_too_many_is_429_where_the_application_wants_that<A: Adapter>() {
    let over = OverLimit::Status;
    let site = Site::with::<A>(Hub::builder().streams_per_principal(1).over_limit(over));
    let one = site.follow("/events?topic=a&principal=ada").await;
    let two = site.get("/events?topic=a&principal=ada").await;
    assert_eq!(two.status(), 429);
    drop(one);
}

pub async fn the_oldest_stream_of_a_principal_makes_room_where_the_application_wants_that<
    A: Adapter,
>() {
    let over = OverLimit::Supersede;
    let site = Site::with::<A>(Hub::builder().streams_per_principal(1).over_limit(over));
    let mut one = site.follow("/events?topic=a&principal=ada").await;
    let mut two = site.follow("/events?topic=a&principal=ada").await;
    assert_eq!(one.read_to_end().await, Ending::Whole);
    assert_eq!(one.messages()[1].data(), r#"{"reason":"superseded"}"#);
    site.publish("a", "one");
    assert_eq!(two.next_message().await.data(), "one");
}
