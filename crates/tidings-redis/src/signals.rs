//! What nodes tell each other past the log, at most once.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::{Cmd, RedisError, RedisResult, cmd};
use tidings::backend::{LogError, Refused, Replica};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::error::failed;
use crate::subscriber::Subscriber;

/// How many signals may wait to be published; further ones are lost, as they may be.
pub(crate) const MAX_WAITING: usize = 1_000;

/// A signal that waits to be published.
pub(crate) struct Signal {
    bytes: Bytes,
    since: Instant,
}

impl Signal {
    /// One that has waited for longer would come as news, and is none.
    const LATE: Duration = Duration::from_secs(1);

    pub(crate) fn new(bytes: Bytes) -> Self {
        Self { bytes, since: Instant::now() }
    }
}

/// Whether this node can hear the others, and be heard. If not, events would flow all the same, and nobody would notice
/// that what is asked of all nodes reaches only this one.
pub(crate) async fn check(engine: &Engine) -> Result<(), LogError> {
    let subscriber = subscribe(engine).await;
    drop(subscriber.map_err(|error| failed("hear other nodes", &error))?);
    // Nobody reads an empty signal.
    engine.ask("publish a signal", &publication(engine, &[])).await.map(drop)
}

async fn subscribe(engine: &Engine) -> RedisResult<Subscriber> {
    Subscriber::new(&engine.endpoint, slice::from_ref(&engine.keys.signals), &[]).await
}

fn publication(engine: &Engine, signal: &[u8]) -> Cmd {
    let mut publish = cmd("PUBLISH");
    publish.arg(&engine.keys.signals).arg(signal);
    publish
}

/// Publishes signals until there can be no more. What cannot be published now is lost.
pub(crate) async fn publish(engine: Arc<Engine>, mut signals: mpsc::Receiver<Signal>) {
    while let Some(Signal { bytes, since }) = signals.recv().await {
        if since.elapsed() < Signal::LATE {
            let _ = engine.ask("publish a signal", &publication(&engine, &bytes)).await;
        }
    }
}

/// Hands on what other nodes publish. While it cannot, the follower reports that: reports come from one task.
pub(crate) async fn receive(engine: Arc<Engine>, replica: Replica) {
    let mut backoff = Backoff::default();
    while !replica.is_gone() {
        let error = match subscribe(&engine).await {
            Ok(subscriber) => {
                backoff.reset();
                engine.hears(Ok(()));
                let Ok(error) = hand_on(subscriber, &replica).await else { return };
                error
            }
            Err(error) => error,
        };
        engine.hears(Err(error));
        backoff.wait().await;
    }
}

/// Until the link is lost, with this error, or the hub gone.
async fn hand_on(mut subscriber: Subscriber, replica: &Replica) -> Result<RedisError, Refused> {
    loop {
        match subscriber.next().await {
            Ok(message) => {
                replica.signalled(&Bytes::copy_from_slice(message.get_payload_bytes()))?;
            }
            Err(error) => return Ok(error),
        }
    }
}
