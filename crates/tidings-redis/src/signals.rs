//! What nodes tell each other past the log, at most once.

use std::slice;
use std::sync::Arc;

use bytes::Bytes;
use redis::cmd;
use tidings::backend::{Refused, Replica};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::engine::Engine;
use crate::subscriber::Subscriber;

/// How many signals may wait to be published; further ones are lost, as they may be.
pub(crate) const MAX_WAITING: usize = 1_000;

/// Publishes signals. What cannot be published now is lost.
pub(crate) async fn publish(engine: Arc<Engine>, mut signals: mpsc::Receiver<Bytes>) {
    while let Some(signal) = signals.recv().await {
        let mut publish = cmd("PUBLISH");
        publish.arg(&engine.keys.signals).arg(&signal[..]);
        let _ = engine.ask("publish a signal", &publish).await;
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
