//! Messages of Pub/Sub.

use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use redis::aio::{PubSubSink, PubSubStream};
use redis::{ErrorKind, Msg, RedisResult};

use crate::endpoint::{Endpoint, in_time};

/// A subscription that notices when its link is dead, although no message may come for hours.
pub(crate) struct Subscriber {
    sink: PubSubSink,
    messages: Pin<Box<PubSubStream>>,
}

impl Subscriber {
    /// After this time without a message the server is pinged.
    const SILENCE: Duration = Duration::from_secs(1);

    /// Subscribes to channels and patterns.
    pub(crate) async fn new(
        endpoint: &Endpoint,
        channels: &[String],
        patterns: &[String],
    ) -> RedisResult<Self> {
        let (mut sink, messages) = endpoint.subscribe().await?.split();
        let subscribe = async {
            if !channels.is_empty() {
                sink.subscribe(channels).await?;
            }
            if !patterns.is_empty() {
                sink.psubscribe(patterns).await?;
            }
            Ok(())
        };
        in_time(endpoint.connect_timeout, subscribe).await?;
        Ok(Self { sink, messages: Box::pin(messages) })
    }

    /// The next message. Cancelling it loses none.
    pub(crate) async fn next(&mut self) -> RedisResult<Msg> {
        loop {
            let message = std::future::poll_fn(|cx| self.messages.as_mut().poll_next(cx));
            match tokio::time::timeout(Self::SILENCE, message).await {
                Ok(Some(message)) => return Ok(message),
                Ok(None) => return Err((ErrorKind::Io, "connection closed").into()),
                Err(_) => {
                    let pong = async { self.sink.ping::<redis::Value>().await.map(drop) };
                    in_time(Self::SILENCE, pong).await?;
                }
            }
        }
    }
}
