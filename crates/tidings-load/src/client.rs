//! The life of one client: connect, read, resume.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::Notify;
use tokio::time::sleep;

use crate::context::FleetContext;
use crate::http1;
use crate::http2::{self, Connections};
use crate::plan::ClientKind;
use crate::stream::reconnect_due;
use crate::stream_end::StreamEnd;

/// How often a client that never had a stream tries to connect before it gives up.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);

/// How the streams of a fleet are carried.
#[derive(Debug)]
pub(crate) enum Protocol {
    Http1,
    Http2(Connections),
}

/// Runs until the server refuses the client, or its task is dropped.
pub(crate) async fn live(fleet: Arc<FleetContext>, protocol: Arc<Protocol>, client: usize) {
    let plan = &fleet.plan;
    let kind = plan.kind(client);
    let mut storm = fleet.storm.subscribe();
    let mut failed_attempts = 0;
    let mut stay = plan.reconnect_every.map(|interval| interval.mul_f64(fastrand::f64()));
    loop {
        storm.mark_unchanged();
        fleet.measures.lock().attempt(client);
        let began = Notify::new();
        let due = reconnect_due(stay, &began, &mut storm, kind);
        let end = match &*protocol {
            Protocol::Http1 => http1::stream(&fleet, client, kind, &began, due).await,
            Protocol::Http2(connections) => {
                http2::stream(&fleet, connections, client, kind, &began, due).await
            }
        };
        let pause = {
            let mut measures = fleet.measures.lock();
            let had_stream = measures.stream_ended(client, &end);
            if had_stream {
                failed_attempts = 0;
                stay = plan.reconnect_every;
            }
            let (reason, is_final) = match end {
                StreamEnd::Planned | StreamEnd::Storm => continue,
                StreamEnd::Evicted | StreamEnd::RunEnded => return,
                StreamEnd::Finished => {
                    measures.finished(client);
                    fleet.changed.notify_waiters();
                    return;
                }
                StreamEnd::Server if kind == ClientKind::Stalled => return,
                StreamEnd::Server => (None, false),
                StreamEnd::Broken(reason) | StreamEnd::NotConnected(reason) => {
                    failed_attempts += 1;
                    let is_final = !measures.has_streamed(client) && failed_attempts >= ATTEMPTS;
                    (Some(reason), is_final)
                }
                StreamEnd::Refused(reason) => (Some(reason), true),
            };
            if let Some(reason) = reason {
                measures.failed(client, reason, is_final);
            }
            if is_final {
                fleet.changed.notify_waiters();
                return;
            }
            match measures.has_streamed(client) {
                true => measures.retry(client).unwrap_or(plan.retry),
                false => FIRST_PAUSE * (1 << failed_attempts),
            }
        };
        sleep(pause).await;
    }
}
