//! Every shape of listener and of application that axum's own server takes.

use std::convert::Infallible;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::body::Body;
use axum::extract::connect_info::Connected;
use axum::extract::{ConnectInfo, Request};
use axum::handler::HandlerWithoutStateExt;
use axum::response::Response;
use axum::routing::get;
use axum::serve::{Listener, ListenerExt};
use axum::{Router, ServiceExt};
use futures_util::future::{Ready, ready};
use tidings_axum::tidings::{Event, Hub, STATUS_EVENT};
use tidings_axum::{Application, Limits, Sse, SseRequest};
use tidings_testkit::adapter::Server;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::wire::{Connection, Ending, Http2, Request as WireRequest};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tower_http::normalize_path::NormalizePathLayer;
use tower_layer::Layer;
use tower_service::Service;

fn hub() -> Hub {
    Hub::builder().retry(None).build()
}

/// The events of a stream without a hub: the client's address, as the registry and as handlers know it.
async fn who(ConnectInfo(addr): ConnectInfo<SocketAddr>, request: SseRequest) -> Sse {
    let registered = request.remote_addr().map_or(String::new(), |addr| addr.to_string());
    Sse::new(futures_util::stream::iter([Event::new(registered), Event::new(addr.to_string())]))
}

fn router() -> Router {
    Router::new().route("/who", get(who))
}

/// Serves an application on TCP, and asks twice on one connection who the client is.
async fn serves<A, Kind>(app: A, target: &str)
where
    A: Application<SocketAddr, Kind> + Send + 'static,
{
    serves_on(|listener| listener, app, target).await;
}

async fn serves_on<L, A, Kind>(
    listen: impl FnOnce(TcpListener) -> L + Send + 'static,
    app: A,
    target: &str,
) where
    L: Listener<Addr = SocketAddr>,
    A: Application<SocketAddr, Kind> + Send + 'static,
{
    let server = Server::start(async move |listener, shutdown| {
        let listener = listen(TcpListener::from_std(listener)?);
        tidings_axum::serve(listener, app, &hub()).with_graceful_shutdown(shutdown).await
    });
    let mut connection = Connection::open(server.addr()).await;
    let addr = connection.local_addr().to_string();
    for _ in 0..2 {
        let mut response = connection.send(&WireRequest::get(target)).await;
        assert_eq!(response.status(), 200, "{}", response.text());
        assert_eq!(response.read_to_end().await, Ending::Whole);
        let data: Vec<_> = response.messages().iter().map(|message| message.data()).collect();
        assert_eq!(data, [&addr, &addr]);
        connection = response.into_connection();
    }
    connection.close().await;
    server.shutdown().await;
}

#[tokio::test]
async fn a_router() {
    serves(router(), "/who").await;
    serves(router().into_make_service(), "/who").await;
    serves(router().into_make_service_with_connect_info::<SocketAddr>(), "/who").await;
}

#[tokio::test]
async fn a_method_router() {
    serves(get(who), "/").await;
    serves(get(who).into_make_service(), "/").await;
    serves(get(who).into_make_service_with_connect_info::<SocketAddr>(), "/").await;
}

#[tokio::test]
async fn a_handler() {
    serves(who.into_service(), "/").await;
    serves(who.into_make_service(), "/").await;
    serves(who.into_make_service_with_connect_info::<SocketAddr>(), "/").await;
}

#[tokio::test]
async fn a_layer_around_a_router() {
    let normal = || NormalizePathLayer::trim_trailing_slash().layer(router());
    serves(normal(), "/who/").await;
    serves(ServiceExt::<Request>::into_make_service(normal()), "/who/").await;
    let with_info =
        ServiceExt::<Request>::into_make_service_with_connect_info::<SocketAddr>(normal());
    serves(with_info, "/who/").await;
}

#[tokio::test]
async fn a_service_of_the_application() {
    /// It must be asked whether it is ready, as services may demand, and answers what becomes a response.
    #[derive(Clone)]
    struct Mine(Router, bool);

    impl Service<Request> for Mine {
        type Response = (axum::http::HeaderMap, Response);
        type Error = Infallible;
        type Future =
            std::pin::Pin<Box<dyn Future<Output = Result<Self::Response, Infallible>> + Send>>;

        fn poll_ready(
            &mut self,
            _: &mut std::task::Context<'_>,
        ) -> std::task::Poll<Result<(), Infallible>> {
            self.1 = true;
            std::task::Poll::Ready(Ok(()))
        }

        fn call(&mut self, request: Request) -> Self::Future {
            assert!(std::mem::take(&mut self.1), "it was not asked");
            let answer = self.0.call(request);
            Box::pin(async { Ok((Default::default(), answer.await?)) })
        }
    }

    serves(Mine(router(), false), "/who").await;
}

