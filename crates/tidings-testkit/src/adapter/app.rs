use std::error::Error;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_core::Stream;
use futures_util::{StreamExt, stream};
use http::StatusCode;
use http::header::CONTENT_LENGTH;
use tidings::{Event, EventId, EventStream, Filter, Heartbeat, History, Hub, Resume, Subscribe};
use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

/// The application that every adapter serves in the suite: what its requests mean, without a framework.
///
/// | path | answer |
/// |---|---|
/// | `/events?topic=a&match=b:*` | a subscription; `history=all`, `principal=x`, `expires_ms=300`, and a filter, `role=x` or `role=!x`, may be added |
/// | `/checked?topic=a` | one whose client is checked every [`App::CHECK`], until [`App::refuse`] |
/// | `/other?topic=a` | one to [another hub](App::other_hub) |
/// | `/bare?topic=a` | one without status event and heartbeats |
/// | `/beating?topic=a` | one with a heartbeat every [`App::HEARTBEAT`] |
/// | `/pinging?topic=a` | one whose [response](Answer::into_response) has an event as its heartbeat, `ping` |
/// | `/dropped?topic=a` | 204; the response with the subscription is dropped |
/// | `/plain?status=304&length=1234&text=same` | no stream: this status, `Content-Length` and body |
/// | `/plain?text=more&times=1000` | a body that is so many times as long |
/// | `/stream` | a stream of events that ends with `[DONE]` |
/// | `/stream/fed` | a stream of what the test [feeds](App::feed) to it |
/// | `/stream/pinging` | a stream without events, with the same heartbeat |
/// | `/stream/error` | two events, then an error |
/// | `/stream/panic` | two events, then a panic |
#[derive(Debug, Clone)]
pub struct App {
    hub: Hub,
    other: Hub,
    feed: UnboundedSender<Event>,
    fed: Arc<Mutex<Option<UnboundedReceiver<Event>>>>,
    write_timeout: Duration,
    checks: Arc<Checks>,
}

/// What is asked about clients.
#[derive(Debug, Default)]
struct Checks {
    made: AtomicUsize,
    are_refused: AtomicBool,
}

/// How to answer a request. The adapter makes the framework's response as the framework's users do.
#[derive(Debug)]
pub enum Answer {
    /// Respond with the subscription.
    Subscription(Subscribe),
    /// Respond with the stream.
    Stream(EventStream<AppStream>),
    /// Make the response of the subscription and drop it, as a layer may do. Respond 204.
    Dropped(Subscribe),
    /// Respond with this, and with another heartbeat.
    Pinging(Box<Answer>),
    /// Respond with this.
    Plain(Plain),
}

/// A response that is no stream.
pub type Plain = http::Response<String>;

/// The events of a stream without a hub.
pub struct AppStream(Pin<Box<dyn Stream<Item = Item> + Send>>);

type Item = Result<Event, Box<dyn Error + Send + Sync>>;

impl App {
    /// The heartbeat of `/beating`, `/pinging` and `/stream/pinging`.
    pub const HEARTBEAT: Duration = Duration::from_millis(100);

    /// How often the clients of `/checked` are checked.
    pub const CHECK: Duration = Duration::from_millis(100);

    /// How long a shutdown may wait for open responses.
    pub const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(3);

    /// An application around a hub.
    pub fn new(hub: Hub) -> Self {
        let (feed, fed) = unbounded_channel();
        let fed = Arc::new(Mutex::new(Some(fed)));
        let (write_timeout, checks) = (Duration::from_secs(30), Arc::default());
        Self { hub, other: Hub::new(), feed, fed, write_timeout, checks }
    }

    /// Sets how long a client may stall before its connection is ended. Default: 30 seconds.
    pub fn with_write_timeout(mut self, timeout: Duration) -> Self {
        self.write_timeout = timeout;
        self
    }

    /// How long a client may stall before its connection is ended.
    pub fn write_timeout(&self) -> Duration {
        self.write_timeout
    }

    /// The hub.
    pub fn hub(&self) -> &Hub {
        &self.hub
    }

    /// Another hub.
    pub fn other_hub(&self) -> &Hub {
        &self.other
    }

    /// How often clients of `/checked` were checked.
    pub fn checks(&self) -> usize {
        self.checks.made.load(Ordering::Acquire)
    }

    /// Refuses the clients of `/checked` from now on.
    pub fn refuse(&self) {
        self.checks.are_refused.store(true, Ordering::Release);
    }

    /// Sends an event to the only client of `/stream/fed`. Returns whether it is still connected.
    pub fn feed(&self, data: &str) -> bool {
        self.feed.send(Event::new(data)).is_ok()
    }

