//! The life of one client: connect, read, resume.

use std::cell::RefCell;
use std::future::{pending, poll_fn};
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWriteExt, Interest, ReadBuf};
use tokio::net::{TcpSocket, TcpStream};
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use crate::events::Events;
use crate::fleet::Shared;
use crate::http2;
use crate::measures::{Measures, wall_micros};
use crate::plan::Kind;
use crate::response::{Head, Response};

/// How long a connection may take.
pub(crate) const CONNECT_LIMIT: Duration = Duration::from_secs(20);
/// How long the last look at a stalled connection may take.
pub(crate) const LAST_LOOK: Duration = Duration::from_secs(1);
/// What a client that never got a connection does before it gives up.
const ATTEMPTS: u32 = 5;
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The kernel's buffer of a client that does not read as it should: with a larger one it would
/// take the server long to notice.
const SMALL_BUFFER: u32 = 4 * 1024;
const READ_BYTES: usize = 64 * 1024;

thread_local! {
    /// One buffer for all clients of a thread: what is read is used up before the next one reads.
    static BUFFER: RefCell<Vec<u8>> = RefCell::new(vec![0; READ_BYTES]);
}

/// Why a connection is over.
#[derive(Debug)]
pub(crate) enum End {
    /// It was this client's turn.
    Planned,
    /// It was everybody's.
    Storm,
    /// The body ended as it should.
    Server,
    /// The connection was cut, or what came made no sense.
    Broken(String),
    /// There was no connection.
    NotMade(String),
    /// The server does not want this client, now or ever (HTML standard, 9.2.3).
    Refused(String),
    /// The server ended the stream of a client that did not read.
    LetGo,
    /// The run is over.
    Over,
}

/// Lives until the server refuses it, or its task is dropped.
pub(crate) async fn live(fleet: Arc<Shared>, client: usize) {
    let kind = fleet.plan.kind(client);
    let mut storm = fleet.storm.subscribe();
    let mut failed_attempts = 0;
    let mut stay = fleet.plan.reconnect_every.map(|interval| interval.mul_f64(fastrand::f64()));
    loop {
        storm.mark_unchanged();
        let end = match &fleet.http2 {
            None => connection(&fleet, client, kind, stay, &mut storm).await,
            Some(_) => http2::stream(&fleet, client, kind, stay, &mut storm).await,
        };
        if matches!(end, End::Over) {
            return;
        }
        let pause = {
            let mut measures = fleet.measures.lock();
            let had_stream = measures.stream_ended(client);
            if had_stream {
                failed_attempts = 0;
                stay = fleet.plan.reconnect_every;
            }
            let state = measures.clients.get(client);
            let has_streamed = state.is_some_and(|state| state.has_streamed);
            let retry = state.and_then(|state| state.retry).map(Duration::from_millis);
            let retry = retry.unwrap_or(fleet.plan.retry);
            let tally = &mut measures.tally;
            match end {
                End::Planned if had_stream => tally.planned += 1,
                End::Storm if had_stream => tally.stormed += 1,
                End::Server if had_stream => tally.ended_by_server += 1,
                End::Broken(_) if had_stream => tally.broken += 1,
                _ => {}
            }
            match end {
                End::Planned | End::Storm => Duration::ZERO,
                End::Server if kind == Kind::Stalled => {
                    measures.let_go(client);
                    return;
                }
                End::Server => {
                    measures.let_go(client);
                    retry
                }
                End::Broken(reason) | End::NotMade(reason) => {
                    if had_stream {
                        measures.let_go(client);
                    }
                    *measures.tally.failures.entry(reason.clone()).or_default() += 1;
                    failed_attempts += 1;
                    if !has_streamed && failed_attempts >= ATTEMPTS {
                        *measures.tally.gave_up.entry(reason).or_default() += 1;
                        drop(measures);
                        fleet.changed.notify_waiters();
                        return;
                    }
                    if has_streamed { retry } else { FIRST_PAUSE * (1 << failed_attempts) }
                }
                End::Refused(reason) => {
                    *measures.tally.failures.entry(reason.clone()).or_default() += 1;
                    *measures.tally.gave_up.entry(reason).or_default() += 1;
                    drop(measures);
                    fleet.changed.notify_waiters();
                    return;
                }
                End::LetGo => {
                    measures.let_go(client);
                    return;
                }
                End::Over => return,
            }
        };
        if !pause.is_zero() {
            sleep(pause).await;
        }
    }
}

