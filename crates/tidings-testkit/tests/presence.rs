//! Who is on a topic, on several nodes, some of which fail.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::cell::Cell;
use std::time::Duration;

use futures_util::FutureExt;
use serde_json::Value;
use tidings::clock::ManualClock;
use tidings::presence::{JOIN_EVENT, LEAVE_EVENT, Presence, Present};
use tidings::{History, Hub, HubBuilder, Retention, STATUS_EVENT, Subscription};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::{Client, publish_all};
use tidings_testkit::shared_log::{SharedLog, SharedNode};

const GRACE: u64 = 3_000;
/// After its last signal, a node that was killed is silent for this long and the grace.
const LOST: u64 = 5_000;

/// Nodes whose time passes together, and only when a test waits.
struct Nodes {
    log: SharedLog,
    clock: ManualClock,
    /// Milliseconds.
    time: Cell<u64>,
}

struct Node {
    hub: Hub,
    link: SharedNode,
}

impl Nodes {
    fn new() -> Self {
        Self { log: SharedLog::new(), clock: ManualClock::new(), time: Cell::new(0) }
    }

    fn builder(&self) -> HubBuilder {
        let presence = Presence::default().grace(Duration::from_millis(GRACE));
        let builder = Hub::builder().clock(&self.clock).heartbeat(None).retry(None);
        // The log's threads do not know how fast the time passes.
        let builder = builder.max_lag(Duration::from_secs(1_000));
        builder.presence("room/*", presence).unwrap()
    }

    /// A node that knows the others.
    async fn node(&self) -> Node {
        self.node_on(self.log.node()).await
    }

    async fn node_on(&self, link: SharedNode) -> Node {
        let hub = self.builder().build_on(link.clone());
        self.until("it is ready", || hub.health().is_ready()).await;
        self.pass(1_500).await;
        Node { hub, link }
    }

    /// Lets the time pass in steps, at which the nodes tell each other how they are.
    async fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        eventually(what, || {
            self.clock.advance(Duration::from_millis(50));
            self.time.set(self.time.get() + 50);
            is_so()
        })
        .await;
    }

    async fn pass(&self, millis: u64) {
        let end = self.time.get() + millis;
        self.until("the time", || self.time.get() >= end).await;
    }

    /// Waits until those are present, as a node sees it. Returns how long that took.
    #[track_caller]
    fn sees<'a>(
        &'a self,
        node: &'a Node,
        expected: &'a [&str],
    ) -> impl Future<Output = u64> + use<'a> {
        let began = self.time.get();
        let what = format!("{expected:?} are present");
        async move {
            self.until(&what, || node.names() == expected).await;
            self.time.get() - began
        }
    }
}

impl Node {
    fn join(&self, principal: &str) -> Subscription {
        self.hub.subscribe("room/1").principal(principal).open().unwrap()
    }

    fn present(&self) -> Option<Vec<Present>> {
        // A node whose log does not answer does not know.
        self.hub.presence("room/1").now_or_never().transpose().unwrap()
    }

    fn names(&self) -> Vec<String> {
        let present = self.present().unwrap_or_default();
        let mut names: Vec<_> = present.into_iter().map(|present| present.principal).collect();
        names.sort();
        names
    }

    /// Who has a stream here.
    fn id(&self) -> String {
        self.hub.cluster().nodes()[0].id.to_string()
    }

    fn watch(&self) -> Client {
        let subscribe = self.hub.subscribe("presence/room/1").history(History::All).retry(None);
        Client::of(subscribe.heartbeat(None).open().unwrap(), None)
    }
}

/// What a client was told until now: `+ada` for a join, `-ada` for a leave.
fn news(client: &mut Client) -> Vec<String> {
    let before = client.messages().len();
    while client.next().now_or_never().flatten().is_some() {}
    let messages = client.messages()[before..].iter();
    let news = messages.filter(|message| message.event() != STATUS_EVENT).map(|message| {
        let data: Value = serde_json::from_str(message.data()).unwrap();
        let sign = match message.event() {
            JOIN_EVENT => '+',
            LEAVE_EVENT => '-',
            event => panic!("{event} is no event of presence"),
        };
        format!("{sign}{}", data["principal"].as_str().unwrap())
    });
    news.collect()
}

