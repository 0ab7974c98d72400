//! What the page draws: the figures of the hub, once a second, while anybody looks.
//!
//! They go over a hub of the console's own, and are ephemeral there: the application's clients cannot subscribe to them, by no
//! pattern, and are not sent over its log.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::future::ready;
use std::sync::{Arc, Weak};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use serde_json::{Map, Value, json};
use tidings::cluster::NodeInfo;
use tidings::error::SubscribeError;
use tidings::{Event, Hub, Link, Resume, Retention, Snapshot, Subscription, Topic, TopicInfo};

/// The name of the event, and of its topic.
const FIGURES: &str = "figures";

/// How often they are made, and how soon the end of the hub is noticed.
const INTERVAL: Duration = Duration::from_secs(1);
const NOTICE: Duration = Duration::from_millis(100);

/// Making them takes no more than this part of a processor.
const SHARE: u32 = 20;

/// How many topics are sent: those with the most events.
const MOST_TOPICS: usize = 50;

/// Publishes the figures of a hub.
#[derive(Debug)]
pub(crate) struct Figures {
    hub: Hub,
    own: Hub,
    /// Whether there is a thread that publishes.
    is_running: Mutex<bool>,
    /// What the rates are computed from.
    before: Mutex<Option<Counted>>,
}

/// The events of each topic at a moment.
#[derive(Debug)]
struct Counted {
    at: Instant,
    events: HashMap<Topic, u64>,
}

impl Figures {
    pub(crate) fn new(hub: &Hub) -> Self {
        let own = Hub::builder().retention(Retention::none()).retry(INTERVAL).build();
        Self { hub: hub.clone(), own, is_running: Mutex::new(false), before: Mutex::new(None) }
    }

    /// The stream of the figures, beginning with those of now, until a time.
    pub(crate) fn open(
        self: &Arc<Self>,
        request: &Resume,
        until: SystemTime,
    ) -> Result<Subscription, SubscribeError> {
        let this = Arc::downgrade(self);
        let snapshot = move || {
            let now = this.upgrade().map(|this| this.event(false)).transpose();
            ready(now.map(Snapshot::new).map_err(Into::into))
        };
        let stream = request.subscribe(&self.own, FIGURES).snapshot(snapshot);
        let subscription = stream.expires_at(until).open()?;
        self.start();
        Ok(subscription)
    }

    fn start(self: &Arc<Self>) {
        let mut is_running = self.is_running.lock();
        if *is_running {
            return;
        }
        let this = Arc::downgrade(self);
        let thread = thread::Builder::new().name("tidings-console".to_owned());
        // Without a thread the page has the figures that its stream began with, and the next one tries again.
        *is_running = thread.spawn(move || run(&this)).is_ok();
    }

    /// Returns when there is something to publish again, if anybody is looking.
    fn publish(&self) -> Option<Instant> {
        let began = Instant::now();
        let event = self.event(true).ok()?;
        // What cannot be published now may be the next time.
        let looking = self.own.publish_ephemeral(FIGURES, event).unwrap_or(0);
        let next = began + INTERVAL.max(began.elapsed() * SHARE);
        if looking > 0 {
            return Some(next);
        }
        let mut is_running = self.is_running.lock();
        // A stream that was opened meanwhile has seen that there is a thread.
        if self.own.clients().count() > 0 {
            return Some(next);
        }
        *is_running = false;
        *self.before.lock() = None;
        None
    }

    fn event(&self, is_tick: bool) -> Result<Event, tidings::error::EventError> {
        Event::json(FIGURES, &self.make(is_tick))
    }

    fn make(&self, is_tick: bool) -> Value {
        let metrics = self.hub.metrics();
        let link = match metrics.health.link {
            Link::None => "memory",
            Link::Connecting => "connecting",
            Link::Up => "up",
            _ => "down",
        };
        let nodes: Vec<_> = self.hub.cluster().nodes().iter().map(node).collect();
        json!({
            "ready": metrics.health.is_ready(),
            "health": metrics.health.to_string(),
            "log": link,
            "lag_ms": metrics.health.lag.map(millis),
            "nodes": nodes,
            "topics": self.topics(is_tick),
            "metrics": samples(&metrics.to_prometheus()),
        })
    }

    /// The topics with the most events a second.
    fn topics(&self, is_tick: bool) -> Value {
        let topics = self.hub.topics();
        let mut before = self.before.lock();
        let seconds = before.as_ref().map(|before| before.at.elapsed().as_secs_f64());
        let rate = |topic: &TopicInfo| {
            let before = before.as_ref()?.events.get(&topic.topic).copied().unwrap_or(0);
            // A topic that came back has counted from 0.
            let more = topic.events.checked_sub(before).unwrap_or(topic.events);
            Some(more as f64 / seconds.filter(|seconds| *seconds > 0.0)?)
        };
        let mut list: Vec<_> = topics.iter().map(|topic| (rate(topic), topic)).collect();
        list.sort_by(|(one_rate, one), (other_rate, other)| {
            let busiest = other_rate.unwrap_or(0.0).total_cmp(&one_rate.unwrap_or(0.0));
            busiest.then_with(|| {
                let key = |topic: &TopicInfo| Reverse((topic.subscribers, topic.events));
                key(one).cmp(&key(other)).then_with(|| one.topic.cmp(&other.topic))
            })
        });
        let list = list.iter().take(MOST_TOPICS);
        let list: Vec<_> = list.map(|(rate, topic)| describe(*rate, topic)).collect();
        let value = json!({ "total": topics.len(), "list": list });
        if is_tick {
            let events = topics.into_iter().map(|topic| (topic.topic, topic.events)).collect();
            *before = Some(Counted { at: Instant::now(), events });
        }
        value
    }
}

