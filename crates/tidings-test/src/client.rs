use std::fmt::{self, Write as _};
use std::future::{Future, poll_fn};
use std::ops::{Deref, DerefMut};
use std::panic::Location;
use std::pin::pin;
use std::task::{Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_LENGTH, CONTENT_TYPE, COOKIE, HOST};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Response, StatusCode};

use crate::app::{App, IntoApp};
use crate::limit::{Limit, TURN};
use crate::received::Excerpt;
use crate::stream::{ByteStream, DEFAULT_LIMIT, TestStream};

const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");

/// A client of an application's event streams, without a socket.
///
/// It calls the application as a server does, and reads the response's body. What is expected of the stream, it has from
/// [`TestStream`], and so the rules there about time and about what is skipped.
///
/// ```
/// # #[cfg(feature = "axum")]
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() {
/// use axum::{Router, extract::State, routing::get};
/// use tidings_axum::{Event, Hub, Sse, SseRequest};
/// use tidings_test::TestClient;
/// use tidings_test::Status::Resumed;
///
/// async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
///     request.subscribe(&hub, "jobs").into()
/// }
///
/// let hub = Hub::new();
/// let app = Router::new().route("/events", get(events)).with_state(hub.clone());
///
/// let mut client = TestClient::get(&app, "/events").connect().await;
/// hub.publish("jobs", Event::named("created", "7").unwrap()).await.unwrap();
/// assert_eq!(client.expect("created").await.data(), "7");
///
/// client.disconnect();
/// hub.publish("jobs", Event::named("done", "7").unwrap()).await.unwrap();
/// client.reconnect().await;
/// client.expect_status(Resumed).await;
/// client.expect("done").await;
/// # }
/// # #[cfg(not(feature = "axum"))]
/// # fn main() {}
/// ```
///
/// A client that is dropped has disconnected: its subscription is gone when `drop` returns.
///
/// Several clients may be open at once. They stay in the test's task: `tokio::join!` waits for several of them.
#[derive(Debug)]
#[must_use = "a client that is dropped disconnects"]
pub struct TestClient<'a> {
    request: Connect<'a>,
    status_code: StatusCode,
    headers: HeaderMap,
    text: String,
    stream: TestStream,
}

