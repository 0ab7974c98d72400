//! Publishers: some give up at once, one retries with a key.

use std::io::{self, ErrorKind};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tidings_testkit::checker::is_of;
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::ledger::{Ledger, Outcome, Publication, part_of};

/// How long a publisher waits for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How long it waits after a publication that failed.
const RETRY: Duration = Duration::from_millis(50);

/// Where, what and how it publishes.
#[derive(Debug, Clone)]
pub(crate) struct Publisher {
    pub(crate) number: usize,
    /// It tries them in this order; without a key, only the first.
    pub(crate) nodes: Vec<SocketAddr>,
    pub(crate) topics: Vec<String>,
    pub(crate) has_key: bool,
    pub(crate) random: Random,
}

impl Publisher {
    /// Publishes until the scene ends.
    pub(crate) async fn run(mut self, ledger: Arc<Ledger>, mut ending: watch::Receiver<bool>) {
        for count in 0_u64.. {
            let pause = Duration::from_millis(self.random.logarithmic(40) as u64);
            tokio::select! {
                () = sleep(pause) => {}
                _ = ending.wait_for(|ending| *ending) => return,
            }
            let topic = self.topics[self.random.below(self.topics.len())].clone();
            // The second word is the key, where keys mean something.
            let mut data = format!("{}-{count} k{} ", self.number, count % 3);
            let length = self.random.logarithmic(2_000);
            data.extend(std::iter::repeat_n('x', length));
            let outcome = match self.has_key {
                true => self.insist(&topic, &data, count, &ending).await,
                false => publish(self.nodes[0], "publish", &topic, None, &data).await,
            };
            if !matches!(outcome, Outcome::Acknowledged(_)) {
                sleep(RETRY).await;
            }
            ledger.record(Publication { publisher: self.number, topic, data, outcome });
        }
    }

    /// Publishes with a key at one node after the other, until one acknowledges it.
    async fn insist(
        &self,
        topic: &str,
        data: &str,
        count: u64,
        ending: &watch::Receiver<bool>,
    ) -> Outcome {
        let key = format!("{}/{count}", self.number);
        let mut is_clean = true;
        for attempt in 0.. {
            let node = self.nodes[(count as usize + attempt) % self.nodes.len()];
            match publish(node, "publish", topic, Some(&key), data).await {
                Outcome::Refused => {}
                Outcome::Unknown => is_clean = false,
                // What is in doubt stays in doubt.
                Outcome::Finished if !is_clean => return Outcome::Unknown,
                certain => return certain,
            }
            if *ending.borrow() {
                break;
            }
            sleep(RETRY).await;
        }
        if is_clean { Outcome::Refused } else { Outcome::Unknown }
    }
}

/// The topics that keep the newest event of each key.
pub(crate) const VALUES: &str = "topic-2*";

/// The key of an event of one of these topics. Events without one are superseded by nothing.
pub(crate) fn key_of<'a>(topic: &str, data: &'a str) -> Option<&'a str> {
    is_of(&[VALUES], topic).then(|| data.split(' ').nth(1)).flatten()
}

/// Publishes once: `how` is `publish` or `finish`.
pub(crate) async fn publish(
    node: SocketAddr,
    how: &str,
    topic: &str,
    key: Option<&str>,
    data: &str,
) -> Outcome {
    let key = key.map_or(String::new(), |key| format!("&key={key}"));
    let part = part_of(data);
    let event_key = key_of(topic, data).map_or(String::new(), |key| format!("&event_key={key}"));
    let request =
        Request::post(&format!("/{how}?topic={topic}{key}{event_key}&attr.part={part}"), data);
    let exchange = async {
        let mut response = Connection::try_send(node, &request).await?;
        while response.ending().is_none() {
            response.read_some(usize::MAX).await;
        }
        Ok::<_, io::Error>(response)
    };
    match timeout(PATIENCE, exchange).await {
        Ok(Ok(response)) if response.ending() == Some(Ending::Whole) => outcome(&response),
        // Nothing was sent.
        Ok(Err(error)) if error.kind() == ErrorKind::ConnectionRefused => Outcome::Refused,
        _ => Outcome::Unknown,
    }
}

fn outcome(response: &Response) -> Outcome {
    match response.status() {
        200 => {
            let body: serde_json::Value = serde_json::from_str(response.text()).expect("JSON");
            Outcome::Acknowledged(body["id"].as_str().expect("an id").to_owned())
        }
        409 => Outcome::Finished,
        503 | 507 => Outcome::Refused,
        504 => Outcome::Unknown,
        status => panic!("{status}: {}", response.text()),
    }
}
