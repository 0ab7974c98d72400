//! Connections of every kind, and what clients do with them.
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, Payload, ServiceConfig, get, post, to};
use actix_web::{App, HttpRequest, HttpResponse};
use h2::SendStream;
use h2::client::{ResponseFuture, SendRequest};
use tidings_actix_web::tidings::{Event, Hub};
use tidings_actix_web::{Limits, Listener, Sse, SseRequest, Tls, serve};
use tidings_testkit::adapter::Server;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::tls::Certificate;
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// Short for a test.
const SHORT: Duration = Duration::from_millis(200);

fn routes(config: &mut ServiceConfig) {
    config
        .route("/events", to(events))
        .route("/scheme", get().to(scheme))
        .route("/echo", post().to(async |body: Bytes| body))
        .route("/tunnel", get().to(tunnel));
}

async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, "a").status(false).heartbeat(None).into()
}

async fn scheme(request: HttpRequest) -> String {
    let info = request.connection_info();
    format!("{}://{}", info.scheme(), info.host())
}

/// Sends everything back that the client sends after the switch.
async fn tunnel(payload: Payload) -> HttpResponse {
    HttpResponse::build(StatusCode::SWITCHING_PROTOCOLS).upgrade("websocket").streaming(payload)
}

macro_rules! app {
    ($hub:expr) => {{
        let data = Data::new($hub.clone());
        move || App::new().app_data(data.clone()).configure(routes)
    }};
}

fn hub() -> Hub {
    Hub::builder().retry(None).build()
}

fn server(hub: &Hub, limits: Limits) -> Server {
    let hub = hub.clone();
    Server::start(async move |listener, begun| {
        let serve = serve(listener, app!(hub), &hub).workers(1).limits(limits);
        serve.with_graceful_shutdown(begun).await
    })
}

async fn connect(addr: SocketAddr) -> TcpStream {
    within("connecting", TcpStream::connect(addr)).await.unwrap()
}

async fn write(io: &mut (impl AsyncWriteExt + Unpin), bytes: impl AsRef<[u8]>) {
    within("writing", io.write_all(bytes.as_ref())).await.unwrap();
}

/// Reads until the text ends so.
async fn read_until(io: &mut (impl AsyncRead + Unpin), end: &str) -> String {
    let mut text = String::new();
    within(end, async {
        while !text.ends_with(end) {
            text.push(char::from(io.read_u8().await.unwrap()));
        }
    })
    .await;
    text
}

async fn read_to_end(io: &mut (impl AsyncRead + Unpin)) -> String {
    let mut text = String::new();
    within("the end", io.read_to_string(&mut text)).await.unwrap();
    text
}

async fn publish(hub: &Hub, data: &str) -> String {
    let published = within("publishing", hub.publish("a", Event::new(data))).await;
    published.unwrap().id().to_string()
}

#[tokio::test]
async fn a_stream_that_is_no_websocket_ends_with_its_connection() {
    let hub = hub();
    let server = server(&hub, Limits::default());
    let websocket = Request::get("/events").header("connection", "Upgrade");
    for (n, request) in [
        websocket.clone().header("upgrade", "websocket"),
        websocket.header("upgrade", " WebSocket"),
        Request::new("CONNECT", "/events"),
    ]
    .into_iter()
    .enumerate()
    {
        let mut socket = connect(server.addr()).await;
        write(&mut socket, request.bytes()).await;
        let head = read_until(&mut socket, "\r\n\r\n").await;
        assert!(head.starts_with("HTTP/1.1 200 OK\r\n"), "{head}");
        assert!(head.contains("\r\nconnection: close\r\n"), "{head}");
        assert!(!head.contains("transfer-encoding") && !head.contains("upgrade"), "{head}");
        // The comment with which a stream begins.
        assert_eq!(read_until(&mut socket, "\n\n").await, ":\n\n");
        let id = publish(&hub, "one").await;
        let event = format!("data: one\nid: {id}\n\n");
        assert_eq!(read_until(&mut socket, "\n\n").await, event);
        assert_eq!(hub.clients().count(), 1, "request {n}");
        hub.clients().close(hub.clients().list()[0].id);
        assert_eq!(read_to_end(&mut socket).await, "");
    }
}

