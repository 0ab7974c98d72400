//! What the streams of clients have in common, over either protocol.

use std::future::pending;
use std::io;
use std::time::Duration;

use tidings::Decoder;
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep};

use crate::context::FleetContext;
use crate::measures::{Measures, wall_micros};
use crate::plan::ClientKind;
use crate::response::Head;
use crate::stream_end::StreamEnd;

/// How long a connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How long the last check of a stalled connection may take.
pub(crate) const LAST_CHECK: Duration = Duration::from_secs(1);
/// The kernel's buffer of a client that does not read as it should. With a larger one the server
/// would notice late.
const SMALL_BUFFER: u32 = 4 * 1024;
/// What a server can make a client hold.
const MAX_EVENT_BYTES: usize = 16 * 1024 * 1024;

pub(crate) async fn connect(
    fleet: &FleetContext,
    client: usize,
    kind: ClientKind,
) -> io::Result<TcpStream> {
    let socket = match fleet.server.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    if kind != ClientKind::Reader {
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
    }
    if let Some(source) = fleet.plan.source(client) {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(fleet.server).await?;
    if kind == ClientKind::Stalled {
        // Without it, the client would not learn that a server has vanished without a word.
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(1));
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(stream)
}

/// Waits until this client, or every client, must reconnect. The client's own time begins with its
/// stream, because a response may take longer.
pub(crate) async fn reconnect_due(
    stay: Option<Duration>,
    began: &Notify,
    storm: &mut watch::Receiver<u64>,
    kind: ClientKind,
) -> StreamEnd {
    if kind == ClientKind::Stalled {
        return pending().await;
    }
    let planned = async {
        match stay {
            Some(stay) => {
                began.notified().await;
                sleep(stay).await;
            }
            None => pending().await,
        }
    };
    tokio::select! {
        () = planned => StreamEnd::Planned,
        Ok(()) = storm.changed() => StreamEnd::Storm,
    }
}

/// Reads the events of one response.
pub(crate) struct StreamReader<'a> {
    pub(crate) fleet: &'a FleetContext,
    pub(crate) is_streaming: bool,
    /// Notified when the stream begins.
    began: &'a Notify,
    client: usize,
    decoder: Decoder,
    requested: Instant,
    requested_wall: u64,
    has_id: bool,
}

impl<'a> StreamReader<'a> {
    pub(crate) fn new(fleet: &'a FleetContext, client: usize, began: &'a Notify) -> Self {
        Self {
            fleet,
            is_streaming: false,
            began,
            client,
            decoder: Decoder::new().max_event_bytes(MAX_EVENT_BYTES),
            requested: Instant::now(),
            requested_wall: wall_micros(),
            has_id: false,
        }
    }

    /// The head has come: it begins a stream, or refuses the client.
    pub(crate) fn begin(&mut self, measures: &mut Measures, head: &Head) -> Result<(), StreamEnd> {
        if head.status == 204 && measures.has_streamed(self.client) {
            return Err(StreamEnd::Finished);
        }
        if head.status != 200 {
            return Err(StreamEnd::Refused(format!("the server answers {}", head.status)));
        }
        if !head.is_event_stream() {
            let content_type = match head.content_type.as_str() {
                "" => "missing",
                named => named,
            };
            let reason = format!("the content type is {content_type}, not text/event-stream");
            return Err(StreamEnd::Refused(reason));
        }
        self.is_streaming = true;
        measures.tally.first_byte.record(micros_since(self.requested));
        measures.stream_began(self.client, wall_micros());
        self.began.notify_one();
        self.fleet.changed.notify_waiters();
        Ok(())
    }

    /// A part of the body has come.
    pub(crate) fn body(
        &mut self,
        measures: &mut Measures,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), StreamEnd> {
        let (fields, requested) = (&self.fleet.plan.fields, self.requested_wall);
        let mut is_awaited = false;
        let fed = self.decoder.feed(bytes);
        while let Some(message) = self.decoder.next_message() {
            let id = message.id().filter(|id| !id.is_empty());
            is_awaited |= measures.event(self.client, &message, id, fields, requested, now);
        }
        let id = self.decoder.last_event_id();
        self.has_id |= !id.is_empty();
        let id = self.has_id.then_some(id);
        measures.set_resume(self.client, id, self.decoder.retry());
        if is_awaited {
            self.fleet.changed.notify_waiters();
        }
        fed.map_err(|_| StreamEnd::Broken("an event is longer than 16 MiB".into()))
    }
}

pub(crate) fn micros_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The kind's words for common errors, so that the same reason is counted as one.
pub(crate) fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused
        | io::ErrorKind::ConnectionReset
        | io::ErrorKind::TimedOut
        | io::ErrorKind::BrokenPipe => error.kind().to_string(),
        io::ErrorKind::AddrNotAvailable | io::ErrorKind::AddrInUse => {
            "no free port at the source address".to_owned()
        }
        _ => error.to_string(),
    }
}

pub(crate) fn timed_out() -> StreamEnd {
    StreamEnd::NotConnected(reason(&io::ErrorKind::TimedOut.into()))
}

#[cfg(test)]
mod tests {
    use std::pin::pin;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_client_stays_for_its_time_from_the_beginning_of_its_stream() {
        let stay = Duration::from_secs(1);
        let began = Notify::new();
        let mut storm = watch::Sender::new(0).subscribe();
        let mut due = pin!(reconnect_due(Some(stay), &began, &mut storm, ClientKind::Reader));
        assert!(timeout(stay * 60, &mut due).await.is_err());
        began.notify_one();
        assert!(timeout(stay / 2, &mut due).await.is_err());
        assert!(matches!(timeout(stay, due).await, Ok(StreamEnd::Planned)));
    }
}
