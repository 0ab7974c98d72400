//! A connection of HTTP/2.
//!
//! actix-http's own sets none of h2's limits: a client may open any number of streams, each with a
//! head of 16 MiB. And it notices that a stream was cancelled only when it next writes to it.

use std::future::poll_fn;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::SystemTime;

use actix_http::body::{BodySize, BoxBody, MessageBody};
use actix_http::header::{CONNECTION, CONTENT_LENGTH, DATE, HttpDate, TRANSFER_ENCODING, UPGRADE};
use actix_http::{Method, Payload, Request, Response, ResponseHead};
use actix_service::Service;
use actix_web::HttpResponse;
use actix_web::web::Bytes;
use h2_03::server::{Builder, SendResponse};
use h2_03::{Reason, RecvStream, SendStream};
use http_02::HeaderValue;
use tidings_net::{Activity, Connections, Hubs, Portion, Sending, Stall};
use tokio::io::{AsyncRead, AsyncWrite};

use crate::watched::Watched;

/// Serves requests until the connection ends, or, once `closing` resolves, until they are answered.
pub(crate) async fn serve<S, B>(
    io: impl AsyncRead + AsyncWrite + Unpin,
    activity: Activity,
    peer: Option<SocketAddr>,
    service: Watched<S, B>,
    connections: &Connections,
    closing: impl Future<Output = ()>,
) where
    S: Service<Request, Error = HttpResponse> + 'static,
    S::Response: Into<Response<B>>,
    S::Future: 'static,
    B: MessageBody + 'static,
{
    let limits = connections.limits();
    let mut builder = Builder::new();
    builder
        .max_concurrent_streams(limits.h2_streams_value())
        .max_header_list_size(limits.head_size_value().try_into().unwrap_or(u32::MAX))
        .max_send_buffer_size(Sending::BUFFER);
    let Ok(mut connection) = builder.handshake(io).await else { return };
    let mut closing = pin!(closing);
    let mut is_closing = false;
    loop {
        let accepted = poll_fn(|cx| {
            loop {
                let accepted = connection.poll_accept(cx);
                if accepted.is_ready() || is_closing {
                    return accepted;
                }
                if !activity.must_end() && closing.as_mut().poll(cx).is_pending() {
                    return Poll::Pending;
                }
                is_closing = true;
                connection.graceful_shutdown();
            }
        })
        .await;
        // Else the client is gone, or everything is answered.
        let Some(Ok((request, respond))) = accepted else { return };
        let is_head = request.method() == Method::HEAD;
        let answer = service.answer(convert(request, peer), &activity);
        let watch = limits.write_timeout_value().map(|limit| {
            let sending = Arc::<Sending>::default();
            let stall = Stall::new(sending.clone(), activity.clone(), limit);
            Watch { sending, stall, hubs: connections.hubs().clone() }
        });
        actix_rt::spawn(async move {
            // An error means that the client has cancelled the stream, or is gone.
            let _ = respond_with(answer, respond, is_head, watch).await;
        });
    }
}

/// What ends a response that is stalled.
struct Watch {
    sending: Arc<Sending>,
    stall: Stall,
    hubs: Hubs,
}

fn convert(request: http_02::Request<RecvStream>, peer: Option<SocketAddr>) -> Request {
    let (parts, body) = request.into_parts();
    let payload = if body.is_end_stream() { Payload::None } else { Payload::from(body) };
    let mut request = Request::with_payload(payload);
    let head = request.head_mut();
    head.method = parts.method;
    head.uri = parts.uri;
    head.version = parts.version;
    head.headers = parts.headers.into();
    head.peer_addr = peer;
    request
}

/// The client has cancelled the stream, is gone, or takes nothing; or the body has failed.
struct Ended;

impl From<h2_03::Error> for Ended {
    fn from(_: h2_03::Error) -> Self {
        Self
    }
}

async fn respond_with<R, E, B>(
    answer: impl Future<Output = Result<R, E>>,
    mut respond: SendResponse<Portion>,
    is_head: bool,
    watch: Option<Watch>,
) -> Result<(), Ended>
where
    R: Into<Response<B>>,
    E: Into<Response<BoxBody>>,
    B: MessageBody,
{
    let answer = tokio::select! {
        answer = answer => answer,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return Err(Ended),
    };
    match answer {
        Ok(response) => send(response.into(), respond, is_head, watch).await,
        Err(error) => send(error.into(), respond, is_head, watch).await,
    }
}

async fn send<B: MessageBody>(
    response: Response<B>,
    mut respond: SendResponse<Portion>,
    is_head: bool,
    watch: Option<Watch>,
) -> Result<(), Ended> {
    let size = response.body().size();
    let is_end = is_head || size.is_eof();
    let mut stream = respond.send_response(head(response.head(), size), is_end)?;
    if is_end {
        return Ok(());
    }
    let body = response.into_body();
    let Some(Watch { sending, stall, hubs }) = watch else {
        return send_body(&mut stream, body, None).await;
    };
    match stall.watch(send_body(&mut stream, body, Some(&sending)), &hubs).await {
        Some(sent) => sent,
        None => {
            stream.send_reset(Reason::CANCEL);
            Err(Ended)
        }
    }
}

async fn send_body(
    stream: &mut SendStream<Portion>,
    body: impl MessageBody,
    sending: Option<&Arc<Sending>>,
) -> Result<(), Ended> {
    let mut body = pin!(body);
    loop {
        let bytes = unless_reset(stream, |cx| body.as_mut().poll_next(cx)).await?;
        match bytes {
            Some(Ok(bytes)) if bytes.is_empty() => {}
            Some(Ok(bytes)) => {
                let portion = Portion::new(bytes, sending);
                some_capacity(stream).await?;
                stream.send_data(portion, false)?;
            }
            Some(Err(_)) => {
                stream.send_reset(Reason::INTERNAL_ERROR);
                return Err(Ended);
            }
            None => break,
        }
    }
    if let Some(sending) = sending {
        // With its end, a stream gives up its task.
        unless_reset(stream, |cx| sending.poll_almost_sent(cx)).await?;
    }
    Ok(stream.send_data(Portion::new(Bytes::new(), None), true)?)
}

async fn unless_reset<T>(
    stream: &mut SendStream<Portion>,
    mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>,
) -> Result<T, Ended> {
    poll_fn(|cx| match stream.poll_reset(cx) {
        Poll::Ready(_) => Poll::Ready(Err(Ended)),
        Poll::Pending => poll(cx).map(Ok),
    })
    .await
}

/// Waits until some bytes may be sent: then h2 takes any number of them, and sends them one after the other.
async fn some_capacity(stream: &mut SendStream<Portion>) -> Result<(), Ended> {
    stream.reserve_capacity(1);
    while stream.capacity() == 0 {
        match poll_fn(|cx| stream.poll_capacity(cx)).await {
            Some(Ok(_)) => {}
            _ => return Err(Ended),
        }
    }
    Ok(())
}

fn head(response: &ResponseHead, size: BodySize) -> http_02::Response<()> {
    let mut head = http_02::Response::new(());
    *head.status_mut() = response.status;
    let fields = head.headers_mut();
    for (name, value) in response.headers() {
        // The others are about a connection of HTTP/1.
        if ![CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
            && !matches!(name.as_str(), "keep-alive" | "proxy-connection")
        {
            fields.append(name, value.clone());
        }
    }
    if let BodySize::Sized(length) = size {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    if !fields.contains_key(DATE) {
        let date = HttpDate::from(SystemTime::now()).to_string();
        if let Ok(date) = HeaderValue::from_str(&date) {
            fields.insert(DATE, date);
        }
    }
    head
}