impl<'a> TestClient<'a> {
    /// Requests this path, which may have a query, with GET, as a browser's `EventSource` does.
    ///
    /// The application is passed by value or by reference: see [`IntoApp`].
    ///
    /// # Panics
    ///
    /// [`connect`](Connect::connect) panics if the path is not a valid one.
    pub fn get<F>(app: impl IntoApp<'a, F>, path: &str) -> Connect<'a> {
        Connect::new(app.into_app(), Method::GET, path)
    }

    /// Requests this path with POST: for streams that a page reads with `fetch`, and for other requests of a test, such as a
    /// login.
    ///
    /// ```
    /// # #[cfg(feature = "axum")]
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() {
    /// use axum::{Router, http::header::SET_COOKIE, routing::post};
    /// use tidings_test::TestClient;
    ///
    /// let app = Router::new().route("/login", post(async || [(SET_COOKIE, "session=1")]));
    /// let login = TestClient::post(&app, "/login").body("user=ada").connect().await;
    /// assert_eq!(login.status_code(), 200);
    /// assert_eq!(login.header("set-cookie"), Some("session=1"));
    /// # }
    /// # #[cfg(not(feature = "axum"))]
    /// # fn main() {}
    /// ```
    pub fn post<F>(app: impl IntoApp<'a, F>, path: &str) -> Connect<'a> {
        Connect::new(app.into_app(), Method::POST, path)
    }

    /// The response's status code. Streams have 200; browsers do not connect again after any other.
    #[must_use]
    pub fn status_code(&self) -> StatusCode {
        self.status_code
    }

    /// The response's headers.
    #[must_use]
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// A header of the response, if it has it and it is text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body of a response that is not an event stream, such as the reason of a refusal; empty for a stream.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Cuts the connection. The application notices it at once: the body is dropped.
    ///
    /// The cut comes after what the test has taken: events that have arrived after it are lost on the way, and come again when
    /// the client resumes. Only the status event at a stream's beginning counts as received.
    pub fn disconnect(&mut self) {
        self.stream.cut();
    }

    /// Connects again as a browser does: with the same request, and the id of the last event that the test has taken as
    /// `Last-Event-ID`. Disconnects first, if need be.
    ///
    /// It does not wait for as long as [`retry`](TestStream::retry) says.
    ///
    /// # Panics
    ///
    /// If a browser would not connect again because the response was not 200, or not an event stream; and like
    /// [`Connect::connect`].
    #[track_caller]
    pub fn reconnect(&mut self) -> impl Future<Output = ()> {
        let caller = Location::caller();
        async move {
            if let Some(reason) = not_a_stream(self.status_code, &self.headers) {
                let report = self.stream.report();
                panic!("{caller}: a browser does not connect again: {reason}\n{report}");
            }
            if !self.stream.is_disconnected() {
                self.stream.cut();
            }
            self.open(caller).await;
        }
    }

    /// Sends the request and takes the head of the response.
    async fn open(&mut self, caller: &Location<'_>) {
        let response = self.answer(caller).await;
        let (head, body) = response.into_parts();
        self.status_code = head.status;
        self.headers = head.headers;
        self.stream.title =
            format!("{} {} → {}", self.request.method, self.request.path, head.status);
        self.text.clear();
        match not_a_stream(self.status_code, &self.headers) {
            None => self.stream.begin(Ok(body)),
            Some(reason) => {
                self.stream.begin(Err(reason));
                self.text = self.read(body, caller).await;
                if !self.text.is_empty() {
                    let _ = write!(self.stream.title, ": {}", Excerpt(&self.text));
                }
            }
        }
    }

    async fn answer(&self, caller: &Location<'_>) -> Response<ByteStream> {
        let request = &self.request;
        let name = format_args!("{} {}", request.method, request.path);
        let mut headers = request.headers.clone();
        if !self.stream.last_event_id().is_empty() {
            let id = HeaderValue::from_str(self.stream.last_event_id());
            let id = id.unwrap_or_else(|error| panic!("{caller}: the Last-Event-ID: {error}"));
            headers.insert(LAST_EVENT_ID, id);
        }
        let mut message = Request::new(request.body.clone());
        *message.method_mut() = request.method.clone();
        *message.uri_mut() = request
            .path
            .parse()
            .unwrap_or_else(|error| panic!("{caller}: the path {:?}: {error}", request.path));
        *message.headers_mut() = headers;
        match within(self.stream.limit, request.app.call(message)).await {
            Some(Ok(response)) => response,
            Some(Err(error)) => panic!("{caller}: {name}: the application failed: {error}"),
            None => panic!(
                "{caller}: {name}: the application did not answer within {:?}",
                self.stream.limit
            ),
        }
    }

    /// Reads a body to its end.
    async fn read(&self, mut body: ByteStream, caller: &Location<'_>) -> String {
        let mut bytes = Vec::new();
        let read = poll_fn(|cx| {
            for _ in 0..TURN {
                match ready!(body.as_mut().poll_next(cx)) {
                    Some(Ok(part)) => bytes.extend_from_slice(&part),
                    Some(Err(error)) => return Poll::Ready(Err(error)),
                    None => return Poll::Ready(Ok(())),
                }
            }
            cx.waker().wake_by_ref();
            Poll::Pending
        });
        let read = within(self.stream.limit, read).await;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let failure = match read {
            Some(Ok(())) => return text,
            Some(Err(error)) => format!("failed: {error}"),
            None => format!("has no end within {:?}", self.stream.limit),
        };
        panic!("{caller}: {}: the body {failure}\n{}", self.stream.title, Excerpt(&text));
    }
}

impl Deref for TestClient<'_> {
    type Target = TestStream;

    fn deref(&self) -> &TestStream {
        &self.stream
    }
}

impl DerefMut for TestClient<'_> {
    fn deref_mut(&mut self) -> &mut TestStream {
        &mut self.stream
    }
}

/// Why a browser does not take a response for an event stream (HTML standard, 9.2.2, step 15.3).
fn not_a_stream(status_code: StatusCode, headers: &HeaderMap) -> Option<&'static str> {
    let media_type = headers.get(CONTENT_TYPE).map_or(&b""[..], HeaderValue::as_bytes);
    let media_type = media_type.split(|byte| *byte == b';').next().unwrap_or_default();
    if status_code != StatusCode::OK {
        Some("the response's status is not 200")
    } else if !media_type.trim_ascii().eq_ignore_ascii_case(b"text/event-stream") {
        Some("the response's content type is not text/event-stream")
    } else {
        None
    }
}