/// One connection, from the first packet to its end.
async fn connection(
    fleet: &Shared,
    client: usize,
    kind: Kind,
    stay: Option<Duration>,
    storm: &mut watch::Receiver<u64>,
) -> End {
    let began = Instant::now();
    let connected = timeout(CONNECT_LIMIT, connect(fleet, client, kind)).await;
    let mut stream = match connected {
        Ok(Ok(stream)) => stream,
        Ok(Err(error)) => return End::NotMade(reason(&error)),
        Err(_) => return End::NotMade(reason(&io::ErrorKind::TimedOut.into())),
    };
    let mut request = fleet.request.clone();
    {
        let mut measures = fleet.measures.lock();
        measures.tally.connect.record(micros_since(began));
        let last_id = measures.connects(client);
        if !last_id.is_empty() {
            request.extend_from_slice(b"Last-Event-ID: ");
            request.extend_from_slice(&last_id);
            request.extend_from_slice(b"\r\n");
        }
        request.extend_from_slice(b"\r\n");
    }
    let mut http1 = Http1 { response: Response::new(), reader: Reader::new(fleet, client) };
    if let Err(error) = stream.write_all(&request).await {
        return End::Broken(reason(&error));
    }
    drop(request);

    let mut leave = pin!(leave(stay, storm, kind));
    loop {
        let end = tokio::select! {
            biased;
            end = &mut leave => return end,
            read = poll_fn(|cx| http1.poll(&mut stream, cx, kind)) => read,
        };
        match end {
            Ok(()) => {}
            Err(end) => return end,
        }
        match kind {
            Kind::Stalled if http1.reader.is_streaming => return stall(fleet, &mut stream).await,
            Kind::Slow if http1.reader.is_streaming => sleep(fleet.slow_pause).await,
            _ => {}
        }
    }
}

pub(crate) async fn connect(fleet: &Shared, client: usize, kind: Kind) -> io::Result<TcpStream> {
    let socket = match fleet.server.is_ipv4() {
        true => TcpSocket::new_v4()?,
        false => TcpSocket::new_v6()?,
    };
    if kind != Kind::Reader {
        socket.set_recv_buffer_size(SMALL_BUFFER)?;
    }
    if let Some(source) = fleet.plan.source(client) {
        socket.bind((source, 0).into())?;
    }
    let stream = socket.connect(fleet.server).await?;
    if kind == Kind::Stalled {
        // Else it would not learn that a server is gone that did not say so.
        let keepalive = socket2::TcpKeepalive::new().with_time(Duration::from_secs(1));
        socket2::SockRef::from(&stream).set_tcp_keepalive(&keepalive)?;
    }
    Ok(stream)
}

/// When this client, or every client, is to come back.
pub(crate) async fn leave(
    stay: Option<Duration>,
    storm: &mut watch::Receiver<u64>,
    kind: Kind,
) -> End {
    if kind == Kind::Stalled {
        return pending().await;
    }
    let turn = async {
        match stay {
            Some(stay) => sleep(stay).await,
            None => pending().await,
        }
    };
    tokio::select! {
        () = turn => End::Planned,
        stormed = storm.changed() => match stormed {
            Ok(()) => End::Storm,
            Err(_) => pending().await,
        },
    }
}

/// Does not read until the run is over; then looks whether the server is still there.
async fn stall(fleet: &Shared, stream: &mut TcpStream) -> End {
    let mut thaw = fleet.thaw.subscribe();
    tokio::select! {
        _ = stream.ready(Interest::ERROR) => return End::LetGo,
        _ = thaw.wait_for(|thaw| *thaw) => {}
    }
    let read_all = async {
        while poll_fn(|cx| poll_read(stream, cx, READ_BYTES, |bytes| bytes.len())).await? > 0 {}
        io::Result::Ok(())
    };
    match timeout(LAST_LOOK, read_all).await {
        // The end, or an error: it was there already.
        Ok(_) => End::LetGo,
        Err(_) => End::Over,
    }
}