/// A make-service that counts, and needs to be asked whether it is ready.
struct Counting(Arc<AtomicUsize>);

impl Service<SocketAddr> for Counting {
    type Response = Router;
    type Error = Infallible;
    type Future = Ready<Result<Router, Infallible>>;

    fn poll_ready(
        &mut self,
        _: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Result<(), Infallible>> {
        std::task::Poll::Ready(Ok(()))
    }

    fn call(&mut self, addr: SocketAddr) -> Self::Future {
        assert!(addr.ip().is_loopback());
        self.0.fetch_add(1, Ordering::SeqCst);
        ready(Ok(router()))
    }
}

#[tokio::test]
async fn a_make_service_is_called_once_for_each_connection() {
    let count = Arc::new(AtomicUsize::new(0));
    // Two requests on one connection.
    serves(Counting(count.clone()), "/who").await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn requests_of_one_connection_are_answered_side_by_side() {
    let [begun, gone] = [(); 2].map(|()| Arc::new(Notify::new()));
    let (begins, waits, goes) = (begun.clone(), gone.clone(), gone);
    let wait = move || async move {
        begins.notify_one();
        waits.notified().await;
    };
    let go = move || async move { goes.notify_one() };
    let app = Router::new().route("/wait", get(wait)).route("/go", get(go)).into_make_service();
    let server = Server::start(async |listener, shutdown| {
        let listener = TcpListener::from_std(listener)?;
        tidings_axum::serve(listener, app, &hub()).with_graceful_shutdown(shutdown).await
    });
    let client = Http2::open(server.addr()).await;
    let (waited, went) = tokio::join!(client.get("/wait"), async {
        within("the first request", begun.notified()).await;
        client.get("/go").await
    });
    assert_eq!([waited.status(), went.status()], [200; 2]);
    drop((waited, went, client));
    server.shutdown().await;
}

#[tokio::test]
async fn a_listener_of_the_application() {
    /// As axum's documentation shows it.
    struct Mine(TcpListener);

    impl Listener for Mine {
        type Io = tokio::io::BufStream<TcpStream>;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> (Self::Io, SocketAddr) {
            let (io, addr) = Listener::accept(&mut self.0).await;
            (tokio::io::BufStream::new(io), addr)
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }
    }

    serves_on(Mine, router(), "/who").await;
    serves_on(Mine, router().into_make_service(), "/who").await;
}

/// Serves `/who` and a stream on one connection, of which the listener knows `known`, or the client's address.
async fn serves_a_stream_on<L: Listener<Addr: Clone + Sync + 'static>>(
    listen: impl FnOnce(TcpListener) -> L + Send + 'static,
    known: Option<SocketAddr>,
) {
    let hub = hub();
    let served = hub.clone();
    let server = Server::start(async move |listener, shutdown| {
        let listener = listen(TcpListener::from_std(listener)?);
        let streamed = served.clone();
        let app = router().route("/news", get(move || news(streamed)));
        // The client is not one of these.
        let limits = Limits::default().proxies([Ipv4Addr::new(10, 0, 0, 1)].map(IpAddr::from));
        let serve = tidings_axum::serve(listener, app, &served).limits(limits);
        serve.with_graceful_shutdown(shutdown).await
    });
    let connection = Connection::open(server.addr()).await;
    let addr = known.unwrap_or(connection.local_addr()).to_string();
    let request = WireRequest::get("/who").header("x-forwarded-for", "198.51.100.1");
    let mut response = connection.send(&request).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    let data: Vec<_> = response.messages().iter().map(|message| message.data()).collect();
    assert_eq!(data, [&addr, &addr]);
    let mut stream = response.into_connection().send(&WireRequest::get("/news")).await;
    assert_eq!(stream.next_message().await.event(), STATUS_EVENT);
    eventually("the stream is direct", || server.tasks() == 0).await;
    // Its socket would tell another address.
    assert_eq!(stream.header("connection"), Some("close"));
    hub.close();
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    stream.into_connection().ended().await;
}

#[tokio::test]
async fn a_connection_whose_listener_knows_its_client_ends_with_its_stream() {
    const CLIENT: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 5000);

    /// It has been told by a proxy.
    struct Mine(TcpListener);

    impl Listener for Mine {
        type Io = TcpStream;
        type Addr = SocketAddr;

        async fn accept(&mut self) -> (TcpStream, SocketAddr) {
            (Listener::accept(&mut self.0).await.0, CLIENT)
        }

        fn local_addr(&self) -> io::Result<SocketAddr> {
            self.0.local_addr()
        }
    }

    serves_a_stream_on(Mine, Some(CLIENT)).await;
}

