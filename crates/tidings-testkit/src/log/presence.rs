//! Who is on a topic.

use std::time::Duration;

use serde_json::Value;
use tidings::presence::{JOIN_EVENT, LEAVE_EVENT, Presence};
use tidings::{Event, History, Hub, HubBuilder, STATUS_EVENT, Subscription};
use tokio::time::{Instant, interval, timeout};

use super::{Client, Engine};
use crate::limit::within;

/// Nobody waits for longer than this, and machines may be slow.
const GRACE: Duration = Duration::from_millis(400);

/// A long one, for what must not happen.
const LONG_GRACE: Duration = Duration::from_secs(60);

/// More than five seconds, after which a node is lost.
const LIMIT: Duration = Duration::from_secs(40);

fn builder(grace: Duration) -> HubBuilder {
    let builder = Hub::builder().presence("room/*", Presence::default().grace(grace));
    builder.expect("a pattern")
}

/// A node on which a principal leaves soon.
pub(super) async fn node<E: Engine>(log: &E) -> Hub {
    log.node(builder(GRACE)).await
}

pub(super) fn join(hub: &Hub, principal: &str) -> Subscription {
    hub.subscribe("room/1").principal(principal).open().expect("it opens")
}

pub(super) async fn present(hub: &Hub) -> Vec<String> {
    let present = within("an answer", hub.presence("room/1")).await.expect("the log answers");
    let mut names: Vec<_> = present.into_iter().map(|present| present.principal).collect();
    names.sort();
    names
}

/// Waits until those are present, and these always are.
pub(super) async fn sees(hub: &Hub, expected: &[&str], always: &[&str]) {
    let (began, mut look) = (Instant::now(), interval(Duration::from_millis(20)));
    loop {
        let names = present(hub).await;
        assert!(always.iter().all(|name| names.iter().any(|it| it == name)), "{names:?}");
        if names == expected {
            return;
        }
        assert!(began.elapsed() < LIMIT, "{names:?} are present, and not {expected:?}");
        look.tick().await;
    }
}

/// A client that is told who comes and goes.
pub(super) fn watch(hub: &Hub) -> Client {
    let subscribe = hub.subscribe(["presence/room/1", "end"]).history(History::All);
    Client::of(subscribe.retry(None).heartbeat(None).open().expect("it opens"), None)
}

/// What it is told next: `+ada` for a join, `-ada` for a leave, and `end`.
pub(super) async fn news(client: &mut Client) -> String {
    loop {
        let next = timeout(LIMIT, client.next_at_any_time());
        let message = next.await.expect("news in time").expect("more");
        let sign = match message.event() {
            STATUS_EVENT => continue,
            JOIN_EVENT => '+',
            LEAVE_EVENT => '-',
            _ => return message.data().to_owned(),
        };
        let data: Value = serde_json::from_str(message.data()).expect("it is JSON");
        return format!("{sign}{}", data["principal"].as_str().expect("a name"));
    }
}

/// Says to all that watch that nothing more is awaited.
async fn end(hub: &Hub) {
    within("an acknowledgement", hub.publish("end", Event::new("end"))).await.expect("published");
}

pub async fn who_comes_and_goes_is_said_and_known<E: Engine>(log: E) {
    let hub = node(&log).await;
    let mut watcher = watch(&hub);
    let ada = join(&hub, "ada");
    assert_eq!(news(&mut watcher).await, "+ada");
    let grace = join(&hub, "grace");
    assert_eq!(news(&mut watcher).await, "+grace");
    assert_eq!(present(&hub).await, ["ada", "grace"]);
    let began = Instant::now();
    drop(ada);
    assert_eq!(news(&mut watcher).await, "-ada");
    assert!(began.elapsed() >= GRACE - Duration::from_millis(1));
    assert_eq!(present(&hub).await, ["grace"]);
    let mut late = watch(&hub);
    end(&hub).await;
    let mut told = vec![news(&mut late).await, news(&mut late).await];
    told.retain(|news| news != "-ada");
    assert_eq!(told[0], "+grace");
    drop(grace);
}

pub async fn a_client_that_comes_back_is_no_news<E: Engine>(log: E) {
    let hub = log.node(builder(LONG_GRACE)).await;
    let mut watcher = watch(&hub);
    for _ in 0..20 {
        let streams = [join(&hub, "ada"), join(&hub, "ada")];
        sees(&hub, &["ada"], &[]).await;
        drop(streams);
    }
    end(&hub).await;
    assert_eq!(news(&mut watcher).await, "+ada");
    assert_eq!(news(&mut watcher).await, "end");
}
