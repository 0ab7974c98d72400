use std::borrow::Cow;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use tidings::{History, Hub, TopicPattern};

use crate::answer::{Answer, Response};
use crate::error::ConsoleError;
use crate::figures::Figures;
use crate::request::Request;
use crate::session::{LIFETIME, LogInError, Token, set_cookie};
use crate::{assets, clients};

/// A console for a hub, which answers requests under its path. A cheap handle: clones are handles to the same console.
///
/// ```
/// use tidings::Hub;
/// use tidings_console::{Answer, Console, Request};
///
/// # async fn example() -> Result<(), tidings_console::ConsoleError> {
/// let console = Console::new(&Hub::new(), "a long random token")?;
/// let Answer::Response(response) = console.respond(Request::new("GET", "/console")).await else {
///     unreachable!("the page is no stream")
/// };
/// assert_eq!(response.status, 200);
/// # Ok(()) }
/// # futures_executor::block_on(example()).unwrap();
/// ```
#[derive(Debug, Clone)]
pub struct Console(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    path: String,
    page: Response,
    token: Token,
    hub: Hub,
    figures: Arc<Figures>,
}

impl Console {
    /// The principal of its streams that read topics, as the registry shows it.
    pub const PRINCIPAL: &'static str = "tidings-console";

    /// How much of a topic's past it shows at most.
    const MOST_EVENTS: usize = 100;

    /// A console at `/console`, for whoever has the token.
    ///
    /// # Errors
    ///
    /// When the token is empty: then everybody would have it.
    pub fn new(hub: &Hub, token: &str) -> Result<Self, ConsoleError> {
        Self::at("/console", hub, token)
    }

    /// A console at another path, such as `/internal/console`.
    ///
    /// # Errors
    ///
    /// When the token is empty, or the path is not valid: it begins with `/`, does not end with it, and has letters, digits,
    /// `-`, `_`, `.` and `/` only.
    pub fn at(path: &str, hub: &Hub, token: &str) -> Result<Self, ConsoleError> {
        let is_plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
        if !path.starts_with('/') || path.ends_with('/') || !path.chars().all(is_plain) {
            return Err(ConsoleError::PATH);
        }
        if token.is_empty() {
            return Err(ConsoleError::TOKEN);
        }
        Ok(Self(Arc::new(Inner {
            path: path.to_owned(),
            page: assets::page(path),
            token: Token::new(token),
            hub: hub.clone(),
            figures: Arc::new(Figures::new(hub)),
        })))
    }

    /// Where it is.
    pub fn path(&self) -> &str {
        &self.0.path
    }

    /// The part of a request's path after the console's own, if it is the console's.
    pub(crate) fn part<'a>(&self, path: &'a str) -> Option<&'a str> {
        let part = path.strip_prefix(self.path())?;
        if part.is_empty() { Some(part) } else { part.strip_prefix('/') }
    }

    /// Answers a request. One to another path is answered with 404.
    pub async fn respond(&self, request: Request<'_>) -> Answer {
        let Some(part) = self.part(request.path) else {
            return Response::refusal(404, "not a page of the console").into();
        };
        if matches!(request.method, "GET" | "HEAD") {
            let file = if part.is_empty() { Some(self.0.page.clone()) } else { assets::file(part) };
            if let Some(file) = file {
                return file.into();
            }
        }
        // Streams and lists are for the page of this origin, too.
        if request.is_foreign() {
            return Response::refusal(403, "requests of other origins are refused").into();
        }
        if request.method != "GET" && !request.is_marked {
            let reason = format!("header `{}` is missing", Request::MARK);
            return Response::refusal(403, &reason).into();
        }
        match (request.method, part) {
            ("POST", "login") => return self.log_in(&request).into(),
            ("POST", "logout") => return self.with_cookie(&request, "", Duration::ZERO).into(),
            _ => {}
        }
        let Some(expiry) = self.0.token.expiry(&request.cookies) else {
            return Response::refusal(401, "log in first").into();
        };
        let hub = &self.0.hub;
        let client = part.strip_prefix("clients/");
        match (request.method, part, client) {
            ("GET", "session", _) => Response::no_content().into(),
            ("GET", "clients", _) => {
                Response::json(&clients::list(hub, &parameter(&request, "search"))).into()
            }
            ("DELETE", _, Some(id)) => clients::close(hub, id).await.into(),
            ("GET", "figures", _) => match self.0.figures.open(&request.resume, expiry) {
                Ok(stream) => Answer::Stream(stream),
                Err(error) => error.into(),
            },
            ("GET", "tail", _) => self.tail(&request, expiry),
            _ => Response::refusal(404, "not a page of the console").into(),
        }
    }

    fn log_in(&self, request: &Request<'_>) -> Response {
        match self.0.token.log_in(request.body) {
            Ok(session) => self.with_cookie(request, &session, LIFETIME),
            Err(LogInError::Wrong) => Response::refusal(401, "token is wrong"),
            Err(LogInError::TooMany) => {
                let refusal = Response::refusal(429, "too many attempts; wait a second");
                refusal.with_header("retry-after", "1")
            }
        }
    }

    fn with_cookie(&self, request: &Request<'_>, value: &str, lifetime: Duration) -> Response {
        // What the browser sees, also behind a proxy that ends TLS. Only the browser itself can say so for its user.
        let is_https = request.origin.is_some_and(|origin| origin.starts_with(b"https://"));
        let cookie = set_cookie(value, self.path(), lifetime, is_https);
        Response::no_content().with_header("set-cookie", cookie)
    }

    /// A stream of a topic, or of all that match a pattern.
    fn tail(&self, request: &Request<'_>, expiry: SystemTime) -> Answer {
        let last = parameter(request, "last").parse().unwrap_or(0).min(Self::MOST_EVENTS);
        let pattern = TopicPattern::new(parameter(request, "topic").into_owned());
        let stream = pattern.map_err(|error| Response::refusal(400, &error.to_string()));
        let stream = match stream {
            Ok(pattern) => request.resume.subscribe_matching(&self.0.hub, pattern),
            Err(refusal) => return refusal.into(),
        };
        let stream = stream.history(History::Last(last)).principal(Self::PRINCIPAL).observer();
        match stream.expires_at(expiry).open() {
            Ok(stream) => Answer::Stream(stream),
            Err(error) => error.into(),
        }
    }
}