#[tokio::test]
async fn a_websocket_is_a_tunnel_that_may_be_silent() {
    let hub = hub();
    let server = server(&hub, Limits::default().body_timeout(SHORT).idle_timeout(SHORT));
    let mut socket = connect(server.addr()).await;
    let request = Request::get("/tunnel").header("connection", "Upgrade");
    write(&mut socket, request.header("upgrade", "websocket").bytes()).await;
    let head = read_until(&mut socket, "\r\n\r\n").await;
    assert!(head.starts_with("HTTP/1.1 101 Switching Protocols\r\n"), "{head}");
    write(&mut socket, "ping").await;
    assert_eq!(read_until(&mut socket, "ping").await, "ping");
    // A connection that began to be idle later is gone.
    let mut other = connect(server.addr()).await;
    write(&mut other, Request::get("/scheme").bytes()).await;
    let rest = read_to_end(&mut other).await;
    assert!(rest.ends_with("http://tidings.test"), "{rest}");
    write(&mut socket, "pong").await;
    assert_eq!(read_until(&mut socket, "pong").await, "pong");
}

#[tokio::test]
async fn what_comes_with_a_head_is_not_of_the_head() {
    let hub = hub();
    let server = server(&hub, Limits::default());
    // More than a head may have, and all there when the server looks.
    let large = "x".repeat(200 * 1024);
    let connection = Connection::open(server.addr()).await;
    let mut response = connection.send(&Request::post("/echo", large.as_str())).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.status(), 200);
    assert_eq!(response.text(), large);
}

#[tokio::test]
async fn a_request_that_was_sent_during_a_stream_is_answered_after_it() {
    let hub = hub();
    let server = server(&hub, Limits::default());
    let mut socket = connect(server.addr()).await;
    write(&mut socket, Request::get("/events").bytes()).await;
    read_until(&mut socket, ":\n\n").await;
    write(&mut socket, Request::get("/scheme").bytes()).await;
    publish(&hub, "one").await;
    read_until(&mut socket, "data: one\n").await;
    hub.clients().close(hub.clients().list()[0].id);
    let rest = read_until(&mut socket, "http://tidings.test").await;
    assert!(rest.contains("\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n"), "{rest}");
}

#[tokio::test]
async fn a_client_that_sends_junk_during_a_stream_is_ended_after_a_little() {
    let hub = hub();
    let server = server(&hub, Limits::default());
    let mut socket = connect(server.addr()).await;
    write(&mut socket, Request::get("/events").bytes()).await;
    read_until(&mut socket, ":\n\n").await;
    let junk = [b'x'; 4096];
    let mut sent = 0;
    // It fails once the server has reset the connection.
    while within("writing", socket.write_all(&junk)).await.is_ok() {
        sent += junk.len();
        tokio::task::yield_now().await;
    }
    eventually("it is gone", || hub.clients().count() == 0).await;
    assert!(sent < 8 << 20, "{sent} bytes");
}