/// Reads once, no more than `limit` bytes, and hands them to `take`; nothing is the end.
fn poll_read<T>(
    stream: &mut TcpStream,
    cx: &mut Context<'_>,
    limit: usize,
    take: impl FnOnce(&[u8]) -> T,
) -> Poll<io::Result<T>> {
    BUFFER.with_borrow_mut(|buffer| {
        let end = limit.min(buffer.len());
        let mut buffer = ReadBuf::new(buffer.get_mut(..end).unwrap_or_default());
        ready!(Pin::new(stream).poll_read(cx, &mut buffer))?;
        Poll::Ready(Ok(take(buffer.filled())))
    })
}

/// Reads one response of HTTP/1.1.
struct Http1<'a> {
    response: Response,
    reader: Reader<'a>,
}

impl Http1<'_> {
    fn poll(
        &mut self,
        stream: &mut TcpStream,
        cx: &mut Context<'_>,
        kind: Kind,
    ) -> Poll<Result<(), End>> {
        let limit = match kind {
            Kind::Slow if self.reader.is_streaming => self.reader.fleet.slow_bytes,
            _ => READ_BYTES,
        };
        let taken = ready!(poll_read(stream, cx, limit, |bytes| self.take(bytes)));
        Poll::Ready(match taken {
            Ok(taken) => taken,
            Err(error) => Err(End::Broken(reason(&error))),
        })
    }

    fn take(&mut self, bytes: &[u8]) -> Result<(), End> {
        if bytes.is_empty() {
            return Err(match self.response.head() {
                None => End::Broken("the connection ended before the answer".into()),
                // Without a length, that is how it ends.
                Some(_) => End::Server,
            });
        }
        let reader = &mut self.reader;
        let mut measures = reader.fleet.measures.lock();
        measures.tally.bytes += bytes.len() as u64;
        let now = wall_micros();
        let mut is_good = Ok(());
        let fed = self.response.feed(bytes, |head, body| {
            if !body.is_empty() && head.status == 200 && head.is_event_stream() && is_good.is_ok() {
                is_good = reader.body(&mut measures, body, now);
            }
        });
        fed.map_err(|bad| End::Broken(bad.to_string()))?;
        is_good?;
        let Some(head) = self.response.head() else { return Ok(()) };
        if !reader.is_streaming {
            reader.begin(&mut measures, head)?;
        }
        if self.response.is_done() { Err(End::Server) } else { Ok(()) }
    }
}

/// Reads the stream of one response, over whatever protocol it came.
pub(crate) struct Reader<'a> {
    fleet: &'a Shared,
    client: usize,
    events: Events,
    /// When the request was sent.
    asked: Instant,
    asked_wall: u64,
    has_body: bool,
    is_streaming: bool,
}

impl<'a> Reader<'a> {
    pub(crate) fn new(fleet: &'a Shared, client: usize) -> Self {
        Self {
            fleet,
            client,
            events: Events::new(),
            asked: Instant::now(),
            asked_wall: wall_micros(),
            has_body: false,
            is_streaming: false,
        }
    }

    /// The head has come: it is a stream, or the client is not wanted.
    pub(crate) fn begin(&mut self, measures: &mut Measures, head: &Head) -> Result<(), End> {
        if head.status != 200 {
            return Err(End::Refused(format!("the server answers {}", head.status)));
        }
        if !head.is_event_stream() {
            let content_type = match head.content_type.as_str() {
                "" => "missing",
                named => named,
            };
            let reason = format!("the content type is {content_type}, not text/event-stream");
            return Err(End::Refused(reason));
        }
        self.is_streaming = true;
        measures.stream_began(self.client);
        self.fleet.changed.notify_waiters();
        Ok(())
    }

    /// A part of the body has come.
    pub(crate) fn body(
        &mut self,
        measures: &mut Measures,
        bytes: &[u8],
        now: u64,
    ) -> Result<(), End> {
        if !std::mem::replace(&mut self.has_body, true) {
            measures.tally.first_byte.record(micros_since(self.asked));
        }
        let (fields, asked) = (&self.fleet.plan.fields, self.asked_wall);
        let mut fulfilled = false;
        let fed = self.events.feed(bytes, |block| {
            fulfilled |= measures.block(self.client, &block, fields, asked, now);
        });
        if fulfilled {
            self.fleet.changed.notify_waiters();
        }
        fed.map_err(|_| End::Broken("an event is longer than 16 MiB".into()))
    }
}

pub(crate) fn micros_since(began: Instant) -> u64 {
    u64::try_from(began.elapsed().as_micros()).unwrap_or(u64::MAX)
}

/// The kind's words where it has some, so that the same reason is counted as one.
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
