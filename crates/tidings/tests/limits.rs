//! How many streams there may be, and how much a source may publish.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod reader;

use std::time::Duration;

use reader::Reader;
use tidings::error::{Error, PublishErrorKind, SubscribeErrorKind};
use tidings::{Event, Filter, Hub, OverLimit, Status, Subscribe, clock::ManualClock};

/// The whole text of a stream that has ended.
#[track_caller]
fn text(mut reader: Reader) -> String {
    reader.bytes();
    assert!(reader.ended && reader.error.is_none());
    String::from_utf8(reader.raw).unwrap()
}

/// Asserts that a stream is turned away by this limit: a retry with jitter, the reason, and its end.
#[track_caller]
fn assert_limited(subscribe: Subscribe, limit: &str) {
    let reader = Reader::open(subscribe);
    assert_eq!(reader.subscription().status(), Status::Pending);
    let text = text(reader);
    let lines: Vec<_> = text.lines().collect();
    let data = format!(r#"data: {{"reason":"limited","limit":"{limit}"}}"#);
    let retry: u64 = lines[1].strip_prefix("retry: ").unwrap().parse().unwrap();
    assert_eq!((lines[0], lines[2], lines.len()), ("event: tidings:end", &*data, 4), "{text}");
    assert!((2_400..=3_600).contains(&retry), "{text}");
}

#[test]
fn a_principal_has_so_many_streams_and_one_more_is_told_to_come_later() {
    let hub = Hub::builder().streams_per_principal(2).build();
    let ada = || hub.subscribe("a").principal("ada");
    let open = [ada(), ada()].map(|subscribe| Reader::open_with_status(subscribe).0);
    assert_limited(ada(), "principal");
    assert_eq!(hub.clients().count_of_principal("ada"), 2, "it is not listed");
    let _bob = Reader::open_with_status(hub.subscribe("a").principal("bob"));
    let _nobody = [(); 3].map(|()| Reader::open_with_status(hub.subscribe("a")));
    let [one, _two] = open;
    drop(one);
    let _next = Reader::open_with_status(ada());
    assert_limited(ada(), "principal");
    assert_eq!(hub.metrics().ended_limited, 2);
}

#[test]
fn a_stream_that_is_turned_away_is_told_its_own_retry() {
    let hub = Hub::builder().streams_per_principal(1).retry(None).build();
    let ada = || hub.subscribe("a").principal("ada");
    let _one = Reader::open_with_status(ada());
    let assert_told = |reason: &str| {
        let own = text(Reader::open(ada().retry(Duration::from_secs(10))));
        let lines: Vec<_> = own.lines().collect();
        let retry: u64 = lines[1].strip_prefix("retry: ").unwrap().parse().unwrap();
        assert!((8_000..=12_000).contains(&retry) && own.contains(reason), "{own}");
        let usual = text(Reader::open(ada()));
        assert!(!usual.contains("retry") && usual.contains(reason), "{usual}");
    };
    assert_told("limited");
    let _drain = hub.drain(Duration::from_secs(10));
    assert_told("drained");
}

#[test]
fn a_client_key_has_a_limit_of_its_own() {
    let hub = Hub::builder().streams_per_client_key(1).build();
    let with = |key: &str| hub.subscribe("a").principal("ada").client_key(key);
    let one = Reader::open_with_status(with("phone"));
    let _other = Reader::open_with_status(with("tablet"));
    assert_limited(with("phone"), "client_key");
    drop(one);
    let _next = Reader::open_with_status(with("phone"));
}

#[test]
fn a_topic_has_so_many_streams() {
    let hub = Hub::builder().streams_per_topic(2).build();
    let admin = Filter::equal("role", "admin").unwrap();
    let open = [hub.subscribe(["a", "b"]), hub.subscribe(["a", "b"]).filter(admin.clone())];
    let open = open.map(Reader::open_with_status);
    assert_limited(hub.subscribe(["b", "c"]), "topic");
    assert_limited(hub.subscribe(["b", "c"]).filter(admin), "topic");
    assert_eq!(hub.clients().topics().len(), 2, "nothing is left of it");
    let _other = Reader::open_with_status(hub.subscribe("c"));
    let history = hub.history("a", tidings::History::All).wait();
    assert!(history.is_ok(), "{history:?}");
    drop(open);
    let _next = Reader::open_with_status(hub.subscribe(["b", "c"]));
}

#[test]
fn the_oldest_stream_makes_room_where_the_application_wants_that() {
    let hub = Hub::builder()
        .streams_per_principal(2)
        .streams_per_topic(4)
        .over_limit(OverLimit::Supersede)
        .build();
    let ada = || Reader::open_with_status(hub.subscribe("a").principal("ada")).0;
    let [one, mut two, mut three] = [(); 3].map(|()| ada());
    let end = text(one);
    let end = end.rsplit("\n\n").nth(1).unwrap();
    assert!(end.ends_with("\ndata: {\"reason\":\"superseded\"}"), "{end}");
    // Later than others, or the two would supersede each other all the time.
    let retry = end.lines().find_map(|line| line.strip_prefix("retry: ")).unwrap();
    assert!(retry.parse::<u64>().unwrap() >= 24_000, "{end}");
    assert!(two.data().is_empty() && three.data().is_empty() && !two.ended && !three.ended);
    // Those that are about to end have made room already.
    let _more = [ada(), ada()];
    assert!(text(two).contains("superseded") && text(three).contains("superseded"));
    assert_eq!(hub.metrics().ended_superseded, 3);
    // So have those that are closed, though they are newer than others.
    let eve = || Reader::open_with_status(hub.subscribe("b").principal("eve")).0;
    let [mut first, second] = [(); 2].map(|()| eve());
    assert!(hub.clients().close(second.subscription().client_id()));
    let _third = eve();
    assert!(first.data().is_empty() && !first.ended);
    // A topic's streams are others'.
    let _others =
        ["bob", "carol"].map(|name| Reader::open_with_status(hub.subscribe("a").principal(name)));
    assert_limited(hub.subscribe("a").principal("dave"), "topic");
}

#[test]
fn one_stream_too_many_may_be_a_status() {
    let hub = Hub::builder().streams_per_principal(1).over_limit(OverLimit::Status).build();
    let ada = || hub.subscribe("a").principal("ada");
    let _one = Reader::open_with_status(ada());
    let error = ada().open().unwrap_err();
    assert_eq!(error.kind(), SubscribeErrorKind::TooManyStreams);
    let response = Error::from(error).response();
    assert_eq!((response.status, &*response.body), (429, "principal has too many streams"));
    assert_eq!(hub.metrics().subscriptions_refused, 1);
    assert_eq!(hub.clients().count(), 1);
}

#[test]
fn a_source_publishes_no_more_than_it_may() {
    let clock = ManualClock::new();
    let hub = Hub::builder().clock(&clock).publications_per_source(2, 3).build();
    let ada = hub.source("ada");
    let mut reader = Reader::open_with_status(hub.subscribe("a")).0;
    let publish = |n: &str| ada.publish("a", Event::new(n)).wait();
    publish("1").unwrap();
    publish("2").unwrap();
    ada.publish_once("key", "a", Event::new("3")).wait().unwrap();
    let error = publish("4").unwrap_err();
    assert_eq!(error.kind(), PublishErrorKind::TooManyPublications);
    assert_eq!(Error::from(error).response().status, 429);
    assert!(ada.publish_ephemeral("a", Event::new("5")).is_err());
    assert!(ada.publish_once("other", "a", Event::new("6")).wait().is_err());
    hub.source("bob").publish("a", Event::new("7")).wait().unwrap();
    hub.publish("a", Event::new("8")).wait().unwrap();
    clock.advance(Duration::from_millis(500));
    publish("9").unwrap();
    publish("10").unwrap_err();
    assert_eq!(reader.data(), ["1", "2", "3", "7", "8", "9"]);
    let metrics = hub.metrics();
    assert_eq!((metrics.publications_limited, metrics.refused, metrics.published), (4, 4, 6));
}

#[test]
fn without_limits_there_are_none() {
    let hub = Hub::new();
    let subscribe = || hub.subscribe("a").principal("ada").client_key("phone");
    let readers: Vec<_> = (0..100).map(|_| Reader::open_with_status(subscribe())).collect();
    assert_eq!(hub.clients().count(), 100);
    for n in 0..1_000 {
        hub.source("ada").publish("a", Event::new(n.to_string())).wait().unwrap();
    }
    drop(readers);
    assert_eq!(hub.clients().count(), 0);
}