#[tokio::test]
async fn a_body_that_stops_fails_and_ends_its_connection() {
    let hub = hub();
    let server = server(&hub, Limits::default().body_timeout(SHORT));
    let mut socket = connect(server.addr()).await;
    let request = Request::new("POST", "/echo").header("content-length", "10");
    write(&mut socket, [&request.bytes()[..], b"half"].concat()).await;
    let answer = read_to_end(&mut socket).await;
    assert!(answer.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{answer}");
    assert!(answer.ends_with("request's body has brought no bytes for 200ms"), "{answer}");
    // One that goes on and on is not concerned.
    let mut slow = connect(server.addr()).await;
    write(&mut slow, request.bytes()).await;
    let mut pace = tokio::time::interval(SHORT / 4);
    for byte in b"ten bytes." {
        pace.tick().await;
        write(&mut slow, [*byte]).await;
    }
    assert!(read_until(&mut slow, "ten bytes.").await.starts_with("HTTP/1.1 200 OK\r\n"));
}

/// A connection of HTTP/2.
async fn http2(addr: SocketAddr) -> SendRequest<Bytes> {
    let (send, connection) = h2::client::handshake(connect(addr).await).await.unwrap();
    tokio::spawn(connection);
    send
}

/// Begins a request.
fn begin(
    client: &mut SendRequest<Bytes>,
    method: &str,
    path: &str,
    end: bool,
) -> (ResponseFuture, SendStream<Bytes>) {
    let request = http::Request::builder().method(method).uri(format!("http://a{path}"));
    client.send_request(request.body(()).unwrap(), end).unwrap()
}

#[tokio::test]
async fn a_body_that_stops_fails_over_http_2() {
    let hub = hub();
    let server = server(&hub, Limits::default().body_timeout(SHORT));
    let mut client = http2(server.addr()).await;
    let (response, mut body) = begin(&mut client, "POST", "/echo", false);
    body.send_data("half".into(), false).unwrap();
    assert_eq!(within("the answer", response).await.unwrap().status(), 400);
    // Other streams of the connection go on.
    let (response, _) = begin(&mut client, "GET", "/scheme", true);
    assert_eq!(within("the answer", response).await.unwrap().status(), 200);
}

#[tokio::test]
async fn a_connection_of_http_2_has_a_limited_number_of_streams() {
    let hub = hub();
    let server = server(&hub, Limits::default().h2_streams(3));
    let mut client = http2(server.addr()).await;
    // What the server has announced is known with its first answer.
    let (response, _) = begin(&mut client, "GET", "/scheme", true);
    within("the answer", response).await.unwrap();
    assert_eq!(client.current_max_send_streams(), 3);
}

#[tokio::test]
async fn an_application_knows_that_it_is_served_over_tls() {
    let hub = hub();
    let certificate = Certificate::new();
    let (tls, served) = (Tls::from(certificate.server(&[])), hub.clone());
    let server = Server::start(async move |listener, begun| {
        let serve = serve(listener, app!(served), &served).tls(tls);
        serve.with_graceful_shutdown(begun).await
    });
    let connection = Connection::open_tls(server.addr(), certificate.client(&[])).await;
    let mut one = connection.send(&Request::get("/scheme")).await;
    assert_eq!(one.read_to_end().await, Ending::Whole);
    assert_eq!(one.text(), "https://tidings.test");
    let plain = self::server(&hub, Limits::default());
    let mut response = Response::to(plain.addr(), Request::get("/scheme")).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), "http://tidings.test");
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket_serves_streams() {
    use tokio::net::UnixStream;

    let hub = hub();
    let directory = tempfile::tempdir().unwrap();
    let paths = ["std", "tokio"].map(|name| directory.path().join(name));
    let (served, listened) = (hub.clone(), paths.clone());
    let _server = Server::start(async move |_, _| {
        let of_std = std::os::unix::net::UnixListener::bind(&listened[0])?;
        let one = serve(of_std, app!(served), &served).workers(1).disable_signals();
        let of_tokio = tokio::net::UnixListener::bind(&listened[1])?;
        let two = serve(of_tokio, app!(served), &served).workers(1).disable_signals();
        tokio::try_join!(one.into_future(), two.into_future()).map(drop)
    });
    for path in paths {
        eventually("it listens", || path.exists()).await;
        let mut socket = within("connecting", UnixStream::connect(path)).await.unwrap();
        write(&mut socket, Request::get("/events").bytes()).await;
        assert!(read_until(&mut socket, "\r\n\r\n").await.starts_with("HTTP/1.1 200 OK\r\n"));
        assert_eq!(read_until(&mut socket, ":\n\n").await, "3\r\n:\n\n");
        publish(&hub, "hello").await;
        assert!(read_until(&mut socket, "\n\n").await.contains("data: hello\n"));
    }
}

#[tokio::test]
async fn a_listener_of_tokio_and_one_of_the_application_serve_streams() {
    struct Mine(TcpListener);

    impl Listener for Mine {
        type Io = TcpStream;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> io::Result<(TcpStream, SocketAddr)> {
            self.0.accept().await
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }
    }

    let hubs = [hub(), hub()];
    let [served, also_served] = hubs.clone();
    let servers = [
        Server::start(async move |listener, begun| {
            let serve = serve(TcpListener::from_std(listener)?, app!(served), &served);
            serve.workers(1).with_graceful_shutdown(begun).await
        }),
        Server::start(async move |listener, begun| {
            let listener = Mine(TcpListener::from_std(listener)?);
            let serve = serve(listener, app!(also_served), &also_served);
            serve.workers(1).with_graceful_shutdown(begun).await
        }),
    ];
    for (server, hub) in servers.into_iter().zip(hubs) {
        let mut stream = Response::to(server.addr(), Request::get("/events")).await;
        stream.read_exactly(3).await;
        publish(&hub, "hello").await;
        assert_eq!(stream.next_message().await.data(), "hello");
        server.shutdown().await;
    }
}

#[tokio::test]
async fn a_server_that_is_dropped_ends_its_connections() {
    let hub = hub();
    let served = hub.clone();
    let server = Server::start(async move |listener, begun| {
        tokio::select! {
            result = serve(listener, app!(served), &served).disable_signals().into_future() => result,
            () = begun => Ok(()),
        }
    });
    let mut stream = Response::to(server.addr(), Request::get("/events")).await;
    stream.read_exactly(3).await;
    server.shutdown().await;
    assert_ne!(stream.read_to_end().await, Ending::Whole);
    eventually("its client is gone", || hub.clients().count() == 0).await;
    assert!(!hub.is_closed());
}

#[tokio::test]
async fn a_worker_without_an_application_is_an_error() {
    let hub = hub();
    let app = || App::new().data_factory(async || Err::<u8, _>("no database"));
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let served = within("its end", serve(listener, app, &hub).disable_signals().into_future());
    let error = served.await.unwrap_err();
    assert_eq!(error.to_string(), "application cannot start: ()");
}
