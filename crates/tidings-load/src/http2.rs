//! Clients that share connections: one stream of HTTP/2 each, with prior knowledge.

use std::future::poll_fn;
use std::io;
use std::pin::pin;
use std::time::Duration;

use bytes::Bytes;
use h2::client::{Builder, SendRequest};
use h2::{RecvStream, SendStream};
use tokio::sync::{Mutex, watch};
use tokio::time::{Instant, sleep, timeout};

use crate::client::{self, End, Reader, connect, leave, micros_since};
use crate::fleet::Shared;
use crate::measures::wall_micros;
use crate::plan::Kind;
use crate::response::Head;

/// What a server may send on a stream of which nobody reads.
const STREAM_WINDOW: u32 = 65_535;
/// A connection's: stalled streams must not hold up the others.
const CONNECTION_WINDOW: u32 = 64 * 1024 * 1024;

/// The connections of a fleet: each is made by the first client that wants it, and made anew when
/// it is gone.
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

    /// A client's connection. Those that share it wait until it is made.
    async fn of(&self, fleet: &Shared, client: usize) -> Result<SendRequest<Bytes>, End> {
        let Some(slot) = self.slots.get(client / self.streams) else {
            return Err(End::Over);
        };
        let mut slot = slot.lock().await;
        if let Some(send) = slot.take() {
            if let Ok(send) = send.ready().await {
                *slot = Some(send.clone());
                return Ok(send);
            }
        }
        let began = Instant::now();
        let made = async {
            let stream = connect(fleet, client, Kind::Reader)
                .await
                .map_err(|error| End::NotMade(client::reason(&error)))?;
            stream.set_nodelay(true).map_err(|error| End::NotMade(client::reason(&error)))?;
            let micros = micros_since(began);
            let mut builder = Builder::new();
            builder.initial_window_size(STREAM_WINDOW);
            builder.initial_connection_window_size(CONNECTION_WINDOW);
            let (send, connection) = builder
                .handshake(stream)
                .await
                .map_err(|error| End::NotMade(unanswered(&error)))?;
            fleet.measures.lock().tally.connect.record(micros);
            // Its streams learn how it ends.
            tokio::spawn(connection);
            send.ready().await.map_err(|error| End::NotMade(unanswered(&error)))
        };
        let send = match timeout(client::CONNECT_LIMIT, made).await {
            Ok(made) => made?,
            Err(_) => {
                return Err(End::NotMade(client::reason(&io::ErrorKind::TimedOut.into())));
            }
        };
        *slot = Some(send.clone());
        Ok(send)
    }
}

/// One stream, from the request to its end.
pub(crate) async fn stream(
    fleet: &Shared,
    client: usize,
    kind: Kind,
    stay: Option<Duration>,
    storm: &mut watch::Receiver<u64>,
) -> End {
    let Some(connections) = &fleet.http2 else { return End::Over };
    let mut send = match connections.of(fleet, client).await {
        Ok(send) => send,
        Err(end) => return end,
    };
    let last_id = fleet.measures.lock().connects(client);
    let request = match fleet.plan.target.get_http2(&last_id) {
        Ok(request) => request,
        Err(error) => return End::Refused(error.to_string()),
    };
    let mut reader = Reader::new(fleet, client);
    let (response, mut sent) = match send.send_request(request, true) {
        Ok(sent) => sent,
        Err(error) => return End::Broken(unanswered(&error)),
    };
    drop(send);

    let mut leave = pin!(leave(stay, storm, kind));
    let response = tokio::select! {
        biased;
        end = &mut leave => return end,
        response = response => response,
    };
    let (head, mut body) = match response {
        Ok(response) => response.into_parts(),
        Err(error) => return End::Broken(unanswered(&error)),
    };
    let content_type = head.headers.get("content-type").and_then(|value| value.to_str().ok());
    let content_type = content_type.unwrap_or_default().to_owned();
    let head = Head { status: head.status.as_u16(), content_type, close: false };
    if let Err(end) = reader.begin(&mut fleet.measures.lock(), &head) {
        return end;
    }
    if kind == Kind::Stalled {
        return stall(fleet, &mut sent, &mut body).await;
    }
    loop {
        let data = tokio::select! {
            biased;
            end = &mut leave => return end,
            data = body.data() => data,
        };
        let data = match data {
            Some(Ok(data)) => data,
            Some(Err(error)) => return End::Broken(reason(&error)),
            None => return End::Server,
        };
        {
            let mut measures = fleet.measures.lock();
            measures.tally.bytes += data.len() as u64;
            if let Err(end) = reader.body(&mut measures, &data, wall_micros()) {
                return end;
            }
        }
        if kind == Kind::Slow {
            let parts = data.len() as f64 / fleet.slow_bytes as f64;
            sleep(fleet.slow_pause.mul_f64(parts)).await;
        }
        if let Err(error) = body.flow_control().release_capacity(data.len()) {
            return End::Broken(reason(&error));
        }
    }
}

/// Does not read until the run is over; then looks whether the stream is still there.
async fn stall(fleet: &Shared, sent: &mut SendStream<Bytes>, body: &mut RecvStream) -> End {
    let mut thaw = fleet.thaw.subscribe();
    tokio::select! {
        _ = poll_fn(|cx| sent.poll_reset(cx)) => return End::LetGo,
        _ = thaw.wait_for(|thaw| *thaw) => {}
    }
    let read_all = async {
        while let Some(Ok(data)) = body.data().await {
            if body.flow_control().release_capacity(data.len()).is_err() {
                return;
            }
        }
    };
    match timeout(client::LAST_LOOK, read_all).await {
        Ok(()) => End::LetGo,
        Err(_) => End::Over,
    }
}

/// Before the head of a response has come, it may be that the server does not know HTTP/2.
fn unanswered(error: &h2::Error) -> String {
    format!("no answer over HTTP/2: {}", reason(error))
}

/// Short, and the same for the same reason.
fn reason(error: &h2::Error) -> String {
    match (error.get_io(), error.reason()) {
        (Some(error), _) => client::reason(error),
        (None, Some(reason)) => reason.description().to_owned(),
        (None, None) => error.to_string(),
    }
}
