//! A connection, from its first byte until it ends or a writer has it.

use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
#[cfg(feature = "http2")]
use hyper::server::conn::http2;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
#[cfg(feature = "http2")]
use hyper_util::rt::TokioTimer;
use tidings::ServerEvent;
#[cfg(not(feature = "http2"))]
use tidings_net::refuse_http2;
use tidings_net::{
    AddressPermit, Connections, Guarded, GuardedParts, Io, Peer, Protocol, Received, Reception, Tls,
};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::body::RequestBody;
use crate::handoff::{NewStream, ReturnedConnection, StreamResponse};
use crate::head::Framing;
use crate::requests::Requests;
#[cfg(feature = "http2")]
use crate::streams::{StreamBody, Streams};
use crate::writers::Writers;

/// An application, which answers requests.
///
/// It is a function of a request and of who has sent it. It is cloned for each connection, so that it may keep something for
/// the connection; such as a service that a make-service makes at the first request.
pub trait App<A, B>:
    FnMut(Request<RequestBody>, Peer<A>) -> Self::Answer + Clone + Send + 'static
{
    /// The future of the response.
    type Answer: Future<Output = Result<Response<B>, Infallible>> + Send + 'static;
}

impl<T, A, B, F> App<A, B> for T
where
    T: FnMut(Request<RequestBody>, Peer<A>) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
{
    type Answer = F;
}

/// What connections need from their server. While one of them exists, the server is not at its end.
pub(crate) struct Server<A, B> {
    pub(crate) app: Mutex<A>,
    pub(crate) writers: Arc<Writers<B>>,
    /// Changes when the server shuts down, and is closed when it is gone.
    pub(crate) closing: watch::Receiver<bool>,
    /// Takes connections whose streams have ended.
    pub(crate) back: mpsc::UnboundedSender<ReturnedConnection>,
    pub(crate) connections: Connections,
    pub(crate) tls: Option<Tls>,
}

/// Waits for the head of the first request, and spawns the task for what the connection speaks: most of the memory of an idle
/// client is its task, and an async function reserves room for everything that it might do, twice for what it is given.
/// So each of the ways to receive a head has a box of its own size, and only one of them is made.
pub(crate) fn begin<IO, L, A, B>(
    io: IO,
    addr: L,
    before: Bytes,
    reception: Reception,
    server: Arc<Server<A, B>>,
) -> impl Future<Output = ()> + Send
where
    IO: Io,
    L: Clone + Send + 'static,
    A: App<L, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let receiving = match server.tls.clone() {
        Some(tls) => Receiving::Tls(Box::pin(reception.receive_tls(io, tls))),
        None => Receiving::Plain(Box::pin(reception.receive(io, before))),
    };
    async move {
        match receiving {
            Receiving::Tls(receiving) => {
                if let Ok(received) = receiving.await {
                    server.serve(received, addr);
                }
            }
            Receiving::Plain(receiving) => {
                if let Ok(received) = receiving.await {
                    server.serve(received, addr);
                }
            }
        }
    }
}

/// A head is being received.
enum Receiving<T, P> {
    Tls(Pin<Box<T>>),
    Plain(Pin<Box<P>>),
}

impl<A, B> Server<A, B>
where
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    fn serve<IO, L>(self: Arc<Self>, received: Received<IO>, addr: L)
    where
        IO: Io,
        L: Clone + Send + 'static,
        A: App<L, B>,
    {
        let Received { io, protocol, client, can_return, .. } = received;
        let app = self.app.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let activity = io.activity().clone();
        let peer = Peer::new(addr, client);
        let requests = Requests::new(app, peer, self.connections.clone(), activity);
        match protocol {
            #[cfg(feature = "http2")]
            Protocol::Http2 => drop(tokio::spawn(serve_http2(io, requests, self))),
            #[cfg(not(feature = "http2"))]
            Protocol::Http2 => drop(tokio::spawn(refuse_http2(io))),
            Protocol::Http1 => drop(tokio::spawn(serve_http1(io, requests, self, can_return))),
        }
    }
}

