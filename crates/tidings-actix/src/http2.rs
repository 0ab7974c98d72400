//! A connection of HTTP/2.
//!
//! actix-http's own sets none of h2's limits: a client may open any number of streams, each with a
//! head of 16 MiB. And it notices that a stream was cancelled only when it next writes to it. Its h2 is
//! 0.3, which keeps any number of tiny frames of data, and the window of bodies that nobody reads.

use std::future::poll_fn;
use std::io;
use std::net::SocketAddr;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::SystemTime;

use actix_http::body::{BodySize, MessageBody};
use actix_http::error::PayloadError;
use actix_http::header::{
    CONNECTION, HeaderName, HeaderValue, HttpDate, TRANSFER_ENCODING, UPGRADE,
};
use actix_http::{Method, Payload, Request, Response, ResponseHead, StatusCode, Uri, Version};
use actix_service::Service;
use actix_web::HttpResponse;
use actix_web::web::Bytes;
use futures_core::Stream;
use h2::server::{Builder, SendResponse};
use h2::{Reason, RecvStream, SendStream};
use http::header::{CONTENT_LENGTH, DATE};
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
        let Some(request) = convert(request, peer) else {
            // As over HTTP/1. An error means that the client has cancelled the stream.
            let _ = refuse(respond);
            continue;
        };
        let is_head = request.method() == Method::HEAD;
        let answer = service.answer(request, &activity);
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

fn refuse(mut respond: SendResponse<Portion>) -> Result<(), Ended> {
    let response = Response::bad_request();
    respond.send_response(head(response.head(), response.body().size()), true)?;
    Ok(())
}

/// The request in actix-web's own types, which are older than those of h2; `None` if it is none for them: such as one whose
/// target is not escaped.
fn convert(request: http::Request<RecvStream>, peer: Option<SocketAddr>) -> Option<Request> {
    let (parts, body) = request.into_parts();
    let payload: Payload = match body.is_end_stream() {
        true => Payload::None,
        false => Payload::Stream { payload: Box::pin(Body(body)) },
    };
    let mut request = Request::with_payload(payload);
    let head = request.head_mut();
    head.method = Method::from_bytes(parts.method.as_str().as_bytes()).ok()?;
    head.uri = convert_uri(&parts.uri)?;
    head.version = Version::HTTP_2;
    for (name, value) in &parts.headers {
        let name = HeaderName::from_bytes(name.as_str().as_bytes()).ok()?;
        let mut converted = HeaderValue::from_bytes(value.as_bytes()).ok()?;
        converted.set_sensitive(value.is_sensitive());
        head.headers.append(name, converted);
    }
    head.peer_addr = peer;
    Some(request)
}

fn convert_uri(uri: &http::Uri) -> Option<Uri> {
    let mut converted = Uri::builder();
    if let Some(scheme) = uri.scheme_str() {
        converted = converted.scheme(scheme);
    }
    if let Some(authority) = uri.authority() {
        converted = converted.authority(authority.as_str());
    }
    if let Some(path) = uri.path_and_query() {
        converted = converted.path_and_query(path.as_str());
    }
    converted.build().ok()
}

/// The body of a request. If it is dropped, h2 opens the connection's window for what was not read of it.
struct Body(RecvStream);

impl Stream for Body {
    type Item = Result<Bytes, PayloadError>;

    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Self::Item>> {
        let stream = &mut self.0;
        let Some(data) = ready!(stream.poll_data(cx)) else { return Poll::Ready(None) };
        let released = data.and_then(|bytes| {
            stream.flow_control().release_capacity(bytes.len())?;
            Ok(bytes)
        });
        Poll::Ready(Some(released.map_err(|error| PayloadError::Io(io::Error::other(error)))))
    }
}

/// The client has cancelled the stream, is gone, or takes nothing; or the body has failed.
struct Ended;

impl From<h2::Error> for Ended {
    fn from(_: h2::Error) -> Self {
        Self
    }
}

async fn respond_with<B: MessageBody>(
    answer: impl Future<Output = Response<B>>,
    mut respond: SendResponse<Portion>,
    is_head: bool,
    watch: Option<Watch>,
) -> Result<(), Ended> {
    let response = tokio::select! {
        response = answer => response,
        _ = poll_fn(|cx| respond.poll_reset(cx)) => return Err(Ended),
    };
    send(response, respond, is_head, watch).await
}

async fn send<B: MessageBody>(
    response: Response<B>,
    mut respond: SendResponse<Portion>,
    is_head: bool,
    watch: Option<Watch>,
) -> Result<(), Ended> {
    let size = match response.body().size() {
        // It need not be that of a response to GET, which only the application knows.
        BodySize::Sized(0) if is_head => BodySize::None,
        size => size,
    };
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

fn head(response: &ResponseHead, size: BodySize) -> http::Response<()> {
    let mut head = http::Response::new(());
    *head.status_mut() = http::StatusCode::from_u16(response.status.as_u16())
        .unwrap_or(http::StatusCode::INTERNAL_SERVER_ERROR);
    let fields = head.headers_mut();
    for (name, value) in response.headers() {
        // The others are about a connection of HTTP/1.
        if ![CONNECTION, TRANSFER_ENCODING, UPGRADE].contains(name)
            && !matches!(name.as_str(), "keep-alive" | "proxy-connection")
            && let Ok(name) = http::HeaderName::from_bytes(name.as_str().as_bytes())
            && let Ok(mut converted) = http::HeaderValue::from_bytes(value.as_bytes())
        {
            converted.set_sensitive(value.is_sensitive());
            fields.append(name, converted);
        }
    }
    if response.status == StatusCode::NO_CONTENT {
        // RFC 9110, section 8.6.
        fields.remove(CONTENT_LENGTH);
    } else if let BodySize::Sized(length) = size {
        fields.insert(CONTENT_LENGTH, length.into());
    }
    if !fields.contains_key(DATE) {
        let date = HttpDate::from(SystemTime::now()).to_string();
        if let Ok(date) = http::HeaderValue::from_str(&date) {
            fields.insert(DATE, date);
        }
    }
    head
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_the_same_in_both_versions_of_the_types() {
        for target in ["http://tidings.test/events?topic=a", "/events", "tidings.test:443", "*"] {
            let converted = convert_uri(&target.parse::<http::Uri>().unwrap());
            assert_eq!(converted.unwrap().to_string(), target);
        }
    }

    #[test]
    fn a_response_without_a_body_has_no_length() {
        let length = |status| {
            let response = Response::new(status);
            head(response.head(), BodySize::Sized(0)).headers().contains_key(CONTENT_LENGTH)
        };
        assert!(length(StatusCode::OK));
        assert!(!length(StatusCode::NO_CONTENT));
    }
}
