//! An application as plain as can be, served by the direct transport.
#![allow(dead_code, reason = "every test file uses a part of it")]

use std::convert::Infallible;
use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::panic::Location;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use http::header::{CONNECTION, UPGRADE};
use http::{Request, Response, StatusCode};
use http_body::{Body, Frame};
use hyper_util::rt::TokioIo;
use tidings::{ClientId, Event, Hub, Snapshot, error::StreamError};
use tidings_hyper::{RequestBody, SubscriptionBody, serve};
use tidings_net::{Limits, Options, Peer, Transport};
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::wire::{Request as WireRequest, Response as WireResponse};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

/// What the application sends.
pub(crate) enum Answer {
    Whole(Option<Bytes>),
    Stream(SubscriptionBody),
    /// A layer keeps something in the body, and passes its frames through.
    Watched(SubscriptionBody, Watch),
    /// A layer changes what is sent.
    Loud(SubscriptionBody),
    /// A layer sends something before the stream.
    Prefixed(Option<Bytes>, SubscriptionBody),
}

/// What a layer keeps in a body.
pub(crate) struct Watch {
    count: Arc<AtomicUsize>,
    is_cursed: bool,
}

impl Watch {
    fn new(count: &Arc<AtomicUsize>, is_cursed: bool) -> Self {
        count.fetch_add(1, Ordering::SeqCst);
        Self { count: count.clone(), is_cursed }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::SeqCst);
        assert!(!self.is_cursed, "on purpose, in a layer's drop");
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = StreamError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, StreamError>>> {
        match self.get_mut() {
            Self::Whole(bytes) => Poll::Ready(bytes.take().map(|bytes| Ok(Frame::data(bytes)))),
            Self::Stream(body) | Self::Watched(body, _) => Pin::new(body).poll_frame(cx),
            Self::Loud(body) => {
                let frame = ready!(Pin::new(body).poll_frame(cx));
                let loud = |bytes: Bytes| Bytes::from(bytes.to_ascii_uppercase());
                Poll::Ready(frame.map(|frame| frame.map(|frame| frame.map_data(loud))))
            }
            Self::Prefixed(prefix, body) => match prefix.take() {
                Some(prefix) => Poll::Ready(Some(Ok(Frame::data(prefix)))),
                None => Pin::new(body).poll_frame(cx),
            },
        }
    }
}

/// A server on a free port, as a task of the test's runtime.
pub(crate) struct Site {
    pub(crate) hub: Hub,
    pub(crate) addr: SocketAddr,
    /// How many watches exist.
    pub(crate) watches: Arc<AtomicUsize>,
    /// A snapshot of `/blocked` blocks its thread until the test comes here, too.
    pub(crate) gate: Arc<Barrier>,
    pub(crate) shutdown: Option<oneshot::Sender<()>>,
    pub(crate) server: JoinHandle<io::Result<()>>,
}

impl Site {
    pub(crate) async fn new() -> Self {
        Self::with(Hub::new(), Limits::default()).await
    }

    pub(crate) async fn with(hub: Hub, limits: Limits) -> Self {
        Self::start(hub, Options::new(limits)).await
    }

    /// With the body transport alone.
    pub(crate) async fn with_bodies(limits: Limits) -> Self {
        let mut options = Options::new(limits);
        options.transport = Transport::Body;
        Self::start(Hub::new(), options).await
    }

    pub(crate) async fn start(hub: Hub, mut options: Options) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let watches = Arc::new(AtomicUsize::new(0));
        let (shutdown, closing) = oneshot::channel();
        let gate = Arc::new(Barrier::new(2));
        let app = {
            let (hub, watches, gate) = (hub.clone(), watches.clone(), gate.clone());
            move |request: Request<RequestBody>, peer: Peer| {
                answer(hub.clone(), watches.clone(), gate.clone(), peer, request)
            }
        };
        options.hubs.add(&hub);
        let server = tokio::spawn(serve(listener, app, options, async move {
            let _ = closing.await;
        }));
        Self { hub, addr, watches, gate, shutdown: Some(shutdown), server }
    }

    /// A response, and its status event.
    #[track_caller]
    pub(crate) fn follow(&self, target: &str) -> impl Future<Output = WireResponse> {
        let connecting = WireResponse::to(self.addr, WireRequest::get(target));
        async move {
            let mut response = connecting.await;
            assert_eq!(response.status(), 200);
            response.next_message().await;
            response
        }
    }

    /// Publishes, and returns the event's id.
    pub(crate) fn publish(&self, topic: &str, data: &str) -> String {
        self.hub.publish(topic, Event::new(data)).wait().unwrap().id().to_string()
    }

    /// Waits until the hub has this number of clients, of which this number have a task. The server is
    /// one more task.
    #[track_caller]
    pub(crate) fn has(&self, clients: usize, tasks: usize) -> impl Future<Output = ()> + '_ {
        let caller = Location::caller();
        let metrics = tokio::runtime::Handle::current().metrics();
        let what = format!("{clients} clients, {tasks} of them tasks, at {caller}");
        async move {
            eventually(&what, || {
                self.hub.clients().count() == clients && metrics.num_alive_tasks() == 1 + tasks
            })
            .await;
        }
    }

    /// The only client.
    pub(crate) fn client(&self) -> ClientId {
        let list = self.hub.clients().list();
        assert_eq!(list.len(), 1);
        list[0].id
    }

    /// Ends the stream of the only client.
    pub(crate) fn close_client(&self) {
        assert!(self.hub.clients().close(self.client()));
    }
}