/// Has hyper serve requests, until there is a response that a writer can send.
fn serve_http1<IO, L, A, B>(
    io: Guarded<IO>,
    requests: Requests<L, A>,
    server: Arc<Server<A, B>>,
    can_return: bool,
) -> impl Future<Output = ()> + Send + 'static
where
    IO: Io,
    L: Clone + Send + 'static,
    A: App<L, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_direct = io.is_tcp() && !server.writers.is_empty();
    let handoff =
        is_direct.then(|| Handoff { response: Arc::default(), unflushed: io.unflushed() });
    let slot = handoff.as_ref().map(|handoff| handoff.response.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let handoff = slot.clone().zip(Framing::of(&request)).map(|(slot, mut framing)| {
            framing.keep_alive &= can_return;
            (slot, framing)
        });
        let called = requests.call(request);
        // In a box: hyper keeps room for it as long as the connection lives.
        Box::pin(async move {
            let (answer, open) = match called {
                Ok(called) => called,
                Err(refused) => return Ok(refused.respond()),
            };
            let response = answer.await?;
            let Some((slot, framing)) = handoff else {
                return Ok(open.respond(response, None));
            };
            match StreamResponse::from_response(response, framing) {
                Ok(response) => {
                    let ready = Some((response, open.address));
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = ready;
                    // hyper gets no response, and is not polled again.
                    pending().await
                }
                Err((response, kept)) => Ok::<_, Infallible>(open.respond(response, kept)),
            }
        })
    });
    let mut builder = http1::Builder::new();
    builder.max_buf_size(server.connections.limits().head_size_value().max(LEAST_BUFFER));
    let mut connection = builder.serve_connection(TokioIo::new(io), service).with_upgrades();
    // A block, not a function: the future of a function holds its arguments twice.
    async move {
        let mut gone = pin!(gone(server.closing.clone()));
        let (mut is_first, mut is_closing) = (true, false);
        let response = poll_fn(|cx| {
            let has_closed = || server.closing.has_changed().unwrap_or(true);
            // The first poll registers this task, which stays the same. Later polls look at the
            // version only, unless it has changed: this runs for each event of a body.
            if std::mem::take(&mut is_first) || has_closed() {
                if gone.as_mut().poll(cx).is_ready() {
                    return Poll::Ready(None);
                }
                if !is_closing && has_closed() {
                    is_closing = true;
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
            if let Poll::Ready(ended) = Pin::new(&mut connection).poll(cx) {
                // `Guarded` would have found it at the next read.
                if ended.is_err_and(|error| error.is_parse_too_large()) {
                    server.connections.hubs().report(ServerEvent::ConnectionFlooded);
                }
                return Poll::Ready(None);
            }
            match handoff.as_ref().and_then(Handoff::take) {
                Some(response) => Poll::Ready(Some(response)),
                None => Poll::Pending,
            }
        });
        if let (Some((response, address)), Some(parts)) = (response.await, connection.into_parts())
        {
            let GuardedParts { io, before, mut permit, .. } = parts.io.into_inner().into_parts();
            if let Some(address) = address {
                permit.set_address(address);
            }
            // Copied: one byte would keep all of hyper's buffer.
            let pipelined = Bytes::from([&parts.read_buf[..], &before].concat());
            // Else the socket is gone.
            if let Some(Ok(socket)) = io.into_tcp().ok().map(TcpStream::into_std) {
                let back = server.back.clone();
                let stream = NewStream { response: *response, socket, pipelined, permit, back };
                server.writers.serve(stream);
            }
        }
    }
}

/// Resolves when the server is gone: its connections end with it. Whoever waits is also woken when it shuts down.
async fn gone(mut closing: watch::Receiver<bool>) {
    while closing.changed().await.is_ok() {}
}

/// hyper's own minimum.
const LEAST_BUFFER: usize = 8 * 1024;

/// A response for a writer, which counts for its client's address.
type ReadyStream<B> = (Box<StreamResponse<B>>, Option<AddressPermit>);

/// A response that a writer will send, and waits for its connection.
struct Handoff<B> {
    response: Arc<Mutex<Option<ReadyStream<B>>>>,
    unflushed: Arc<AtomicBool>,
}

impl<B> Handoff<B> {
    /// The response, once everything before it was sent. A poll of hyper's connection ends with a
    /// flush; bytes that are unflushed after it wait for the socket, which wakes the task.
    fn take(&self) -> Option<ReadyStream<B>> {
        if self.unflushed.load(Ordering::Relaxed) {
            return None;
        }
        self.response.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

#[cfg(feature = "http2")]
async fn serve_http2<IO, L, A, B>(
    io: Guarded<IO>,
    requests: Requests<L, A>,
    server: Arc<Server<A, B>>,
) where
    IO: Io,
    L: Clone + Send + 'static,
    A: App<L, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let activity = io.activity().clone();
    let service = service_fn(move |request: Request<Incoming>| {
        let called = requests.call(request);
        Box::pin(async move {
            let response = match called {
                Ok((answer, open)) => open.respond(answer.await?, None),
                Err(refused) => refused.respond(),
            };
            Ok::<_, Infallible>(response.map(StreamBody::new))
        })
    });
    let limits = server.connections.limits();
    let hubs = server.connections.hubs().clone();
    let streams = Streams::new(activity.clone(), limits.write_timeout_value(), hubs);
    let mut builder = http2::Builder::new(streams);
    builder
        .timer(TokioTimer::new())
        .keep_alive_interval(limits.keepalive_value())
        // A PING waits until a slow client has read what is before it. `Guarded` ends what makes no progress.
        .keep_alive_timeout(std::time::Duration::from_secs(u32::MAX.into()))
        .max_concurrent_streams(limits.h2_streams_value())
        .max_header_list_size(u32::try_from(limits.head_size_value()).unwrap_or(u32::MAX))
        .max_send_buf_size(tidings_net::Sending::BUFFER)
        // For WebSockets over HTTP/2: RFC 8441.
        .enable_connect_protocol();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut gone = pin!(gone(server.closing.clone()));
    let mut is_closing = false;
    poll_fn(|cx| {
        // Connections end for many reasons; the server goes on.
        if connection.as_mut().poll(cx).is_ready() || gone.as_mut().poll(cx).is_ready() {
            return Poll::Ready(());
        }
        let has_closed = || server.closing.has_changed().unwrap_or(true);
        if !is_closing && (activity.must_end() || has_closed()) {
            is_closing = true;
            connection.as_mut().graceful_shutdown();
            return connection.as_mut().poll(cx).map(drop);
        }
        Poll::Pending
    })
    .await;
}