#[tokio::test]
async fn a_principal_is_there_as_long_as_a_node_has_a_stream() {
    let nodes = Nodes::new();
    let (one, other) = (nodes.node().await, nodes.node().await);
    let (here, there) = (one.join("ada"), other.join("ada"));
    let grace = other.join("grace");
    for node in [&one, &other] {
        nodes.sees(node, &["ada", "grace"]).await;
        nodes.until("both nodes have ada", || node.present().unwrap()[0].nodes.len() == 2).await;
        let mut ids = [one.id(), other.id()];
        ids.sort();
        let present = node.present().unwrap();
        assert_eq!(present[0].nodes.iter().map(ToString::to_string).collect::<Vec<_>>(), ids);
        assert_eq!(present[1].nodes[0].to_string(), other.id());
    }
    drop(here);
    nodes.pass(2 * GRACE).await;
    for node in [&one, &other] {
        nodes.until("one node has ada", || node.present().unwrap()[0].nodes.len() == 1).await;
        nodes.sees(node, &["ada", "grace"]).await;
    }
    drop((there, grace));
    for node in [&one, &other] {
        nodes.sees(node, &[]).await;
    }
}

#[tokio::test]
async fn a_client_that_moves_is_never_absent_and_stays_since_it_came() {
    let nodes = Nodes::new();
    let all = [nodes.node().await, nodes.node().await, nodes.node().await];
    let mut stream = all[0].join("ada");
    for node in &all {
        nodes.sees(node, &["ada"]).await;
    }
    let since = all[0].present().unwrap()[0].since;
    let mut watchers: Vec<_> = all.iter().map(Node::watch).collect();
    let mut here = [0_usize; 3];
    for round in 1..30 {
        drop(stream);
        // As long as a client waits before it comes back.
        nodes.pass(round % 5 * 500).await;
        stream = all[round as usize % 3].join("ada");
        let end = nodes.time.get() + GRACE;
        nodes
            .until("the grace", || {
                for (node, (watcher, here)) in all.iter().zip(watchers.iter_mut().zip(&mut here)) {
                    let present = node.present().unwrap();
                    assert_eq!(present.len(), 1, "round {round}");
                    assert_eq!(present[0].since, since);
                    for news in news(watcher) {
                        *here = if news == "+ada" { *here + 1 } else { *here - 1 };
                        assert!((1..=3).contains(here), "{news} in round {round}");
                    }
                }
                nodes.time.get() >= end
            })
            .await;
    }
}

#[tokio::test]
async fn what_a_node_has_said_that_was_killed_is_taken_away_once_and_in_time() {
    let nodes = Nodes::new();
    let all = [nodes.node().await, nodes.node().await, nodes.node().await];
    let (one, killed, other) = (&all[0], &all[1], &all[2]);
    let streams = [one.join("ada"), killed.join("grace"), killed.join("ada"), other.join("joan")];
    for node in &all {
        nodes.sees(node, &["ada", "grace", "joan"]).await;
    }
    let mut watcher = one.watch();
    nodes.pass(1_000).await;
    assert_eq!(news(&mut watcher).len(), 4);
    // To the others, it is as if it was killed.
    killed.link.cut();
    let took = nodes.sees(one, &["ada", "joan"]).await;
    // A second for each that may do it, and some for a thread that is late.
    let (least, most) = (LOST + GRACE - 1_000, LOST + GRACE + 2 * 1_000 + 2_000);
    assert!((least..=most).contains(&took), "after {took} ms");
    nodes.sees(other, &["ada", "joan"]).await;
    nodes.pass(3 * (LOST + GRACE)).await;
    let mut told = news(&mut watcher);
    told.sort();
    assert_eq!(told, ["-ada", "-grace"], "it is said once, and nothing of the others");
    let removed = [one, other].map(|node| node.hub.metrics().presence_removed);
    assert_eq!(removed.iter().sum::<u64>(), 2);
    drop(streams);
}

