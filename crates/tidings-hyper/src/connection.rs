//! A connection, from its first byte until it ends or a writer has it.

use std::cell::RefCell;
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
use hyper::server::conn::{http1, http2};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use tidings_net::{
    Answering, Connections, Guarded, GuardedParts, Io, Peer, Protocol, Received, Reception,
};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::body::{RequestBody, ResponseBody};
use crate::handoff::{NewStream, ReturnedConnection, StreamResponse};
use crate::head::Framing;
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

/// What a connection needs from its server.
pub(crate) struct ServerHandle<B> {
    pub(crate) writers: Arc<Writers<B>>,
    /// Whether the server is shutting down.
    pub(crate) closing: watch::Receiver<bool>,
    /// Takes connections whose streams have ended.
    pub(crate) back: mpsc::UnboundedSender<ReturnedConnection>,
    pub(crate) connections: Connections,
    #[cfg(feature = "tls")]
    pub(crate) tls: Option<tidings_net::Tls>,
}

impl<B> Clone for ServerHandle<B> {
    fn clone(&self) -> Self {
        Self {
            writers: self.writers.clone(),
            closing: self.closing.clone(),
            back: self.back.clone(),
            connections: self.connections.clone(),
            #[cfg(feature = "tls")]
            tls: self.tls.clone(),
        }
    }
}

/// Waits for the head of the first request, and spawns the task for what the connection speaks: most of the memory of an idle
/// client is its task, and an async function reserves room for everything that it might do.
pub(crate) async fn begin<IO, L, A, B>(
    io: IO,
    addr: L,
    before: Bytes,
    reception: Reception,
    app: A,
    server: ServerHandle<B>,
) where
    IO: Io,
    L: Clone + Send + 'static,
    A: App<L, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut closing = server.closing.clone();
    #[cfg(feature = "tls")]
    if let Some(tls) = server.tls.clone() {
        let received = tokio::select! {
            received = reception.receive_tls(io, &tls) => received,
            _ = closing.wait_for(|closing| *closing) => return,
        };
        if let Ok(received) = received {
            spawn(received, addr, app, server);
        }
        return;
    }
    let received = tokio::select! {
        received = reception.receive(io, before) => received,
        // Nothing was requested yet.
        _ = closing.wait_for(|closing| *closing) => return,
    };
    if let Ok(received) = received {
        spawn(received, addr, app, server);
    }
}

fn spawn<IO, L, A, B>(received: Received<IO>, addr: L, app: A, server: ServerHandle<B>)
where
    IO: Io,
    L: Clone + Send + 'static,
    A: App<L, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let Received { io, protocol, client } = received;
    let peer = Peer { addr, client };
    match protocol {
        Protocol::Http2 => drop(tokio::spawn(serve_http2(io, peer, app, server))),
        Protocol::Http1 => drop(tokio::spawn(serve_http1(io, peer, app, server))),
    }
}

/// Has hyper serve requests, until there is a response that a writer can send.
fn serve_http1<IO, L, A, B>(
    io: Guarded<IO>,
    peer: Peer<L>,
    app: A,
    server: ServerHandle<B>,
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
    let activity = io.activity().clone();
    let body_timeout = server.connections.limits().body_timeout_value();
    // hyper calls a service that it only borrows, one request after the other.
    let app = RefCell::new(app);
    let service = service_fn(move |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let handoff = slot.clone().zip(Framing::of(&head, &body));
        let answering = activity.answer();
        let body = RequestBody::new(body, body_timeout, activity.read_body());
        let answer = app.borrow_mut()(Request::from_parts(head, body), peer.clone());
        // In a box: hyper keeps room for it as long as the connection lives.
        Box::pin(async move {
            let response = answer.await?;
            let Some((slot, framing)) = handoff else {
                return Ok(answered(response, answering));
            };
            match StreamResponse::from_response(response, framing) {
                Ok(response) => {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
                    // hyper gets no response, and is not polled again.
                    pending().await
                }
                Err(response) => Ok::<_, Infallible>(answered(response, answering)),
            }
        })
    });
    let mut connection =
        http1::Builder::new().serve_connection(TokioIo::new(io), service).with_upgrades();
    // A block, not a function: the future of a function holds its arguments twice.
    async move {
        let mut closing = server.closing.clone();
        let mut closed = pin!(closing.changed());
        let (mut is_first, mut is_closing) = (true, false);
        let response = poll_fn(|cx| {
            // The first poll registers this task, which stays the same. Later polls look at the
            // version only: this runs for each event of a body.
            let is_closed = std::mem::take(&mut is_first) && closed.as_mut().poll(cx).is_ready();
            if !is_closing && (is_closed || server.closing.has_changed().unwrap_or(true)) {
                is_closing = true;
                Pin::new(&mut connection).graceful_shutdown();
            }
            if Pin::new(&mut connection).poll(cx).is_ready() {
                return Poll::Ready(None);
            }
            match handoff.as_ref().and_then(Handoff::take) {
                Some(response) => Poll::Ready(Some(response)),
                None => Poll::Pending,
            }
        });
        if let (Some(response), Some(parts)) = (response.await, connection.into_parts()) {
            let GuardedParts { io, before, permit } = parts.io.into_inner().into_parts();
            let pipelined = match (parts.read_buf, before) {
                (read, before) if before.is_empty() => read,
                (read, before) => [&read[..], &before[..]].concat().into(),
            };
            // Else the socket is gone.
            if let Some(Ok(socket)) = io.into_tcp().ok().map(TcpStream::into_std) {
                let back = server.back.clone();
                let stream = NewStream { response: *response, socket, pipelined, permit, back };
                server.writers.serve(stream);
            }
        }
    }
}

fn answered<B>(response: Response<B>, answering: Answering) -> Response<ResponseBody<B>> {
    response.map(|body| ResponseBody { body, _answering: answering })
}

/// A response that a writer will send, and waits for its connection.
struct Handoff<B> {
    response: Arc<Mutex<Option<Box<StreamResponse<B>>>>>,
    unflushed: Arc<AtomicBool>,
}

impl<B> Handoff<B> {
    /// The response, once everything before it was sent. A poll of hyper's connection ends with a
    /// flush; bytes that are unflushed after it wait for the socket, which wakes the task.
    fn take(&self) -> Option<Box<StreamResponse<B>>> {
        if self.unflushed.load(Ordering::Relaxed) {
            return None;
        }
        self.response.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

async fn serve_http2<IO, L, A, B>(io: Guarded<IO>, peer: Peer<L>, app: A, server: ServerHandle<B>)
where
    IO: Io,
    L: Clone + Send + 'static,
    A: App<L, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let activity = io.activity().clone();
    let body_timeout = server.connections.limits().body_timeout_value();
    let app = RefCell::new(app);
    let service = service_fn(move |request: Request<Incoming>| {
        let answering = activity.answer();
        let reading = activity.read_body();
        let request = request.map(|body| RequestBody::new(body, body_timeout, reading));
        let answer = app.borrow_mut()(request, peer.clone());
        Box::pin(async move { Ok::<_, Infallible>(answered(answer.await?, answering)) })
    });
    let mut builder = http2::Builder::new(TokioExecutor::new());
    // For WebSockets over HTTP/2: RFC 8441.
    builder.enable_connect_protocol();
    let mut connection = pin!(builder.serve_connection(TokioIo::new(io), service));
    let mut closing = server.closing.clone();
    tokio::select! {
        // Connections end for many reasons; the server goes on.
        _ = connection.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