    /// The answer to a GET or HEAD request.
    pub fn answer(&self, path: &str, query: Option<&str>, request: impl Into<Resume>) -> Answer {
        match path {
            "/events" => Answer::Subscription(self.subscribe(query).resume(request)),
            "/other" => Answer::Subscription(subscribe(&self.other, query).resume(request)),
            "/bare" => {
                let subscribe = self.subscribe(query).resume(request);
                Answer::Subscription(subscribe.status(false).heartbeat(None))
            }
            "/checked" => {
                let checks = self.checks.clone();
                let subscribe = self.subscribe(query).resume(request);
                Answer::Subscription(subscribe.revalidate(Self::CHECK, move || {
                    let checks = checks.clone();
                    async move {
                        // As a database would, it answers later; and it needs a runtime.
                        tokio::time::sleep(Duration::from_millis(1)).await;
                        checks.made.fetch_add(1, Ordering::AcqRel);
                        Ok(!checks.are_refused.load(Ordering::Acquire))
                    }
                }))
            }
            "/beating" => {
                let subscribe = self.subscribe(query).resume(request);
                Answer::Subscription(subscribe.heartbeat(Self::HEARTBEAT))
            }
            "/pinging" => {
                let subscribe = self.subscribe(query).resume(request);
                Answer::Pinging(Box::new(Answer::Subscription(subscribe)))
            }
            "/dropped" => Answer::Dropped(self.subscribe(query).resume(request)),
            "/stream" => stream_of(stream::iter(["Hel", "lo", "[DONE]"].map(text))),
            "/stream/numbered" => {
                let request = request.into();
                let last = request.last_event_id().and_then(|id| id.as_str()?.parse().ok());
                let rest = (0..4).skip(last.map_or(0, |last: usize| last + 1));
                stream_of(stream::iter(rest.map(|n| {
                    Ok(Event::new(format!("word {n}")).with_id(EventId::new(n.to_string())?))
                })))
            }
            "/stream/fed" => match self.fed.lock().expect("no test panics here").take() {
                Some(mut fed) => {
                    stream_of(stream::poll_fn(move |cx| fed.poll_recv(cx)).map(Ok).boxed())
                }
                None => Answer::Plain(empty(StatusCode::NOT_FOUND)),
            },
            "/stream/pinging" => Answer::Pinging(Box::new(stream_of(stream::pending()))),
            "/stream/error" => {
                let error = Err("the model is overloaded".into());
                stream_of(stream::iter([text("one"), text("two"), error]))
            }
            "/stream/panic" => {
                let two = stream::iter([text("one"), text("two")]);
                // Later, or no server could have sent the two.
                stream_of(two.chain(stream::once(async {
                    tokio::task::yield_now().await;
                    panic!("on purpose, in a stream")
                })))
            }
            "/plain" => Answer::Plain(plain(query)),
            _ => Answer::Plain(empty(StatusCode::NOT_FOUND)),
        }
    }

    fn subscribe(&self, query: Option<&str>) -> Subscribe {
        subscribe(&self.hub, query)
    }
}

impl Answer {
    /// Makes the framework's response: `respond` makes it of a stream, as the framework's users do, with another heartbeat
    /// if there is one; and `plain` of a response that is no stream.
    pub fn into_response<S, R>(
        self,
        respond: impl FnOnce(S, Option<Heartbeat>) -> R,
        plain: impl FnOnce(Plain) -> R,
    ) -> R
    where
        S: From<Subscribe> + From<EventStream<AppStream>>,
    {
        let (answer, heartbeat) = match self {
            Self::Pinging(answer) => {
                (*answer, Some(Heartbeat::event("ping").every(App::HEARTBEAT)))
            }
            answer => (answer, None),
        };
        match answer {
            Self::Subscription(subscribe) => respond(subscribe.into(), heartbeat),
            Self::Stream(stream) => respond(stream.into(), heartbeat),
            Self::Dropped(subscribe) => {
                drop(respond(subscribe.into(), heartbeat));
                plain(empty(StatusCode::NO_CONTENT))
            }
            Self::Plain(response) => plain(response),
            Self::Pinging(_) => plain(empty(StatusCode::NOT_FOUND)),
        }
    }
}

fn empty(status: StatusCode) -> Plain {
    let mut response = Plain::default();
    *response.status_mut() = status;
    response
}

fn plain(query: Option<&str>) -> Plain {
    let mut response = Plain::default();
    for (key, value) in form_urlencoded::parse(query.unwrap_or_default().as_bytes()) {
        match &*key {
            "status" => *response.status_mut() = value.parse().expect("a status"),
            "length" => {
                let length = value.parse().expect("a length");
                response.headers_mut().insert(CONTENT_LENGTH, length);
            }
            "text" => *response.body_mut() = value.into_owned(),
            "times" => {
                let text = response.body().repeat(value.parse().expect("a number"));
                *response.body_mut() = text;
            }
            _ => {}
        }
    }
    response
}

fn subscribe(hub: &Hub, query: Option<&str>) -> Subscribe {
    let parameters = form_urlencoded::parse(query.unwrap_or_default().as_bytes());
    let values = |name: &'static str| {
        parameters.filter(move |(key, _)| key == name).map(|(_, value)| value.into_owned())
    };
    let mut subscribe = hub.subscribe(values("topic")).matching(values("match"));
    if values("history").next().as_deref() == Some("all") {
        subscribe = subscribe.history(History::All);
    }
    if let Some(role) = values("role").next() {
        let filter = match role.strip_prefix('!') {
            Some(role) => Filter::equal("role", role).map(|filter| !filter),
            None => Filter::equal("role", role),
        };
        subscribe = subscribe.filter(filter.expect("a name"));
    }
    if let Some(Ok(millis)) = values("expires_ms").next().map(|value| value.parse()) {
        subscribe = subscribe.expires_in(Duration::from_millis(millis));
    }
    match values("principal").next() {
        Some(principal) => subscribe.principal(principal),
        None => subscribe,
    }
}

fn text(data: &str) -> Item {
    Ok(Event::new(data))
}

fn stream_of(events: impl Stream<Item = Item> + Send + 'static) -> Answer {
    Answer::Stream(EventStream::new(AppStream(Box::pin(events))))
}

impl Stream for AppStream {
    type Item = Item;

    fn poll_next(
        mut self: Pin<&mut Self>,
        cx: &mut std::task::Context<'_>,
    ) -> std::task::Poll<Option<Item>> {
        self.0.as_mut().poll_next(cx)
    }
}

impl std::fmt::Debug for AppStream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("AppStream")
    }
}