#[tokio::test]
async fn a_node_that_was_cut_off_says_again_who_is_there_and_takes_nobody_away() {
    let nodes = Nodes::new();
    let (one, other) = (nodes.node().await, nodes.node().await);
    let streams = [one.join("ada"), other.join("grace")];
    nodes.sees(&one, &["ada", "grace"]).await;
    nodes.sees(&other, &["ada", "grace"]).await;
    for _ in 0..3 {
        other.link.cut();
        nodes.sees(&one, &["ada"]).await;
        // The other one hears nothing of this one, either.
        nodes.pass(2 * (LOST + GRACE)).await;
        other.link.mend();
        nodes.sees(&one, &["ada", "grace"]).await;
        nodes.sees(&other, &["ada", "grace"]).await;
        nodes.pass(2 * (LOST + GRACE)).await;
        assert_eq!(one.names(), ["ada", "grace"]);
    }
    assert_eq!(other.hub.metrics().presence_removed, 0);
    drop(streams);
}

#[tokio::test]
async fn what_happens_while_a_node_is_cut_off_is_said_when_it_is_back() {
    let nodes = Nodes::new();
    let (one, other) = (nodes.node().await, nodes.node().await);
    let left = other.join("left");
    nodes.sees(&one, &["left"]).await;
    other.link.cut();
    drop(left);
    let joined = other.join("joined");
    nodes.pass(GRACE + 1_000).await;
    assert_eq!(one.names(), ["left"], "it is not lost yet");
    other.link.mend();
    let took = nodes.sees(&one, &["joined"]).await;
    assert!(took < 3_000, "after {took} ms");
    drop(joined);
}

#[tokio::test]
async fn a_node_that_stood_still_takes_nobody_away() {
    let nodes = Nodes::new();
    // With a clock of its own. Its log may say that all is well before it looks at the others.
    let clock = ManualClock::new();
    let builder = nodes.builder().clock(&clock).max_lag(Duration::from_secs(100_000));
    let hub = builder.build_on(nodes.log.node());
    let one = nodes.node().await;
    let stream = one.join("ada");
    let run = async |hub: &Hub, millis: u64| {
        let end = nodes.time.get() + millis;
        nodes
            .until("the time", || {
                clock.advance(Duration::from_millis(50));
                nodes.time.get() >= end
            })
            .await;
        hub.presence("room/1").await.unwrap().len()
    };
    assert_eq!(run(&hub, 3_000).await, 1);
    for _ in 0..5 {
        clock.advance(Duration::from_secs(3_600));
        assert_eq!(run(&hub, 2_000).await, 1);
    }
    assert_eq!(hub.metrics().presence_removed, 0);
    drop(stream);
}

#[tokio::test]
async fn a_node_that_is_started_again_keeps_those_who_come_back() {
    let nodes = Nodes::new();
    let watching = nodes.node().await;
    let mut node = nodes.node().await;
    let mut streams = ["ada", "grace"].map(|name| node.join(name));
    nodes.sees(&watching, &["ada", "grace"]).await;
    for round in 0..3 {
        drop((streams, node));
        node = nodes.node().await;
        streams = ["ada", if round == 2 { "joan" } else { "grace" }].map(|name| node.join(name));
        let end = nodes.time.get() + 2 * (LOST + GRACE);
        nodes
            .until("the time", || {
                assert!(watching.names().starts_with(&["ada".into()]), "round {round}");
                nodes.time.get() >= end
            })
            .await;
        let present = watching.present().unwrap();
        assert!(present.iter().all(|it| it.nodes.len() == 1), "{present:?}");
    }
    assert_eq!(watching.names(), ["ada", "joan"]);
}

