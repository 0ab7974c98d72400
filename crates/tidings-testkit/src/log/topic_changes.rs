//! Topics that are added to open streams, and taken from them.

use tidings::{Event, History};

use super::{Client, Engine, publish};
use crate::checker::position;
use crate::limit::within;

pub async fn a_new_topic_is_delivered_from_the_call_on<E: Engine>(log: E) {
    let hub = log.hub().await;
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    for round in 0..20 {
        let (topic, pattern) = (format!("b{round}/x"), format!("b{round}/*"));
        let name = if round % 3 == 0 { &pattern } else { &topic };
        publish(&hub, &topic, "before").await;
        assert!(hub.client(client.id()).subscribe_matching(name).expect("a good name"));
        let published = [
            publish(&hub, &topic, "one").await.id,
            publish(&hub, "a", "two").await.id,
            publish(&hub, &topic, "three").await.id,
        ];
        assert_eq!(client.read_ids(3).await, published, "{name}");
        assert!(hub.client(client.id()).unsubscribe_matching(name).expect("a good name"));
        publish(&hub, &topic, "after").await;
        let last = publish(&hub, "a", "four").await.id;
        assert_eq!(client.read_ids(1).await, [last], "{name}");
    }
}

/// A client whose topics change while events are published, and which comes back now and then.
pub async fn a_stream_that_changes_its_topics_loses_and_doubles_nothing<E: Engine>(log: E) {
    let hub = log.hub().await;
    for seed in 400..420 {
        let mut random = fastrand::Rng::with_seed(seed);
        let names = ["a", "b"].map(|name| format!("{name}{seed}"));
        let [a, b] = names.each_ref().map(String::as_str);
        let mut client = Client::expect(&hub, &[a], None, "fresh").await;
        let (mut topics, mut published, mut expected) = (vec![a], Vec::new(), Vec::new());
        for _ in 0..20 {
            if random.bool() {
                let handle = hub.client(client.id());
                let is_open = match topics.pop_if(|topic| *topic == b) {
                    Some(_) => handle.unsubscribe(b),
                    None => {
                        topics.push(b);
                        handle.subscribe(b)
                    }
                };
                assert!(is_open.expect("a good name"));
            }
            let to: Vec<_> =
                (0..random.usize(..6)).map(|_| if random.bool() { a } else { b }).collect();
            let publishes = to.iter().map(|topic| (*topic, hub.publish(*topic, Event::new("x"))));
            for (topic, publish) in publishes.collect::<Vec<_>>() {
                let outcome = within("an acknowledgement", publish).await;
                let id = outcome.expect("it is published").id().to_string();
                if topics.contains(&topic) {
                    expected.push(id.clone());
                }
                published.push((topic, id));
            }
            if random.u8(..4) == 0 {
                // It is cut somewhere, and the handler names its topics anew.
                expected.truncate(random.usize(..=expected.len()));
                assert_eq!(client.read_ids(expected.len()).await, expected, "seed {seed}");
                let last = client.last_event_id().to_owned();
                client = Client::expect(&hub, &topics, Some(&last), "resumed").await;
                let missed = published
                    .iter()
                    .filter(|(topic, id)| topics.contains(topic) && position(id) > position(&last));
                expected = missed.map(|(_, id)| id.clone()).collect();
            }
        }
        // Nothing more than these.
        expected.push(publish(&hub, a, "last").await.id);
        assert_eq!(client.read_ids(expected.len()).await, expected, "seed {seed}");
    }
}

pub async fn what_a_new_topic_retains_comes_if_it_is_asked_for<E: Engine>(log: E) {
    let hub = log.hub().await;
    for n in 0..30 {
        publish(&hub, "b", &format!("b{n}")).await;
    }
    let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
    publish(&hub, "a", "a").await;
    let handle = hub.client(client.id()).history(History::Last(5));
    assert!(handle.subscribe("b").expect("a good name"));
    let last = publish(&hub, "a", "last").await.id;
    let messages = client.read(7).await;
    let data: Vec<_> = messages.iter().map(|message| message.data()).collect();
    assert_eq!(data, ["a", "b25", "b26", "b27", "b28", "b29", "last"]);
    assert_eq!(messages[6].last_event_id(), last);
    // It can be resumed from there, in both topics.
    let next = publish(&hub, "b", "next").await.id;
    assert_eq!(client.read_ids(1).await, [&*next]);
    let mut again = Client::expect(&hub, &["a", "b"], Some(&last), "resumed").await;
    assert_eq!(again.read_ids(1).await, [next]);
}