/// Publishes until nobody looks any more, the hub is closed, or the console is dropped.
fn run(figures: &Weak<Figures>) {
    let mut next = Instant::now();
    while let Some(figures) = figures.upgrade() {
        if figures.hub.is_closed() {
            // A server that shuts down waits for the streams to end.
            figures.own.close();
            return;
        }
        if Instant::now() >= next {
            match figures.publish() {
                Some(at) => next = at,
                None => return,
            }
        }
        drop(figures);
        thread::sleep(NOTICE);
    }
}

fn node(node: &NodeInfo) -> Value {
    json!({
        "id": node.id,
        "self": node.is_self,
        "clients": node.clients,
        "ready": node.is_ready,
        "lost": node.is_lost,
        "last_seen_ms": millis(node.last_seen),
    })
}

fn describe(rate: Option<f64>, topic: &TopicInfo) -> Value {
    json!({
        "name": topic.topic,
        "subscribers": topic.subscribers,
        "rate": rate,
        "events": topic.events,
        "in_memory": topic.in_memory,
        "bytes": topic.bytes,
    })
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

/// The samples of a text for Prometheus, by their names with labels. So a new metric is in the console at once.
fn samples(text: &str) -> Map<String, Value> {
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.filter_map(|line| {
        let (name, value) = line.rsplit_once(' ')?;
        Some((name.to_owned(), value.parse::<f64>().ok()?.into()))
    });
    samples.collect()
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tidings_testkit::limit::{eventually, within};

    use super::*;

    fn open(figures: &Arc<Figures>) -> Subscription {
        let until = SystemTime::now() + Duration::from_secs(3600);
        figures.open(&Resume::new(), until).expect("it opens")
    }

    /// What a page gets next.
    async fn next(stream: &mut Subscription) -> Option<String> {
        let bytes = within("the next bytes", stream.next()).await?;
        Some(String::from_utf8(bytes.expect("an orderly stream").to_vec()).expect("text"))
    }

    async fn end_of(stream: &mut Subscription) {
        while next(stream).await.is_some() {}
    }

    #[tokio::test]
    async fn figures_are_made_while_somebody_looks() {
        let figures = Arc::new(Figures::new(&Hub::new()));
        let is_running = || *figures.is_running.lock();
        for _ in 0..2 {
            assert!(!is_running());
            let mut streams = [(); 2].map(|()| open(&figures));
            for stream in &mut streams {
                let mut text = String::new();
                while text.matches("event: figures").count() < 3 {
                    text += &next(stream).await.expect("it goes on");
                }
            }
            let [one, other] = streams;
            drop(one);
            assert!(is_running());
            drop(other);
            eventually("nobody looks", || !is_running()).await;
        }
    }

    #[tokio::test]
    async fn streams_end_with_the_hub_and_with_the_console() {
        let hub = Hub::new();
        let figures = Arc::new(Figures::new(&hub));
        let mut stream = open(&figures);
        hub.close();
        end_of(&mut stream).await;

        let figures = Arc::new(Figures::new(&Hub::new()));
        let mut stream = open(&figures);
        drop(figures);
        end_of(&mut stream).await;
    }

    #[test]
    fn every_metric_is_a_sample() {
        let hub = Hub::new();
        let samples = samples(&hub.metrics().to_prometheus());
        assert_eq!(samples["tidings_clients"], 0.0);
        assert_eq!(samples["tidings_streams_total{status=\"reset\",reason=\"trimmed\"}"], 0.0);
        let text = hub.metrics().to_prometheus();
        assert_eq!(samples.len(), text.lines().filter(|line| !line.starts_with('#')).count());
    }

    #[test]
    fn the_page_uses_metrics_that_exist() {
        let samples = samples(&Hub::new().metrics().to_prometheus());
        let script = include_str!("../assets/console.js");
        let mut found = 0;
        for (at, _) in script.match_indices("tidings_") {
            let name: String =
                script[at..].chars().take_while(|c| c.is_ascii_lowercase() || *c == '_').collect();
            let exists = samples.keys().any(|sample| sample.split('{').next() == Some(&name));
            assert!(exists, "{name}");
            found += 1;
        }
        assert!(found > 5, "{found}");
    }

    #[test]
    fn the_busiest_topics_come_first_with_their_rates() {
        let hub = Hub::new();
        let figures = Figures::new(&hub);
        let publish = |topic: &str| hub.publish(topic, Event::new("x")).wait().map(drop);
        for topic in ["quiet", "busy"] {
            publish(topic).unwrap();
        }
        let first = figures.topics(true);
        assert_eq!((&first["total"], &first["list"][0]["rate"]), (&json!(2), &Value::Null));
        for _ in 0..3 {
            publish("busy").unwrap();
        }
        publish("new").unwrap();
        let second = figures.topics(false);
        let names: Vec<_> =
            second["list"].as_array().unwrap().iter().map(|topic| &topic["name"]).collect();
        assert_eq!(names, ["busy", "new", "quiet"]);
        assert!(second["list"][0]["rate"].as_f64() > second["list"][1]["rate"].as_f64());
        assert_eq!(second["list"][2]["rate"], 0.0);
    }
}