async fn answer(
    hub: Hub,
    watches: Arc<AtomicUsize>,
    gate: Arc<Barrier>,
    peer: Peer,
    mut request: Request<RequestBody>,
) -> Result<Response<Answer>, Infallible> {
    let (kind, topic) = request.uri().path()[1..].split_once('/').unwrap_or_default();
    let subscribe = hub.subscribe([topic]);
    let body = match kind {
        "events" => Answer::Stream(stream(subscribe)),
        "loud" => Answer::Loud(stream(subscribe)),
        "prefixed" => {
            Answer::Prefixed(Some(Bytes::from_static(b": padding\n\n")), stream(subscribe))
        }
        // By a layer.
        "replaced" => {
            let instead = Bytes::from_static(b"something else");
            return Ok(stream(subscribe).into_response().map(|_| Answer::Whole(Some(instead))));
        }
        "watched" => Answer::Watched(stream(subscribe), Watch::new(&watches, false)),
        "cursed" => Answer::Watched(stream(subscribe), Watch::new(&watches, true)),
        "timed" => Answer::Stream(stream(subscribe.snapshot(|| async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            Ok(Snapshot::new([Event::new("a snapshot that took its time")]))
        }))),
        "endless" => Answer::Stream(stream(subscribe.snapshot(std::future::pending))),
        "blocked" => Answer::Stream(stream(subscribe.snapshot(move || {
            gate.wait();
            async { Ok(Snapshot::new([Event::new("a snapshot that was waited for")])) }
        }))),
        "panics" => Answer::Stream(stream(subscribe.snapshot(|| async {
            panic!("on purpose, in a snapshot");
        }))),
        "late" => Answer::Stream(stream(subscribe.snapshot(|| async {
            tokio::task::yield_now().await;
            let thread = std::thread::current().name().unwrap_or_default().to_owned();
            Ok(Snapshot::new([Event::new(thread)]))
        }))),
        "echo" => {
            let mut all = BytesMut::new();
            while let Some(frame) =
                std::future::poll_fn(|cx| Pin::new(request.body_mut()).poll_frame(cx)).await
            {
                match frame {
                    Ok(frame) => all.extend_from_slice(&frame.into_data().unwrap_or_default()),
                    Err(error) => {
                        all.extend_from_slice(error.to_string().as_bytes());
                        break;
                    }
                }
            }
            Answer::Whole(Some(all.freeze()))
        }
        "who" => Answer::Whole(peer.client.map(|client| client.ip().to_string().into())),
        "upgrade" => {
            tokio::spawn(async move {
                let upgraded = hyper::upgrade::on(request).await.expect("an upgrade");
                echo_a_line(TokioIo::new(upgraded)).await.expect("a line to echo");
            });
            let mut response = Response::new(Answer::Whole(None));
            *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
            response.headers_mut().insert(CONNECTION, "upgrade".parse().unwrap());
            response.headers_mut().insert(UPGRADE, "echo".parse().unwrap());
            return Ok(response);
        }
        _ => Answer::Whole(Some(Bytes::from(request.uri().path().to_owned()))),
    };
    Ok(match body {
        Answer::Whole(_) => Response::new(body),
        Answer::Stream(body) => body.into_response().map(Answer::Stream),
        Answer::Loud(body) => body.into_response().map(Answer::Loud),
        Answer::Prefixed(prefix, body) => {
            body.into_response().map(|body| Answer::Prefixed(prefix, body))
        }
        Answer::Watched(body, watch) => {
            body.into_response().map(|body| Answer::Watched(body, watch))
        }
    })
}

fn stream(subscribe: tidings::Subscribe) -> SubscriptionBody {
    // Nothing but what a test asks for.
    SubscriptionBody::new(subscribe.retry(None).heartbeat(None).open().unwrap())
}

async fn echo_a_line(
    mut io: impl AsyncReadExt + AsyncWriteExt + Unpin,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    let mut line = Vec::new();
    while line.last() != Some(&b'\n') {
        line.push(io.read_u8().await?);
    }
    io.write_all(&line).await?;
    io.shutdown().await?;
    Ok(())
}

/// All that comes over a socket until its end.
pub(crate) async fn read_to_end(socket: &mut tokio::net::TcpStream) -> String {
    let mut all = Vec::new();
    within("the end of the connection", socket.read_to_end(&mut all)).await.expect("its end");
    String::from_utf8(all).expect("text")
}

/// What comes over a socket until `wanted` does.
pub(crate) async fn read_until(socket: &mut tokio::net::TcpStream, wanted: &str) -> String {
    within(wanted, async {
        let mut all = Vec::new();
        while !String::from_utf8_lossy(&all).contains(wanted) {
            let length = socket.read_buf(&mut all).await.expect("more");
            assert!(length > 0, "no {wanted:?} in {:?}", String::from_utf8_lossy(&all));
        }
        String::from_utf8(all).expect("text")
    })
    .await
}
