use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, sleep_until, timeout};

use crate::latency::Latency;
use crate::measures::wall_micros;
use crate::report::{Published, Times, rate, refusal};
use crate::response::Response;
use crate::stream::{micros_since, reason};
use crate::{LoadError, Target};

/// How long a response may take.
const RESPONSE_LIMIT: Duration = Duration::from_secs(10);
/// At the end of the run, a request fails that has had no response for so long.
const OVERDUE: Duration = Duration::from_secs(5);

/// Events to publish while the clients listen.
///
/// Each is a `POST` whose body is the event's data. They go one after the other over one connection:
///
/// ```json
/// {"at":1700000000000000,"n":1,"stream":"load-5eed0123","pad":"xxxx"}
/// ```
///
/// `at` is the time in microseconds at which the request is sent; `n` counts from 1; `stream` is
/// different for every run; `pad` fills the data up to its size. An event that the server does not
/// accept is sent again as the next one, with the same number. If there was no response, the server
/// may have published it nevertheless: then it is there twice.
#[derive(Debug, Clone)]
#[must_use]
pub struct Publishing {
    target: Target,
    rate: f64,
    size: usize,
    burst: u32,
}

impl Publishing {
    /// Publishes one event of 200 bytes a second to this URL.
    pub fn new(target: Target) -> Self {
        Self { target, rate: 1.0, size: 200, burst: 1 }
    }

    /// Events a second. Default 1.
    pub fn rate(mut self, per_second: f64) -> Self {
        self.rate = per_second;
        self
    }

    /// The bytes of an event's data while `n` has one digit, and one more for each further digit; the minimum is 54.
    /// Default 200.
    pub fn size(mut self, bytes: usize) -> Self {
        self.size = bytes;
        self
    }

    /// How many events are published at a time, as fast as the server responds. The rate stays the
    /// same. Default 1.
    pub fn burst(mut self, events: u32) -> Self {
        self.burst = events;
        self
    }

    pub(crate) fn check(&self) -> Result<(), LoadError> {
        let is_rate = (1e-6..=1e6).contains(&self.rate);
        LoadError::refuse_if([
            (!is_rate, "rate: must be between 0.000001 and 1,000,000 a second"),
            (self.burst == 0, "burst: must be at least 1"),
            (self.size > 8 * 1024 * 1024, "size: must not exceed 8 MiB"),
        ])
    }
}

/// The last event that the server has accepted.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub(crate) struct LastEvent {
    pub(crate) number: u64,
    /// When its request was sent, in microseconds since the Unix epoch.
    pub(crate) sent: u64,
}

/// Counts what was published.
#[derive(Debug, Default)]
pub(crate) struct PublishTally {
    events: u64,
    failures: BTreeMap<String, u64>,
    last: Option<LastEvent>,
    round_trip: Latency,
    /// When the request was sent that waits for its response.
    waiting: Option<Instant>,
}

impl PublishTally {
    pub(crate) fn last(&self) -> Option<LastEvent> {
        self.last
    }

    fn fail(&mut self, reason: String) {
        *self.failures.entry(reason).or_default() += 1;
    }

    /// The publisher was dropped.
    pub(crate) fn end(&mut self) {
        let is_overdue = |sent: Instant| self.events == 0 || sent.elapsed() > OVERDUE;
        if self.waiting.take().is_some_and(is_overdue) {
            self.fail("no response until the end".to_owned());
        }
    }

    pub(crate) fn report(&self, took: Duration, received_by: u64) -> Published {
        Published {
            events: self.events,
            failed: self.failures.values().sum(),
            failures: self.failures.clone(),
            received_by,
            per_second: rate(self.events, took.as_secs_f64()),
            round_trip_ms: Times::of(&self.round_trip),
        }
    }
}

#[derive(Serialize)]
struct Data<'a> {
    at: u64,
    n: u64,
    stream: &'a str,
    #[serde(skip_serializing_if = "str::is_empty")]
    pad: &'a str,
}

