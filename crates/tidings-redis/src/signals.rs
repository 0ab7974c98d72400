//! What nodes tell each other past the log, at most once.

use std::sync::Arc;

use bytes::Bytes;
use redis::cmd;
use tidings::backend::{Refused, Replica};
use tokio::sync::mpsc;

use crate::backoff::Backoff;
use crate::streams::Streams;
use crate::subscriber::Subscriber;

/// So many signals may wait to be published; further ones are lost, as they may be.
pub(crate) const MAX_WAITING: usize = 1_000;

/// Publishes signals. What cannot be published now is lost.
pub(crate) async fn publish(streams: Arc<Streams>, mut signals: mpsc::Receiver<Bytes>) {
    let channel = streams.keys.signals();
    while let Some(signal) = signals.recv().await {
        let mut publish = cmd("PUBLISH");
        publish.arg(&channel).arg(&signal[..]);
        let _ = streams.links[0].ask(&publish).await;
    }
}

/// Hands on what other nodes publish.
pub(crate) async fn receive(streams: Arc<Streams>, replica: Replica) {
    let mut backoff = Backoff::default();
    let channels = [streams.keys.signals()];
    loop {
        let subscriber = Subscriber::new(&streams.endpoint, &channels, &[]).await;
        if let Ok(subscriber) = subscriber {
            backoff.reset();
            if hand_on(subscriber, &replica).await.is_err() {
                return;
            }
        }
        if replica.is_gone() {
            return;
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
