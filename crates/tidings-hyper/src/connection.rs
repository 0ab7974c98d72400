//! A connection, from its first byte until it ends or a writer has it.

use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tidings_net::WriteLimit;
use tokio::sync::{mpsc, watch};

use crate::handoff::{NewStream, ReturnedConnection, StreamResponse};
use crate::head::Framing;
use crate::io::Io;
use crate::writers::Writers;

/// An application, which answers requests.
pub trait App<B>:
    Fn(Request<Incoming>, SocketAddr) -> Self::Answer + Clone + Send + 'static
{
    /// The future of the response.
    type Answer: Future<Output = Result<Response<B>, Infallible>> + Send + 'static;
}

impl<A, B, F> App<B> for A
where
    A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
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
    pub(crate) write_timeout: Option<Duration>,
}

impl<B> Clone for ServerHandle<B> {
    fn clone(&self) -> Self {
        Self {
            writers: self.writers.clone(),
            closing: self.closing.clone(),
            back: self.back.clone(),
            write_timeout: self.write_timeout,
        }
    }
}

/// Finds out which protocol a connection speaks, and spawns the task for it: most of the memory of an
/// idle client is its task, and an async function reserves room for everything that it might do.
pub(crate) async fn begin<A, B>(mut io: Io, peer: SocketAddr, app: A, server: ServerHandle<B>)
where
    A: App<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut closing = server.closing.clone();
    let is_http2 = tokio::select! {
        is_http2 = io.begins_with_http2() => is_http2,
        // Nothing was requested yet.
        _ = closing.wait_for(|closing| *closing) => return,
    };
    match is_http2 {
        Ok(true) => drop(tokio::spawn(serve_http2(io, peer, app, server))),
        Ok(false) => drop(tokio::spawn(serve_http1(io, peer, app, server))),
        Err(_) => {}
    }
}

/// Has hyper serve requests, until there is a response that a writer can send.
fn serve_http1<A, B>(
    io: Io,
    peer: SocketAddr,
    app: A,
    server: ServerHandle<B>,
) -> impl Future<Output = ()> + Send + 'static
where
    A: App<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let is_direct = !server.writers.is_empty();
    let handoff =
        is_direct.then(|| Handoff { response: Arc::default(), unflushed: io.unflushed() });
    let slot = handoff.as_ref().map(|handoff| handoff.response.clone());
    let service = service_fn(move |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let handoff = slot.clone().zip(Framing::of(&head, &body));
        let answer = app(Request::from_parts(head, body), peer);
        // In a box: hyper keeps room for it as long as the connection lives.
        Box::pin(async move {
            let response = answer.await?;
            let Some((slot, framing)) = handoff else {
                return Ok(response);
            };
            match StreamResponse::from_response(response, framing) {
                Ok(response) => {
                    *slot.lock().unwrap_or_else(PoisonError::into_inner) = Some(response);
                    // hyper gets no response, and is not polled again.
                    pending().await
                }
                Err(response) => Ok::<_, Infallible>(response),
            }
        })
    });
    let io = TokioIo::new(WriteLimit::new(io, server.write_timeout));
    let mut connection = http1::Builder::new().serve_connection(io, service).with_upgrades();
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
            let io = parts.io.into_inner().into_inner();
            let pipelined = match (parts.read_buf, io.before()) {
                (read, before) if before.is_empty() => read,
                (read, before) => [&read[..], &before[..]].concat().into(),
            };
            // Else the socket is gone.
            if let Ok(socket) = io.into_socket().into_std() {
                let back = server.back.clone();
                server.writers.serve(NewStream { response: *response, socket, pipelined, back });
            }
        }
    }
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

async fn serve_http2<A, B>(io: Io, peer: SocketAddr, app: A, server: ServerHandle<B>)
where
    A: App<B>,
    B: Body<Data = Bytes> + Send + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let io = TokioIo::new(WriteLimit::new(io, server.write_timeout));
    let service = service_fn(move |request| Box::pin(app(request, peer)));
    let mut builder = auto::Builder::new(TokioExecutor::new());
    // For WebSockets over HTTP/2: RFC 8441.
    builder.http2().enable_connect_protocol();
    let mut connection = pin!(builder.serve_connection_with_upgrades(io, service));
    let mut closing = server.closing.clone();
    tokio::select! {
        // Connections end for many reasons; the server goes on.
        _ = connection.as_mut() => return,
        _ = closing.wait_for(|closing| *closing) => {}
    }
    connection.as_mut().graceful_shutdown();
    let _ = connection.await;
}
