//! A log that keeps more than its hubs: they read back what they no longer have in memory.

use tidings::{Event, Filter, History, Hub, HubBuilder, Retention};

use super::delivery::{assert_ends_with, kinds, publish_kinds};
use super::finish::{finish, fresh, read_to_the_end};
use super::publisher::publish_events;
use super::resume::{Journey, resumes_after_every_event};
use super::{Client, Engine, EngineOptions, publish, publish_all, values};

/// A hub that keeps next to nothing in memory.
pub(super) fn forgetful() -> HubBuilder {
    Hub::builder().retention(Retention::none()).max_retained_bytes(2_000)
}

pub async fn a_client_resumes_from_before_the_memory_of_its_hub<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    for topics in [&["a", "b"][..], &["a*", "b", "*b"]] {
        resumes_after_every_event(&hub, topics, 120).await;
    }
}

pub async fn random_cuts_before_memory_lose_and_double_nothing<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    for seed in 100..140 {
        Journey::new(seed).run(6, async |_| hub.clone()).await;
    }
}

pub async fn random_cuts_of_filtered_clients_before_memory_lose_and_double_nothing<E: Engine>(
    log: E,
) {
    let hub = log.node(forgetful()).await;
    for seed in 700..750 {
        Journey::new(seed).filtered().run(6, async |_| hub.clone()).await;
    }
}

pub async fn pages_without_a_match_are_passed_over<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    let first = publish(&hub, "a", "first").await;
    let event = |n: usize| {
        let event = Event::new(format!("{n} {}", "x".repeat(100_000)));
        event.with_attribute("n", n as i64).expect("a name")
    };
    let published = publish_events(&hub, (0..30).map(|n| ("a", event(n)))).await;
    for (round, wanted) in [vec![], vec![0], vec![15], vec![29], vec![3, 28]].iter().enumerate() {
        let last = 100 + round;
        let numbers = wanted.iter().chain([&last]).map(|n| *n as i64);
        let filter = Filter::one_of("n", numbers).expect("a filter");
        let mut client = Client::connect_filtered(&hub, &["a"], Some(filter), Some(&first.id));
        assert_eq!(client.status().await["status"], "resumed");
        let expected: Vec<_> = wanted.iter().map(|n| &*published[*n].id).collect();
        assert_eq!(client.read_ids(wanted.len()).await, expected);
        // It goes on after the last page.
        let last = publish_events(&hub, [("a", event(last))]).await;
        assert_eq!(client.read_ids(1).await, [&*last[0].id]);
    }
}

pub async fn events_of_every_kind_are_read_back_as_they_were<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    let first = publish(&hub, "a", "first").await;
    let (expected, last) = publish_kinds(&hub, "a", &kinds()).await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "resumed").await;
    client.read_to(&last).await;
    assert_ends_with(client.raw(), &expected);
}

pub async fn large_events_are_read_back_page_by_page<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    let first = publish(&hub, "a", "first").await;
    let id = first.id.clone();
    let mut published = vec![first];
    for n in 0..40 {
        let data = format!("{n} {}", "x".repeat(400_000));
        published.push(publish(&hub, ["a", "b"][n % 2], &data).await);
    }
    let mut client = Client::expect(&hub, &["a", "b"], Some(&id), "resumed").await;
    client.read(40).await;
    client.leave_complete(&published, &["a", "b"], 40);
}

pub async fn many_topics_of_a_pattern_are_read_back_page_by_page<E: Engine>(log: E) {
    const PATTERNS: [&str; 4] = ["room:*", "room:1*", "*:7", "room:17"];
    let hub = log.node(forgetful()).await;
    let topics: Vec<_> = (0..200).map(|n| format!("room:{n}")).chain(["hall:7".into()]).collect();
    // Names that only look as if they matched.
    let others = ["room", "roof:1", "roon", "r"].map(str::to_owned);
    let mut published = vec![publish(&hub, "room:0", "first").await];
    for round in 0..4 {
        let data = |topic: &str| format!("{round} of {topic} {}", "x".repeat(3_000));
        let events = topics.iter().chain(&others).map(|topic| (topic.as_str(), data(topic)));
        published.extend(publish_all(&hub, events).await);
    }
    let mut client = Client::expect(&hub, &PATTERNS, Some(&published[0].id), "resumed").await;
    client.read(4 * topics.len()).await;
    client.leave_complete(&published, &PATTERNS, 4 * topics.len());
}

