//! What warp's filters can be served on.

#![cfg(unix)]

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;

use tidings_testkit::adapter::Server;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::wire::{Request, Response};
use tidings_warp::tidings::{Event, Hub};
use tidings_warp::{Listener, Sse, SseRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};
use warp::Filter;

#[tokio::test]
async fn a_unix_socket() {
    let hub = Hub::builder().retry(None).build();
    let served = hub.clone();
    let news = warp::path("news").and(tidings_warp::request()).map(move |request: SseRequest| {
        Sse::from(request.subscribe(&served, "news").status(false))
    });
    let who = warp::path("who")
        .and(tidings_warp::remote_addr())
        .and_then(async |addr: Option<SocketAddr>| Ok::<_, Infallible>(format!("is {addr:?}")));
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let serve = tidings_warp::serve(UnixListener::bind(&path).unwrap(), news.or(who), &hub);
    assert_eq!(serve.local_addr().unwrap().as_pathname(), Some(&*path));
    let (stop, stopped) = tokio::sync::oneshot::channel::<()>();
    let serve = serve.with_graceful_shutdown(async { drop(stopped.await) });
    let server = tokio::spawn(serve.into_future());

    let ask = async |target: &str| {
        let mut socket = UnixStream::connect(&path).await.unwrap();
        let request = format!("GET {target} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n");
        socket.write_all(request.as_bytes()).await.unwrap();
        socket
    };
    let read_to_end = async |mut socket: UnixStream| {
        let mut text = String::new();
        within("the response", socket.read_to_string(&mut text)).await.unwrap();
        text
    };
    assert!(read_to_end(ask("/who").await).await.ends_with("is None"));
    let stream = ask("/news").await;
    eventually("the client is registered", || hub.clients().count() == 1).await;
    hub.publish("news", Event::new("over a path")).await.unwrap();
    drop(stop);
    let text = read_to_end(stream).await;
    assert!(text.contains("data: over a path\n") && text.ends_with("\r\n0\r\n\r\n"), "{text:?}");
    within("the shutdown", server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_listener_of_the_application() {
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

    let hub = Hub::builder().retry(None).build();
    let served = hub.clone();
    let server = Server::start(async move |listener, begun| {
        let listener = Mine(TcpListener::from_std(listener)?);
        let subscribed = served.clone();
        let news = tidings_warp::request().map(move |request: SseRequest| {
            Sse::from(request.subscribe(&subscribed, "news").status(false))
        });
        tidings_warp::serve(listener, news, &served).with_graceful_shutdown(begun).await
    });
    let mut stream = Response::to(server.addr(), Request::get("/")).await;
    stream.read_exactly(3).await;
    hub.publish("news", Event::new("hello")).await.unwrap();
    assert_eq!(stream.next_message().await.data(), "hello");
    server.shutdown().await;
}