/// A parameter of the query; empty if there is none.
fn parameter<'a>(request: &Request<'a>, name: &str) -> Cow<'a, str> {
    let query = request.query.unwrap_or_default().as_bytes();
    form_urlencoded::parse(query)
        .find(|(known, _)| known == name)
        .map_or(Cow::Borrowed(""), |(_, value)| value)
}

#[cfg(test)]
mod tests {
    use futures_util::StreamExt as _;
    use tidings::clock::ManualClock;
    use tidings::presence::Presence;
    use tidings_testkit::limit::within;

    use super::*;
    use crate::session::now;

    fn status(answer: &Answer) -> u16 {
        match answer {
            Answer::Response(response) => response.status,
            Answer::Stream(_) => 200,
        }
    }

    fn respond(console: &Console, request: Request<'_>) -> Answer {
        futures_executor::block_on(console.respond(request))
    }

    #[test]
    fn an_empty_token_is_refused() {
        let error = Console::new(&Hub::new(), "").unwrap_err();
        assert_eq!(error.to_string(), "console token is empty");
    }

    #[test]
    fn a_path_has_nothing_that_would_have_to_be_escaped() {
        for path in ["", "/", "console", "/console/", "/a b", "/{id}", "/a\"b", "/<"] {
            assert_eq!(
                Console::at(path, &Hub::new(), "x").unwrap_err(),
                ConsoleError::PATH,
                "{path}"
            );
        }
    }

    #[test]
    fn it_answers_below_its_path_and_nowhere_else() {
        let console = Console::at("/a/console", &Hub::new(), "x").unwrap();
        for (path, expected) in [
            ("/a/console", 200),
            ("/a/console/", 200),
            ("/a/console/console.js", 200),
            ("/a/console/clients", 401),
            ("/a/consoles", 404),
            ("/a", 404),
            ("/console", 404),
        ] {
            assert_eq!(status(&respond(&console, Request::new("GET", path))), expected, "{path}");
        }
        let Answer::Response(page) = respond(&console, Request::new("GET", "/a/console")) else {
            panic!("the page is no stream")
        };
        assert!(page.body.contains("\"/a/console/console.js\""), "{}", page.body);
        assert!(!page.body.contains("{path}"));
    }

    #[tokio::test]
    async fn its_streams_end_with_the_session() {
        let console = Console::new(&Hub::new(), "s3cret").unwrap();
        let cookie = format!("tidings-console={}", console.0.token.session(now() + 2));
        // Both are opened before it expires.
        let mut streams = Vec::new();
        for target in ["/console/figures", "/console/tail"] {
            let request = Request::new("GET", target).query(Some("topic=a"));
            let answer = console.respond(request.header("cookie", cookie.as_bytes())).await;
            let Answer::Stream(stream) = answer else { panic!("{answer:?}") };
            streams.push(stream);
        }
        for mut stream in streams {
            let mut last = Vec::new();
            while let Some(bytes) = within("the end", stream.next()).await {
                last = bytes.expect("an orderly end").to_vec();
            }
            let last = String::from_utf8(last).unwrap();
            assert!(
                last.contains("event: tidings:end\n") && last.contains("\"expired\""),
                "{last}"
            );
        }
    }

    #[tokio::test]
    async fn whoever_reads_a_topic_along_is_not_in_the_room() {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(&clock).presence("room/*", Presence::default()).unwrap();
        let hub = hub.streams_per_topic(1).build();
        let comings = hub.subscribe("presence/room/1").status(false);
        let mut comings = comings.open().unwrap().into_messages();
        let console = Console::new(&hub, "s3cret").unwrap();
        let cookie = format!("tidings-console={}", console.0.token.session(now() + 3600));
        let request = Request::new("GET", "/console/tail").query(Some("topic=room/1"));
        let answer = console.respond(request.header("cookie", cookie.as_bytes())).await;
        let Answer::Stream(_tail) = answer else { panic!("{answer:?}") };
        assert_eq!(hub.clients().count_of_principal(Console::PRINCIPAL), 1);
        clock.advance(Duration::from_secs(60));
        let present = within("who is there", hub.presence("room/1")).await.unwrap();
        assert!(present.is_empty(), "{present:?}");
        assert_eq!(hub.metrics().events, 0);
        // A user is, and finds the only place free.
        let _ada = hub.subscribe("room/1").principal("ada").open().unwrap();
        clock.advance(Duration::from_millis(1));
        let first = within("who has come", comings.next()).await.unwrap().unwrap();
        assert!(first.data().contains("\"ada\""), "{first:?}");
    }

    #[test]
    fn neither_token_nor_session_is_shown() {
        let console = Console::new(&Hub::new(), "s3cret").unwrap();
        let request = Request::new("POST", "/console/login").body(b"s3cret");
        let shown = format!("{console:?} {request:?}");
        assert!(!shown.contains("s3cret"), "{shown}");
    }
}