#[tokio::test]
async fn a_late_node_learns_of_those_whose_joins_are_trimmed() {
    for is_selective in [false, true] {
        let nodes = Nodes::new();
        let one = nodes.node().await;
        let streams = ["ada", "grace"].map(|name| one.join(name));
        nodes.sees(&one, &["ada", "grace"]).await;
        nodes.pass(20_000).await;
        publish_all(&one.hub, (0..20).map(|n| ("a", n.to_string()))).await;
        nodes.log.trim(5);
        let link = if is_selective { nodes.log.selective_node() } else { nodes.log.node() };
        let late = nodes.node_on(link).await;
        nodes.sees(&late, &["ada", "grace"]).await;
        drop(streams);
        nodes.sees(&late, &[]).await;
    }
}

#[tokio::test]
async fn another_history_is_told_who_is_there() {
    let nodes = Nodes::new();
    let (one, other) = (nodes.node().await, nodes.node().await);
    let streams = [one.join("ada"), other.join("grace")];
    nodes.sees(&one, &["ada", "grace"]).await;
    nodes.log.wipe();
    nodes.until("it is wiped", || one.names() != ["ada", "grace"] || nodes.log.len() == 2).await;
    nodes.sees(&one, &["ada", "grace"]).await;
    nodes.sees(&other, &["ada", "grace"]).await;
    assert!(nodes.log.len() <= 4, "nothing is said again and again");
    drop(streams);
}

#[tokio::test]
async fn nodes_that_follow_some_topics_only_know_the_same() {
    let nodes = Nodes::new();
    let (one, other) = (nodes.node_on(nodes.log.selective_node()).await, nodes.node().await);
    let third = nodes.node_on(nodes.log.selective_node()).await;
    let streams = [one.join("ada"), other.join("grace"), third.join("joan")];
    let all = ["ada", "grace", "joan"];
    let know = async |node: &Node, expected: &[&str]| {
        nodes.pass(500).await;
        let names = async || {
            let present = within("an answer", node.hub.presence("room/1")).await.unwrap();
            let mut names: Vec<_> = present.into_iter().map(|it| it.principal).collect();
            names.sort();
            names
        };
        for _ in 0..100 {
            if names().await == expected {
                return;
            }
            nodes.pass(100).await;
        }
        assert_eq!(names().await, expected);
    };
    for node in [&one, &other, &third] {
        know(node, &all).await;
    }
    let published = nodes.log.len();
    assert_eq!(published, 3, "each is said once");
    other.link.cut();
    nodes.pass(LOST + 2 * GRACE).await;
    for node in [&one, &third] {
        know(node, &["ada", "joan"]).await;
    }
    drop(streams);
}

#[tokio::test]
async fn a_log_that_refuses_is_asked_again() {
    let nodes = Nodes::new();
    let (one, other) = (nodes.node().await, nodes.node().await);
    one.link.cut();
    nodes.until("the link is down", || !one.hub.health().is_ready()).await;
    let stream = one.join("ada");
    nodes.pass(5_000).await;
    let refused = one.hub.metrics().refused;
    assert!((1..=10).contains(&refused), "{refused} attempts in 5 s");
    one.link.mend();
    nodes.sees(&other, &["ada"]).await;
    drop(stream);
}

#[tokio::test]
async fn a_forgetful_node_knows_who_is_there() {
    let nodes = Nodes::new();
    let builder = nodes.builder().retention(Retention::none());
    let hub = builder.build_on(nodes.log.node());
    nodes.until("it is ready", || hub.health().is_ready()).await;
    let node = Node { hub, link: nodes.log.node() };
    let stream = node.join("ada");
    nodes.sees(&node, &["ada"]).await;
    nodes.pass(10 * (LOST + GRACE)).await;
    assert_eq!(node.names(), ["ada"]);
    drop(stream);
}
