//! A cluster with its clients and publishers, and what happens to it.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{interval, sleep, timeout};

use crate::client::{Call, Client};
use crate::cluster::Cluster;
use crate::disruption::Disruption;
use crate::engine::Engine;
use crate::ledger::{Breach, Counts, Ledger, Outcome, Publication, Receipts, judge};
use crate::publisher::{self, Publisher};

const TOPICS: usize = 24;
const CLIENTS: usize = 24;

/// How many events are acknowledged before and after each disruption.
const SOME: usize = 300;

/// How long that may take, and how long clients may take to catch up.
const PATIENCE: Duration = Duration::from_secs(30);

pub(crate) struct Scene {
    ledger: Arc<Ledger>,
    call: watch::Sender<Call>,
    end: watch::Sender<bool>,
    clients: JoinSet<Receipts>,
    publishers: JoinSet<()>,
}

/// What happened in a scene.
pub(crate) struct Outcomes {
    pub(crate) publications: Vec<Publication>,
    pub(crate) receipts: Vec<Receipts>,
}

impl Outcomes {
    pub(crate) fn judge(&self) -> Result<Counts, Breach> {
        let judged = judge(&self.publications, &self.receipts);
        if let Err(Breach::Client(number, _)) = &judged {
            eprintln!("client {number}: {}", self.receipts[*number]);
        }
        judged
    }
}

/// Plays a scene with these disruptions, one after the other. No other scene has the same name at the same time.
pub(crate) async fn play(
    name: &str,
    engine: Engine,
    disruptions: &[Disruption],
    seed: u64,
) -> Outcomes {
    let mut random = Random::new(seed, 0);
    let mut cluster = Cluster::start(engine, &folder(name)).await;
    let scene = Scene::begin(&cluster, seed);
    scene.publish_some().await;
    scene.finish_some(&cluster).await;
    for disruption in disruptions {
        disruption.inject(&mut cluster, &scene, &mut random).await;
        scene.publish_some().await;
    }
    cluster.are_ready().await;
    scene.end(&cluster).await
}

/// The folder for the data of this scene.
fn folder(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join("faults").join(name)
}

/// Whether a topic is finished before anything happens.
fn is_finished_early(number: usize) -> bool {
    number % 6 == 5
}

fn topic(number: usize) -> String {
    format!("topic-{}", number % TOPICS)
}

impl Scene {
    fn begin(cluster: &Cluster, seed: u64) -> Self {
        let ledger = Arc::<Ledger>::default();
        let (call, called) = watch::channel(Call::Roam);
        let (end, ending) = watch::channel(false);
        let nodes = cluster.addrs();
        let mut clients = JoinSet::new();
        for number in 0..CLIENTS {
            let mut random = Random::new(seed, 1_000 + number as u64);
            let count = 1 + random.below(4);
            // All topics have clients, the first one many. Some clients also subscribe to patterns.
            let topics = (0..count).map(|n| topic(number + 7 * n)).chain([topic(0)]);
            let mut topics: Vec<_> = topics.take(if number % 3 == 0 { 5 } else { count }).collect();
            match number % 8 {
                // They come back to topics that are finished.
                7 => topics = [5, 11].map(topic).to_vec(),
                1 => topics.push("topic-1*".to_owned()),
                3 => topics = vec!["topic-2*".to_owned()],
                5 => topics.extend(["topic-*", "topic-2*"].map(str::to_owned)),
                _ => {}
            }
            topics.sort();
            topics.dedup();
            // Some have a filter, of those that subscribe to topics and of those that subscribe to patterns.
            let part = [None, Some("even"), None, None, Some("odd")][number % 5];
            let receipts = Receipts { topics, part, visits: Vec::new() };
            let (nodes, call) = (nodes.clone(), called.clone());
            let client =
                Client { number, nodes, random, call, receipts, last: String::new(), node: number };
            clients.spawn(client.run());
        }
        let mut publishers = JoinSet::new();
        for number in 0..4 {
            let mut nodes = nodes.clone();
            let count = nodes.len();
            nodes.rotate_left(number % count);
            let topics = match number {
                // Two publishers at two nodes, for one topic.
                0 | 1 => vec![topic(0)],
                _ => (0..TOPICS).map(topic).collect(),
            };
            let random = Random::new(seed, 2_000 + number as u64);
            let publisher = Publisher { number, nodes, topics, has_key: number == 3, random };
            publishers.spawn(publisher.run(ledger.clone(), ending.clone()));
        }
        Self { ledger, call, end, clients, publishers }
    }