#[tokio::test]
async fn a_client_of_tcp_has_an_address_whatever_its_listener_says() {
    /// What an application wants to know of a client.
    #[derive(Clone)]
    struct Caller;

    struct Mine(TcpListener);

    impl Listener for Mine {
        type Io = TcpStream;
        type Addr = Caller;

        async fn accept(&mut self) -> (TcpStream, Caller) {
            (Listener::accept(&mut self.0).await.0, Caller)
        }

        fn local_addr(&self) -> io::Result<Caller> {
            Ok(Caller)
        }
    }

    serves_a_stream_on(Mine, None).await;
}

async fn news(hub: Hub) -> Sse {
    hub.subscribe(["news"]).into()
}

/// A stream of the direct transport has no task. The listener is whatever `listen` makes of TCP.
async fn tasks_of_a_stream<L: Listener<Addr = SocketAddr>>(
    listen: impl FnOnce(TcpListener) -> L,
) -> usize {
    let hub = hub();
    let served = hub.clone();
    let app = Router::new().route("/news", get(move || news(served)));
    let listener = listen(TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port"));
    let serve = tidings_axum::serve(listener, app, &hub);
    let addr = serve.local_addr().expect("its address");
    let server = tokio::spawn(serve.into_future());
    let tasks = || tokio::runtime::Handle::current().metrics().num_alive_tasks();
    let mut stream = Connection::open(addr).await.send(&WireRequest::get("/news")).await;
    assert_eq!(stream.next_message().await.event(), STATUS_EVENT);
    // The first bytes of a stream of either transport are sent by what sends the others.
    eventually("nothing but the server and the connection", || tasks() <= 2).await;
    let tasks = tasks() - 1;
    hub.publish("news", Event::new("one")).await.expect("an event");
    assert_eq!(stream.next_message().await.data(), "one");
    // The connection takes the next request, whoever has sent the stream.
    hub.close();
    assert_eq!(stream.read_to_end().await, Ending::Whole);
    let response = stream.into_connection().send(&WireRequest::get("/none")).await;
    assert_eq!(response.status(), 404);
    server.abort();
    tasks
}

#[tokio::test]
async fn tcp_has_the_direct_transport_whatever_has_touched_its_connections() {
    assert_eq!(tasks_of_a_stream(|listener| listener).await, 0);
    assert_eq!(tasks_of_a_stream(|listener| listener.tap_io(|_| {})).await, 0);
}

#[tokio::test]
async fn a_tapped_listener() {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let tap = move |listener: TcpListener| {
        listener.tap_io(move |_| {
            counted.fetch_add(1, Ordering::SeqCst);
        })
    };
    serves_on(tap, router().into_make_service_with_connect_info::<SocketAddr>(), "/who").await;
    assert_eq!(count.load(Ordering::SeqCst), 1);
}

#[cfg(unix)]
#[tokio::test]
async fn a_unix_socket() {
    use tokio::net::unix;
    use tokio::net::{UnixListener, UnixStream};

    /// What an application wants to know of a client.
    #[derive(Clone)]
    struct Caller(bool);

    impl Connected<unix::SocketAddr> for Caller {
        fn connect_info(addr: unix::SocketAddr) -> Self {
            Self(addr.is_unnamed())
        }
    }

    async fn caller(ConnectInfo(Caller(is_unnamed)): ConnectInfo<Caller>) -> String {
        format!("unnamed: {is_unnamed}")
    }

    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let hub = hub();
    let served = hub.clone();
    let app = Router::new()
        .route("/news", get(move || news(served)))
        .route("/caller", get(caller))
        .into_make_service_with_connect_info::<Caller>();
    let serve = tidings_axum::serve(UnixListener::bind(&path).unwrap(), app, &hub);
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
    assert!(read_to_end(ask("/caller").await).await.ends_with("unnamed: true"));
    let stream = ask("/news").await;
    eventually("the client is registered", || hub.clients().count() == 1).await;
    hub.publish("news", Event::new("over a path")).await.unwrap();
    drop(stop);
    let text = read_to_end(stream).await;
    assert!(text.contains("data: over a path\n") && text.ends_with("\r\n0\r\n\r\n"), "{text:?}");
    within("the shutdown", server).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_body_of_the_application_is_sent_as_it_is() {
    let app = Router::new().route("/", get(|| async { Response::new(Body::from("plain")) }));
    let server = Server::start(async |listener, shutdown| {
        let listener = TcpListener::from_std(listener)?;
        tidings_axum::serve(listener, app, &hub()).with_graceful_shutdown(shutdown).await
    });
    let mut response = Connection::open(server.addr()).await.send(&WireRequest::get("/")).await;
    assert_eq!(response.read_to_end().await, Ending::Whole);
    assert_eq!(response.text(), "plain");
}