pub async fn a_client_of_a_quiet_topic_is_not_reset<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    let first = publish(&hub, "quiet", "first").await;
    publish_all(&hub, (0..2_000).map(|n| ("loud", n.to_string()))).await;
    let mut client = Client::expect(&hub, &["quiet"], Some(&first.id), "resumed").await;
    let second = publish(&hub, "quiet", "second").await;
    assert_eq!(client.read_ids(1).await, [second.id]);
}

pub async fn a_client_that_reads_slowly_catches_up_from_the_log<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let mut published = Vec::new();
    // Each burst is more than the hub keeps.
    for _ in 0..5 {
        let events = (0..500).map(|n| ("a", format!("{n} {}", "x".repeat(1_000))));
        published.extend(publish_all(&hub, events).await);
        client.read(250).await;
    }
    client.read(1_250).await;
    client.leave_complete(&published, &["a"], 2_500);
}

pub async fn what_a_hidden_event_supersedes_is_not_read_back<E: Engine>(log: E) {
    let nothing = Retention::latest_per_key().events(0);
    let hub = log.node(Hub::builder().retain("values", nothing).expect("a pattern")).await;
    let begin = hub.position().to_string();
    let _live = hub.subscribe("other").open().expect("it opens");
    let (last, newest) = values::publish_for_roles(&hub, "values").await;
    // With that, the hub of a selective log is past them. Else they would be read in two pages, each with its newest.
    publish(&hub, "other", "later").await;
    for topics in values::SETS {
        let received = values::read_for_admins(&hub, topics, Some(&begin), &last).await;
        assert_eq!(received, newest, "{topics:?}");
    }
}

pub async fn the_end_is_read_back<E: Engine>(log: E) {
    let hub = log.node(forgetful()).await;
    let mut published = vec![publish(&hub, "a", "first").await];
    // More than a page.
    for n in 0..6 {
        let data = format!("{n} {}", "x".repeat(100_000));
        published.push(publish(&hub, ["a", "b"][n % 2], &data).await);
    }
    let last = finish(&hub, "a").await;
    let end = finish(&hub, "b").await;
    publish_all(&hub, (0..100).map(|n| ("other", n.to_string()))).await;
    for (at, entry) in published.iter().enumerate() {
        let rest = published[at + 1..].iter().map(|entry| entry.id.clone());
        let expected: Vec<_> = rest.chain([last.clone(), end.clone()]).collect();
        assert_eq!(read_to_the_end(&hub, &["a", "b"], entry.id.clone()).await, expected);
    }
    assert_eq!(fresh(&hub, "b", History::None).await, ["last"]);
    // One of the topics goes on.
    let mut client = Client::expect(&hub, &["a", "open"], Some(&last), "resumed").await;
    let live = publish(&hub, "open", "live").await;
    assert_eq!(client.read_ids(1).await, [live.id]);
}

pub async fn a_topic_is_as_new_when_its_last_event_is_gone<E: Engine>(_: E) {
    const KEPT: usize = 100;
    let Some(log) = E::begin(EngineOptions::max_events(KEPT)).await else { return };
    let hub = log.node(forgetful()).await;
    finish(&hub, "a").await;
    publish_all(&hub, (0..10 * KEPT + 1_000).map(|n| ("other", n.to_string()))).await;
    drop(hub);
    // What a node has known of the end, it has forgotten.
    let hub = log.node(forgetful()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let anew = publish(&hub, "a", "anew").await;
    assert_eq!(client.read_ids(1).await, [anew.id]);
}