    pub(crate) fn call(&self, call: Call) {
        self.call.send_replace(call);
    }

    /// Waits until some more events are acknowledged.
    pub(crate) async fn publish_some(&self) {
        let enough = self.ledger.acknowledged() + SOME;
        let mut look = interval(Duration::from_millis(20));
        let come = async {
            while self.ledger.acknowledged() < enough {
                look.tick().await;
            }
        };
        assert!(timeout(PATIENCE, come).await.is_ok(), "no more events are acknowledged");
    }

    /// Waits until all clients have caught up.
    async fn end(mut self, cluster: &Cluster) -> Outcomes {
        self.end.send_replace(true);
        while let Some(publisher) = self.publishers.join_next().await {
            publisher.expect("nobody panics");
        }
        let goals = timeout(PATIENCE, self.publish_the_last(cluster)).await;
        self.call(Call::Reach(Arc::new(goals.expect("the last events are acknowledged"))));
        let (mut receipts, patience) = (Vec::new(), sleep(PATIENCE));
        tokio::pin!(patience);
        loop {
            tokio::select! {
                client = self.clients.join_next() => match client {
                    Some(client) => receipts.push(client.expect("nobody panics")),
                    None => break,
                },
                // What they have not received by now is lost.
                () = &mut patience, if *self.call.borrow() != Call::Leave => self.call(Call::Leave),
            }
        }
        Outcomes { publications: self.ledger.publications(), receipts }
    }

    /// Finishes some topics.
    async fn finish_some(&self, cluster: &Cluster) {
        for number in (0..TOPICS).filter(|number| is_finished_early(*number)) {
            let finish = self.insist(cluster, "finish", number, format!("early-{number}"));
            timeout(PATIENCE, finish).await.expect("a topic is finished");
        }
    }

    /// Publishes the last event of each topic, which is finished with that, unless it is finished already. Returns topics and
    /// ids.
    async fn publish_the_last(&self, cluster: &Cluster) -> Vec<(String, String)> {
        let mut goals = Vec::new();
        for number in 0..TOPICS {
            let how = if number % 2 == 0 { "publish" } else { "finish" };
            let id = self.insist(cluster, how, number, format!("last-{number}")).await;
            goals.push((topic(number), id));
        }
        goals
    }

    /// Publishes an event until it is acknowledged, or the topic is finished. Returns the id of the event, or that of the
    /// topic's last one.
    async fn insist(&self, cluster: &Cluster, how: &str, number: usize, data: String) -> String {
        let (nodes, topic) = (cluster.addrs(), topic(number));
        // One after the other, as a publisher of its own.
        let record = |outcome| {
            let (topic, data) = (topic.clone(), data.clone());
            self.ledger.record(Publication { publisher: 4, topic, data, outcome });
        };
        let mut is_clean = true;
        for attempt in 0.. {
            let node = nodes[(number + attempt) % nodes.len()];
            match publisher::publish(node, how, &topic, Some(&data), &data).await {
                Outcome::Acknowledged(id) => {
                    record(Outcome::Acknowledged(id.clone()));
                    return id;
                }
                Outcome::Finished => {
                    if !is_clean {
                        record(Outcome::Unknown);
                    }
                    let early = self.ledger.id_of(&format!("early-{number}"));
                    return early.expect("only what was finished early");
                }
                Outcome::Unknown => is_clean = false,
                Outcome::Refused => {}
            }
            sleep(Duration::from_millis(50)).await;
        }
        unreachable!("it tries for ever")
    }
}
