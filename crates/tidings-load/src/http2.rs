//! Clients that share connections: one stream of HTTP/2 each, with prior knowledge.

use std::convert::Infallible;
use std::future::poll_fn;

use bytes::Bytes;
use h2::client::{Builder, ResponseFuture, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::sync::{Mutex, Notify};
use tokio::time::{Instant, sleep, timeout};

use crate::context::FleetContext;
use crate::measures::wall_micros;
use crate::plan::ClientKind;
use crate::response::Head;
use crate::stream::{self, StreamReader};
use crate::stream_end::StreamEnd;

/// What a server may send on a stream that nobody reads.
const STREAM_WINDOW: u32 = 65_535;
/// What it may send on a connection: stalled streams must not delay the others.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// The connections of a fleet. The first client of each makes it, also when the last one has ended.
#[derive(Debug)]
pub(crate) struct Connections {
    slots: Vec<Mutex<Option<SendRequest<Bytes>>>>,
    streams: usize,
}

impl Connections {
    pub(crate) fn new(clients: usize, streams: usize) -> Self {
        let slots = (0..clients.div_ceil(streams.max(1))).map(|_| Mutex::new(None)).collect();
        Self { slots, streams: streams.max(1) }
    }

    /// A client's connection. The clients that share it wait until it is made.
    async fn of(
        &self,
        fleet: &FleetContext,
        client: usize,
    ) -> Result<SendRequest<Bytes>, StreamEnd> {
        let Some(slot) = self.slots.get(client / self.streams) else {
            return Err(StreamEnd::RunEnded);
        };
        let mut slot = slot.lock().await;
        if let Some(send) = slot.take()
            && let Ok(send) = send.ready().await
        {
            *slot = Some(send.clone());
            return Ok(send);
        }
        let made = timeout(stream::CONNECT_LIMIT, connection(fleet, client)).await;
        let send = made.map_err(|_| stream::timed_out())??;
        *slot = Some(send.clone());
        Ok(send)
    }
}

async fn connection(fleet: &FleetContext, client: usize) -> Result<SendRequest<Bytes>, StreamEnd> {
    let began = Instant::now();
    let unconnected = |error| StreamEnd::NotConnected(stream::reason(&error));
    let stream = stream::connect(fleet, client, ClientKind::Reader).await.map_err(unconnected)?;
    stream.set_nodelay(true).map_err(unconnected)?;
    let micros = stream::micros_since(began);
    let unanswered = |error| StreamEnd::NotConnected(no_answer(&error));
    let (send, connection) = Builder::new()
        .initial_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(stream)
        .await
        .map_err(unanswered)?;
    fleet.measures.lock().tally.connect.record(micros);
    // Its streams learn how it ends.
    tokio::spawn(connection);
    send.ready().await.map_err(unanswered)
}

/// One stream, from the request to its end.
pub(crate) async fn stream(
    fleet: &FleetContext,
    connections: &Connections,
    client: usize,
    kind: ClientKind,
    began: &Notify,
    reconnect_due: impl Future<Output = StreamEnd>,
) -> StreamEnd {
    let streamed = async {
        let mut send = connections.of(fleet, client).await?;
        let request = fleet.plan.target.get_http2(fleet.measures.lock().last_id(client));
        let request = request.map_err(|error| StreamEnd::Refused(error.to_string()))?;
        let reader = StreamReader::new(fleet, client, began);
        let unanswered = |error| StreamEnd::Broken(no_answer(&error));
        let (response, sent) = send.send_request(request, true).map_err(unanswered)?;
        drop(send);
        tokio::select! {
            biased;
            end = reconnect_due => Err(end),
            end = read(reader, kind, response, sent) => end,
        }
    };
    match streamed.await {
        Ok(never) => match never {},
        Err(end) => end,
    }
}

async fn read(
    mut reader: StreamReader<'_>,
    kind: ClientKind,
    response: ResponseFuture,
    sent: SendStream<Bytes>,
) -> Result<Infallible, StreamEnd> {
    let fleet = reader.fleet;
    let response = response.await.map_err(|error| StreamEnd::Broken(no_answer(&error)))?;
    let (head, mut body) = response.into_parts();
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let head = Head { status: head.status.as_u16(), content_type, close: false };
    reader.begin(&mut fleet.measures.lock(), &head)?;
    if kind == ClientKind::Stalled {
        return Err(stall(fleet, sent, body).await);
    }
    let broken = |error| StreamEnd::Broken(reason(&error));
    while let Some(data) = body.data().await {
        let data = data.map_err(broken)?;
        {
            let mut measures = fleet.measures.lock();
            measures.tally.deliveries.bytes += data.len() as u64;
            reader.body(&mut measures, &data, wall_micros())?;
        }
        if kind == ClientKind::Slow {
            let parts = data.len() as f64 / fleet.slow_bytes as f64;
            sleep(fleet.slow_pause.mul_f64(parts)).await;
        }
        body.flow_control().release_capacity(data.len()).map_err(broken)?;
    }
    Err(StreamEnd::Server)
}

/// Does not read until the end of the run, then checks whether the stream is still there.
async fn stall(
    fleet: &FleetContext,
    mut sent: SendStream<Bytes>,
    mut body: RecvStream,
) -> StreamEnd {
    let mut thaw = fleet.thaw.subscribe();
    tokio::select! {
        _ = poll_fn(|cx| sent.poll_reset(cx)) => return StreamEnd::Evicted,
        _ = thaw.wait_for(|thaw| *thaw) => {}
    }
    let read_all = async {
        while let Some(Ok(data)) = body.data().await {
            if body.flow_control().release_capacity(data.len()).is_err() {
                return;
            }
        }
    };
    match timeout(stream::LAST_CHECK, read_all).await {
        Ok(()) => StreamEnd::Evicted,
        Err(_) => StreamEnd::RunEnded,
    }
}

/// Before the head of a response has come, the server may not know HTTP/2.
fn no_answer(error: &h2::Error) -> String {
    format!("no answer over HTTP/2: {}", reason(error))
}

/// Short, and the same for the same reason.
fn reason(error: &h2::Error) -> String {
    match (error.get_io(), error.reason()) {
        (Some(error), _) => stream::reason(error),
        (None, Some(reason)) => reason.description().to_owned(),
        (None, None) => error.to_string(),
    }
}