/// `None` if it takes longer.
async fn within<F: Future>(limit: Duration, future: F) -> Option<F::Output> {
    let mut limit = Limit::new(limit);
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => limit.poll(cx).map(|()| None),
    })
    .await
}

/// A request that a [`TestClient`] is about to make.
///
/// It has the headers `Host: localhost` and `Accept: text/event-stream`, unless set.
#[must_use = "a request is sent by `connect`"]
pub struct Connect<'a> {
    app: App<'a>,
    method: Method,
    path: String,
    headers: HeaderMap,
    body: Bytes,
    last_event_id: String,
    limit: Duration,
}

impl<'a> Connect<'a> {
    fn new(app: App<'a>, method: Method, path: &str) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(HOST, HeaderValue::from_static("localhost"));
        headers.insert(ACCEPT, HeaderValue::from_static("text/event-stream"));
        Self {
            app,
            method,
            path: path.to_owned(),
            headers,
            body: Bytes::new(),
            last_event_id: String::new(),
            limit: DEFAULT_LIMIT,
        }
    }

    /// Sets a header, in place of one of the same name.
    ///
    /// # Panics
    ///
    /// If name or value are none of a header.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName, Error: fmt::Display>,
        V: TryInto<HeaderValue, Error: fmt::Display>,
    {
        let name = name.try_into().unwrap_or_else(|error| panic!("a header's name: {error}"));
        let value = value.try_into().unwrap_or_else(|error| panic!("the header {name}: {error}"));
        self.headers.insert(name, value);
        self
    }

    /// Adds a cookie to those that the request already has.
    ///
    /// # Panics
    ///
    /// If the cookie is not valid in a header.
    #[track_caller]
    pub fn cookie(self, name: &str, value: &str) -> Self {
        let others = self.headers.get(COOKIE).map(HeaderValue::as_bytes);
        let mut cookies = others.map_or(Vec::new(), |others| [others, b"; "].concat());
        cookies.extend_from_slice(format!("{name}={value}").as_bytes());
        self.header(COOKIE, cookies)
    }

    /// Sets `Authorization: Bearer …`.
    ///
    /// # Panics
    ///
    /// If the token is not valid in a header.
    #[track_caller]
    pub fn bearer(self, token: &str) -> Self {
        self.header(AUTHORIZATION, format!("Bearer {token}"))
    }

    /// Sets the body, with its length. The default is none. A client that reconnects sends it again.
    pub fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self.headers.insert(CONTENT_LENGTH, self.body.len().into());
        self
    }

    /// Where the client left off, as it has said in `Last-Event-ID`: an id, or any text.
    pub fn last_event_id(mut self, id: impl fmt::Display) -> Self {
        self.last_event_id = id.to_string();
        self
    }

    /// How long the client waits for the response, and then for each thing that it expects, in the machine's time. Default:
    /// [5 seconds](DEFAULT_LIMIT).
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// Sends the request, and waits for the head of the response, whatever it is: see [`TestClient::status_code`].
    ///
    /// A response that is not an event stream is read to its end: see [`TestClient::text`].
    ///
    /// # Panics
    ///
    /// If the application does not answer within the [limit](Self::limit), or fails with an error in place of an answer.
    #[track_caller]
    pub fn connect(self) -> impl Future<Output = TestClient<'a>> {
        let caller = Location::caller();
        async move {
            let mut stream = TestStream::unopened();
            stream.limit = self.limit;
            stream.last_event_id.clone_from(&self.last_event_id);
            let mut client = TestClient {
                request: self,
                status_code: StatusCode::OK,
                headers: HeaderMap::new(),
                text: String::new(),
                stream,
            };
            client.open(caller).await;
            client
        }
    }
}

impl fmt::Debug for Connect<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connect")
            .field("method", &self.method)
            .field("path", &self.path)
            .finish_non_exhaustive()
    }
}
