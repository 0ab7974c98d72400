use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use tidings_net::{Activity, Hubs, Sending, Stall};

tokio::task_local! {
    /// Of the stream whose task this is.
    static SENDING: Arc<Sending>;
}

/// Has tokio run the streams of a connection of HTTP/2, and ends those that are stalled: hyper does not poll the response of a
/// stream whose client opens no window for it, but resets one whose task is dropped.
#[derive(Debug, Clone)]
pub(crate) struct Streams {
    activity: Activity,
    limit: Option<Duration>,
    hubs: Hubs,
}

impl Streams {
    pub(crate) fn new(activity: Activity, limit: Option<Duration>, hubs: Hubs) -> Self {
        Self { activity, limit, hubs }
    }

    /// What the stream is sending whose task asks, if its time is limited.
    pub(crate) fn sending() -> Option<Arc<Sending>> {
        SENDING.try_with(Arc::clone).ok()
    }
}

impl<F> Executor<F> for Streams
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, stream: F) {
        // Also of one that was upgraded.
        let answering = self.activity.answer();
        let stream = async move {
            stream.await;
            drop(answering);
        };
        let Some(limit) = self.limit else {
            tokio::spawn(stream);
            return;
        };
        let sending = Arc::new(Sending::default());
        let stall = Stall::new(sending.clone(), self.activity.clone(), limit);
        let hubs = self.hubs.clone();
        tokio::spawn(async move { stall.watch(SENDING.scope(sending, stream), &hubs).await });
    }
}
