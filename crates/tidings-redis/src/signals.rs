//! What nodes tell each other past the log, at most once.

use std::slice;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use redis::cmd;
use tidings::backend::{Refused, Replica};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::engine::Engine;
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

/// Publishes signals until there can be no more. What cannot be published now is lost.
pub(crate) async fn publish(engine: Arc<Engine>, mut signals: mpsc::Receiver<Signal>) {
    while let Some(Signal { bytes, since }) = signals.recv().await {
        if since.elapsed() < Signal::LATE {
            let mut publish = cmd("PUBLISH");
            publish.arg(&engine.keys.signals).arg(&bytes[..]);
            let _ = engine.ask("publish a signal", &publish).await;
        }
    }
}

/// Hands on what other nodes publish.
pub(crate) async fn receive(engine: Arc<Engine>, replica: Replica) {
    let mut backoff = Backoff::default();
    let channels = slice::from_ref(&engine.keys.signals);
    while !replica.is_gone() {
        if let Ok(subscriber) = Subscriber::new(&engine.endpoint, channels, &[]).await {
            backoff.reset();
            if hand_on(subscriber, &replica).await.is_err() {
                return;
            }
        }
        backoff.wait().await;
    }
}

/// Until the link is lost, or the hub gone.
async fn hand_on(mut subscriber: Subscriber, replica: &Replica) -> Result<(), Refused> {
    while let Ok(message) = subscriber.next().await {
        replica.signalled(&Bytes::copy_from_slice(message.get_payload_bytes()))?;
    }
    Ok(())
}
