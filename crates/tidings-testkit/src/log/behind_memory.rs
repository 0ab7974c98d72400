//! A log that keeps more than its hubs do: what they have no more is read back.

use tidings::{Hub, HubBuilder, Retention};

use super::delivery::{assert_ends_with, kinds, publish_kinds};
use super::resume::{Journey, resumes_behind_every_event};
use super::{Client, Engine, Settings, publish, publish_all};
use crate::checker::check;

/// A hub that keeps next to nothing itself.
fn forgetful() -> HubBuilder {
    Hub::builder().retention(Retention::none()).max_retained_bytes(2_000)
}

pub async fn a_client_resumes_from_behind_the_memory_of_its_hub<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    resumes_behind_every_event(&hub, &["a", "b"], 120).await;
}

pub async fn a_client_of_a_family_resumes_from_behind_the_memory_of_its_hub<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    resumes_behind_every_event(&hub, &["a*", "b", "*b"], 120).await;
}

pub async fn random_cuts_behind_memory_lose_and_double_nothing<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    for seed in 100..120 {
        let mut journey = Journey::new(seed);
        for _ in 0..6 {
            journey.leg(&hub).await;
        }
        journey.end(&hub).await;
    }
}

pub async fn random_cuts_of_families_behind_memory_lose_and_double_nothing<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    for seed in 120..140 {
        let mut journey = Journey::of_families(seed);
        for _ in 0..6 {
            journey.leg(&hub).await;
        }
        journey.end(&hub).await;
    }
}

pub async fn events_of_every_kind_are_read_back_as_they_were<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    let first = publish(&hub, "a", "first").await;
    let (expected, last) = publish_kinds(&hub, "a", &kinds()).await;
    let mut client = Client::expect(&hub, &["a"], Some(&first.id), "resumed").await;
    client.read_to(&last).await;
    assert_ends_with(client.raw(), &expected);
}

pub async fn large_events_are_read_back_page_by_page<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    let first = publish(&hub, "a", "first").await;
    let data = |n: usize| format!("{n} {}", "x".repeat(400_000));
    let mut published = vec![first];
    for n in 0..40 {
        published.push(publish(&hub, ["a", "b"][n % 2], &data(n)).await);
    }
    let id = published[0].id.clone();
    let mut client = Client::expect(&hub, &["a", "b"], Some(&id), "resumed").await;
    client.read(40).await;
    assert_eq!(
        check(&published, &["a", "b"], &[client.leave()]).expect("all as promised").events,
        40
    );
}

pub async fn many_topics_of_a_family_are_read_back_page_by_page<E: Engine>() {
    const ASKED: [&str; 4] = ["room:*", "room:1*", "*:7", "room:17"];
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    let topics: Vec<_> = (0..200).map(|n| format!("room:{n}")).chain(["hall:7".into()]).collect();
    let mut published = vec![publish(&hub, "room:0", "first").await];
    for round in 0..4 {
        // Among them names that only look as if they were of the family.
        let others = ["room", "roof:1", "roon", "r"].map(str::to_owned);
        let data = |topic: &str| format!("{round} of {topic} {}", "x".repeat(3_000));
        let events = topics.iter().chain(&others).map(|topic| (topic.as_str(), data(topic)));
        published.extend(publish_all(&hub, events).await);
    }
    let id = published[0].id.clone();
    let mut client = Client::expect(&hub, &ASKED, Some(&id), "resumed").await;
    client.read(4 * topics.len()).await;
    let summary = check(&published, &ASKED, &[client.leave()]).expect("all as promised");
    assert_eq!((summary.events, summary.resets), (4 * topics.len(), 0));
}

pub async fn a_client_of_a_quiet_topic_is_not_reset<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    let first = publish(&hub, "quiet", "first").await;
    publish_all(&hub, (0..2_000).map(|n| ("loud", n.to_string()))).await;
    let mut client = Client::expect(&hub, &["quiet"], Some(&first.id), "resumed").await;
    let second = publish(&hub, "quiet", "second").await;
    assert_eq!(client.read(1).await[0].last_event_id(), second.id);
}

pub async fn a_client_that_reads_slowly_is_caught_up_from_the_log<E: Engine>() {
    let Some(engine) = E::begin(Settings::default()).await else { return };
    let hub = engine.node(forgetful()).await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    let mut published = Vec::new();
    // More than the hub has, each time, before the client reads on.
    for _ in 0..5 {
        let events = (0..500).map(|n| ("a", format!("{n} {}", "x".repeat(1_000))));
        published.extend(publish_all(&hub, events).await);
        client.read(250).await;
    }
    client.read_to(&published.last().expect("some").id).await;
    let summary = check(&published, &["a"], &[client.leave()]).expect("all as promised");
    assert_eq!((summary.events, summary.resets), (2_500, 0));
}
