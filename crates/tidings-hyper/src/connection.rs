//! One connection, from its first byte until it ends or a writer has it.

use std::convert::Infallible;
use std::error::Error;
use std::future::{pending, poll_fn};
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::Poll;

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tidings::Subscription;
use tidings_net::WriteLimit;

use crate::claim;
use crate::head::{self, Framing};
use crate::io::Io;
use crate::server::Server;
use crate::writer::Stream;

/// A connection that goes on behind a stream.
pub(crate) struct Returned {
    pub(crate) socket: std::net::TcpStream,
    /// What its client has sent meanwhile, as far as it was read.
    pub(crate) pipelined: Bytes,
}

/// An application: what answers requests.
pub trait App<B>:
    Fn(Request<Incoming>, SocketAddr) -> Self::Answer + Clone + Send + 'static
{
    /// The response that is being made.
    type Answer: Future<Output = Result<Response<B>, Infallible>> + Send + 'static;
}

impl<A, B, F> App<B> for A
where
    A: Fn(Request<Incoming>, SocketAddr) -> F + Clone + Send + 'static,
    F: Future<Output = Result<Response<B>, Infallible>> + Send + 'static,
{
    type Answer = F;
}

/// A response that is for a writer.
struct Taken<B> {
    subscription: Box<Subscription>,
    head: Vec<u8>,
    framing: Framing,
    body: B,
}

/// Serves a connection until it ends, or until a writer has taken it over.
pub(crate) async fn serve<A, B>(mut io: Io, peer: SocketAddr, app: A, server: Server<B>)
where
    A: App<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let mut closing = server.closing.clone();
    let is_http2 = tokio::select! {
        is_http2 = io.begins_with_http2() => is_http2,
        // Nothing was asked yet.
        _ = closing.wait_for(|closing| *closing) => return,
    };
    match is_http2 {
        // In boxes, so that a connection's task is as large as what it does, not as what it might
        // do.
        Ok(true) => Box::pin(serve_http2(io, peer, app, server)).await,
        Ok(false) => {
            if let Some((taken, socket, pipelined)) = serve_http1(io, peer, app, &server).await {
                let Taken { subscription, head, framing, body } = *taken;
                let back = server.back.clone();
                let stream = Stream { socket, head, framing, pipelined, body, back };
                server.writers.serve(stream, subscription);
            }
        }
        Err(_) => {}
    }
}

/// Serves requests as hyper does, until a response comes that a writer can send.
async fn serve_http1<A, B>(
    io: Io,
    peer: SocketAddr,
    app: A,
    server: &Server<B>,
) -> Option<(Box<Taken<B>>, std::net::TcpStream, Bytes)>
where
    A: App<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    let unflushed = io.unflushed();
    let io = TokioIo::new(WriteLimit::new(io, server.write_timeout));
    let handoff = Arc::new(Mutex::new(None::<Box<Taken<B>>>));
    let taken = handoff.clone();
    let is_direct = !server.writers.is_empty();
    let service = service_fn(move |request: Request<Incoming>| {
        let (head, body) = request.into_parts();
        let framing = is_direct.then(|| Framing::of(&head, &body)).flatten();
        let answer = app(Request::from_parts(head, body), peer);
        let handoff = handoff.clone();
        // hyper keeps the room for it as long as the connection.
        Box::pin(async move {
            let (mut head, mut body) = answer.await?.into_parts();
            if let Some(framing) = framing.filter(|_| head::is_plain(&head)) {
                if let Some(subscription) = claim::take(&mut head, &mut body) {
                    let head = head::write(&head, framing);
                    let taken = Taken { subscription, head, framing, body };
                    *handoff.lock().unwrap_or_else(PoisonError::into_inner) = Some(Box::new(taken));
                    // hyper gets no answer: it is not asked any more.
                    return pending().await;
                }
            }
            Ok::<_, Infallible>(Response::from_parts(head, body))
        })
    });
    let mut connection = http1::Builder::new().serve_connection(io, service).with_upgrades();
    let mut closing = server.closing.clone();
    let mut closed = pin!(closing.changed());
    let (mut is_first, mut was_told) = (true, false);
    let taken = poll_fn(|cx| {
        // The first time has this task woken, and it stays one task. Later, the version is asked,
        // not the future: this runs for each event of a body.
        let asked = std::mem::take(&mut is_first) && closed.as_mut().poll(cx).is_ready();
        if !was_told && (asked || server.closing.has_changed().unwrap_or(true)) {
            was_told = true;
            Pin::new(&mut connection).graceful_shutdown();
        }
        if Pin::new(&mut connection).poll(cx).is_ready() {
            return Poll::Ready(None);
        }
        // Responses to earlier requests leave first. A turn of the connection ends with a flush,
        // so what is unflushed here waits for the socket, which wakes this.
        if !is_direct || unflushed.load(Ordering::Relaxed) {
            return Poll::Pending;
        }
        match taken.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(taken) => Poll::Ready(Some(taken)),
            None => Poll::Pending,
        }
    });
    let taken = taken.await?;
    let parts = connection.into_parts()?;
    let io = parts.io.into_inner().into_inner();
    let pipelined = match (parts.read_buf, io.before()) {
        (read, before) if before.is_empty() => read,
        (read, before) => [&read[..], &before[..]].concat().into(),
    };
    let socket = io.into_socket().into_std().ok()?;
    Some((taken, socket, pipelined))
}

async fn serve_http2<A, B>(io: Io, peer: SocketAddr, app: A, server: Server<B>)
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

impl std::fmt::Debug for Returned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Returned").field("socket", &self.socket).finish_non_exhaustive()
    }
}