/// The name of a run's stream.
pub(crate) fn new_stream() -> String {
    format!("load-{:08x}", fastrand::u32(..))
}

/// Publishes until it is dropped.
///
/// # Errors
///
/// If the server does not accept the first event. Later failures are counted, and tried again.
pub(crate) async fn publish(
    publishing: Publishing,
    stream: String,
    tally: Arc<Mutex<PublishTally>>,
) -> Result<std::convert::Infallible, LoadError> {
    let Publishing { target, rate, size, burst } = publishing;
    let server = target.resolve().await?;
    let empty = Data { at: wall_micros(), n: 0, stream: &stream, pad: "" };
    let bare = serde_json::to_string(&empty).map_or(0, |data| data.len());
    let pad = "x".repeat(size.saturating_sub(bare + r#","pad":"""#.len()));
    let mut post = Post { server, target: &target, stream: None };
    let mut number = 1;
    let mut due = Instant::now();
    loop {
        sleep_until(due).await;
        for _ in 0..burst {
            let sent = wall_micros();
            let data = Data { at: sent, n: number, stream: &stream, pad: &pad };
            let body = serde_json::to_vec(&data).unwrap_or_default();
            let began = Instant::now();
            tally.lock().waiting = Some(began);
            let posted = match timeout(RESPONSE_LIMIT, post.send(&body)).await {
                Ok(posted) => posted,
                Err(_) => Err("no response within 10 seconds".to_owned()),
            };
            let mut tally = tally.lock();
            tally.waiting = None;
            match posted {
                Ok(()) => {
                    tally.round_trip.record(micros_since(began));
                    tally.events += 1;
                    tally.last = Some(LastEvent { number, sent });
                    number += 1;
                }
                Err(reason) => {
                    post.stream = None;
                    if tally.events == 0 {
                        return Err(refusal(&target, "the publisher fails: ", &reason));
                    }
                    tally.fail(reason);
                }
            }
        }
        due += Duration::from_secs_f64(f64::from(burst) / rate);
        // The publisher catches up, but never by more than a second.
        due = due.max(Instant::now() - Duration::from_secs(1));
    }
}

/// Posts over one connection for as long as it lasts.
struct Post<'a> {
    server: SocketAddr,
    target: &'a Target,
    stream: Option<TcpStream>,
}

impl Post<'_> {
    async fn send(&mut self, body: &[u8]) -> Result<(), String> {
        let request = self.target.post(body);
        // The server may have closed the connection in the meantime.
        if self.stream.is_some()
            && let Ok(status) = self.exchange(&request).await
        {
            return accepted(status);
        }
        let stream = TcpStream::connect(self.server).await.map_err(|error| reason(&error))?;
        stream.set_nodelay(true).map_err(|error| reason(&error))?;
        self.stream = Some(stream);
        accepted(self.exchange(&request).await?)
    }

    async fn exchange(&mut self, request: &[u8]) -> Result<u16, String> {
        let Some(mut stream) = self.stream.take() else { return Err("no connection".into()) };
        stream.write_all(request).await.map_err(|error| reason(&error))?;
        let mut response = Response::new();
        let mut buffer = [0; 2048];
        let mut has_ended = false;
        while !response.is_complete() && !has_ended {
            let read = stream.read(&mut buffer).await.map_err(|error| reason(&error))?;
            has_ended = read == 0;
            let mut bytes = buffer.get(..read).unwrap_or_default();
            while response.next_data(&mut bytes).map_err(|bad| bad.to_string())?.is_some() {}
        }
        let head = response.head().ok_or("the connection ended before the response")?;
        if !has_ended && !head.close {
            self.stream = Some(stream);
        }
        Ok(head.status)
    }
}

fn accepted(status: u16) -> Result<(), String> {
    match status {
        200..300 => Ok(()),
        _ => Err(format!("the server answers {status}")),
    }
}
