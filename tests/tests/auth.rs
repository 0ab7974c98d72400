//! The interface of the authentication examples, as programs. `examples/auth/stream_tests.rs` has the tests that need no
//! socket.

use std::time::Duration;

use serde_json::Value;
use tidings::Message;
use tidings_testkit::limit::within;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tidings_tests::example::{ask, follow, json};
use tidings_tests::on_every_framework;

on_every_framework! { "auth";
    the_greeting_names_the_framework_and_the_address
    the_session_cookie_is_kept_from_scripts_and_other_sites
    a_wrong_password_is_401_and_sets_no_cookie
    a_query_token_is_valid_for_the_stream_only
    an_expired_query_token_is_refused_while_its_stream_stays_open
    events_of_another_user_never_arrive
    logout_ends_open_streams_and_revokes_the_credentials
    logout_does_not_affect_other_users_and_sessions
    an_allowed_origin_is_named_with_credentials
    a_refusal_can_be_read_by_an_allowed_origin
    a_preflight_of_an_allowed_origin_passes
    a_preflight_of_another_origin_does_not_pass
    a_preflight_for_other_headers_or_methods_does_not_pass
    another_origin_is_not_allowed_to_read
    without_the_flag_no_other_origin_is_allowed
    a_page_of_the_server_itself_may_post
    a_star_is_not_an_origin
}

const PAGE: &str = "https://app.example";
const OTHER_PAGE: &str = "http://localhost:8080";
const STRANGER: &str = "https://app.example.evil.example";

const AS_ADA: &str = "Bearer access-of-ada";
const AS_GRACE: &str = "Bearer access-of-grace";

async fn start(package: &str) -> Process {
    Process::start(package).await
}

async fn start_with_origins(package: &str) -> Process {
    let flags = ["--listen", ANY_PORT, "--allow-origin", PAGE, "--allow-origin", OTHER_PAGE];
    Process::start_with(package, &flags).await
}

fn post(target: &str, form: &str) -> Request {
    Request::post(target, form).header("content-type", "application/x-www-form-urlencoded")
}

/// Logs in, and returns the cookie as a browser sends it.
async fn log_in(server: &Process, user: &str, password: &str) -> String {
    let form = format!("user={user}&password={password}");
    let response = ask(server, post("/login", &form)).await;
    assert_eq!(response.status(), 204, "{}", response.text());
    let cookie = response.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a first part").to_owned()
}

async fn log_in_as_ada(server: &Process) -> String {
    log_in(server, "ada", "engine").await
}

/// Asks for a query token.
async fn query_token(server: &Process, authorization: &str) -> String {
    let request = post("/token", "").header("authorization", authorization);
    let response = ask(server, request).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert_eq!(response.header("cache-control"), Some("no-store"));
    json(&response)["token"].as_str().expect("a text").to_owned()
}

fn as_user(authorization: &str) -> Request {
    Request::get("/events").header("authorization", authorization)
}

/// Publishes to a user, or with `/news` to all users.
async fn publish(server: &Process, target: &str, text: &str) {
    let request = post(target, &format!("text={text}")).header("authorization", AS_GRACE);
    let response = ask(server, request).await;
    assert_eq!(response.status(), 200, "{}", response.text());
    assert!(json(&response)["id"].is_string());
}

/// The number of open streams of all users.
async fn streams(server: &Process) -> u64 {
    let request = Request::get("/streams").header("authorization", AS_GRACE);
    json(&ask(server, request).await)["all"].as_u64().expect("a number")
}

/// Waits until the server has noticed that all streams have ended.
async fn nobody_is_left(server: &Process) {
    let noticed = async { while streams(server).await > 0 {} };
    within("no stream is left", noticed).await;
}

#[track_caller]
fn text(message: &Message) -> String {
    assert_eq!(message.event(), "notification");
    let data: Value = serde_json::from_str(message.data()).expect("JSON");
    data["text"].as_str().expect("a text").to_owned()
}

async fn next_text(stream: &mut Response) -> String {
    text(&stream.next_message().await)
}

/// Asserts that a response is a complete refusal.
#[track_caller]
fn assert_refused(response: &Response, status: u16) {
    assert_eq!(response.status(), status, "{}", response.text());
    assert!(json(response)["error"].is_string());
    assert_eq!(response.header("www-authenticate").is_some(), status == 401);
}

async fn the_greeting_names_the_framework_and_the_address(package: &str) {
    let server = start(package).await;
    let framework = package.trim_start_matches("auth-");
    let expected = format!("Tidings auth example on {framework}: http://{}/", server.addr());
    assert_eq!(server.greeting(), expected);
}

async fn the_session_cookie_is_kept_from_scripts_and_other_sites(package: &str) {
    let server = start(package).await;
    let response = ask(&server, post("/login", "user=ada&password=engine")).await;
    let cookie = response.header("set-cookie").expect("a cookie");
    let (session, attributes) = cookie.split_once("; ").expect("attributes");
    assert_eq!(session.len(), "session=".len() + 64);
    assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    assert!(response.text().is_empty(), "the cookie is not in the body");
}

async fn a_wrong_password_is_401_and_sets_no_cookie(package: &str) {
    let server = start(package).await;
    for form in ["user=ada&password=compiler", "user=bob&password=engine", "user=&password="] {
        let response = ask(&server, post("/login", form)).await;
        assert_refused(&response, 401);
        assert_eq!(response.header("set-cookie"), None);
        assert!(response.text().contains("user or password is wrong"), "{}", response.text());
    }
}

async fn a_query_token_is_valid_for_the_stream_only(package: &str) {
    let server = start(package).await;
    let token = query_token(&server, AS_ADA).await;
    for request in [
        post(&format!("/token?token={token}"), ""),
        post(&format!("/logout?token={token}"), ""),
        post(&format!("/notify/grace?token={token}"), "text=x"),
        post(&format!("/news?token={token}"), "text=x"),
        Request::get(&format!("/streams?token={token}")),
    ] {
        assert_refused(&ask(&server, request).await, 401);
    }
}

async fn an_expired_query_token_is_refused_while_its_stream_stays_open(package: &str) {
    let flags = ["--listen", ANY_PORT, "--token-lifetime", "3"];
    let server = Process::start_with(package, &flags).await;
    let token = query_token(&server, AS_ADA).await;
    let request = Request::get(&format!("/events?token={token}"));
    let (mut stream, _) = follow(&server, request.clone()).await;
    // It may be used again until it expires, as at a reconnect.
    let refused = async {
        let mut again = tokio::time::interval(Duration::from_millis(50));
        loop {
            again.tick().await;
            let mut response = Response::to(server.addr(), request.clone()).await;
            match response.status() {
                200 => response.reset(),
                _ => {
                    response.read_to_end().await;
                    return response;
                }
            }
        }
    };
    assert_refused(&within("the end of the token", refused).await, 401);
    publish(&server, "/notify/ada", "still here").await;
    assert_eq!(next_text(&mut stream).await, "still here");
}

async fn events_of_another_user_never_arrive(package: &str) {
    const EVENTS: usize = 300;

    async fn publish_many(server: &Process, user: &str) {
        let mut connection = Connection::open(server.addr()).await;
        for n in 0..EVENTS {
            let request = post(&format!("/notify/{user}"), &format!("text={user}-{n}"));
            let mut response = connection.send(&request.header("authorization", AS_GRACE)).await;
            assert_eq!(response.read_to_end().await, Ending::Whole);
            assert_eq!(response.status(), 200);
            connection = response.into_connection();
        }
    }

    let server = start(package).await;
    let (mut ada, _) = follow(&server, as_user(AS_ADA)).await;
    let (mut grace, _) = follow(&server, as_user(AS_GRACE)).await;
    tokio::join!(publish_many(&server, "ada"), publish_many(&server, "grace"));
    // The last event, for both.
    publish(&server, "/news", "end").await;
    for (user, stream) in [("ada", &mut ada), ("grace", &mut grace)] {
        let messages = stream.read_messages(1 + EVENTS + 1).await;
        let received: Vec<_> = messages[1..].iter().map(text).collect();
        let own = (0..EVENTS).map(|n| format!("{user}-{n}"));
        assert_eq!(received, own.chain(["end".to_owned()]).collect::<Vec<_>>());
    }
}

async fn logout_ends_open_streams_and_revokes_the_credentials(package: &str) {
    let server = start(package).await;
    let cookie = log_in_as_ada(&server).await;
    let with_cookie = || Request::get("/events").header("cookie", &cookie);
    let request = post("/token", "").header("cookie", &cookie);
    let token = json(&ask(&server, request).await)["token"].as_str().expect("text").to_owned();
    let with_token = || Request::get(&format!("/events?token={token}"));

    let (mut one, _) = follow(&server, with_cookie()).await;
    let (mut two, _) = follow(&server, with_token()).await;
    let response = ask(&server, post("/logout", "").header("cookie", &cookie)).await;
    assert_eq!(response.status(), 204);
    let removed = response.header("set-cookie").expect("a cookie");
    assert!(removed.starts_with("session=; ") && removed.contains("Max-Age=0"), "{removed}");
    for stream in [&mut one, &mut two] {
        // In an orderly way, and so at once.
        assert_eq!(stream.read_to_end().await, Ending::Whole);
    }
    for request in [with_cookie(), with_token()] {
        let request = request.header("last-event-id", one.last_event_id());
        assert_refused(&ask(&server, request).await, 401);
    }
    assert_refused(&ask(&server, post("/token", "").header("cookie", &cookie)).await, 401);
    assert_refused(&ask(&server, post("/logout", "").header("cookie", &cookie)).await, 401);
    nobody_is_left(&server).await;
}

async fn logout_does_not_affect_other_users_and_sessions(package: &str) {
    let server = start(package).await;
    let cookie = log_in_as_ada(&server).await;
    let other_cookie = log_in_as_ada(&server).await;
    assert_ne!(cookie, other_cookie);
    let with_other = || Request::get("/events").header("cookie", &other_cookie);
    let (mut other, _) = follow(&server, with_other()).await;
    let (mut grace, _) = follow(&server, as_user(AS_GRACE)).await;
    ask(&server, post("/logout", "").header("cookie", &cookie)).await;

    // The stream ends, because it is the same user's. What it misses meanwhile comes at the reconnect.
    assert_eq!(other.read_to_end().await, Ending::Whole);
    publish(&server, "/news", "meanwhile").await;
    let request = with_other().header("last-event-id", other.last_event_id());
    let (mut other, status) = follow(&server, request).await;
    assert_eq!(status["status"], "resumed");
    assert_eq!(next_text(&mut other).await, "meanwhile");
    assert_eq!(next_text(&mut grace).await, "meanwhile");
}

/// Asserts that only this origin may read a response.
#[track_caller]
fn assert_allowed(response: &Response, origin: &str) {
    assert_eq!(response.header("access-control-allow-origin"), Some(origin));
    assert_eq!(response.header("access-control-allow-credentials"), Some("true"));
    assert_varies(response);
}

/// Asserts that no other origin may read a response.
#[track_caller]
fn assert_not_allowed(response: &Response) {
    assert_eq!(response.header("access-control-allow-origin"), None);
    assert_varies(response);
}

/// Asserts that caches know that the answer depends on the origin, and that no header says `*`, which browsers treat
/// as a name when there are credentials.
#[track_caller]
fn assert_varies(response: &Response) {
    let values = |wanted: &str| -> Vec<String> {
        let headers = response.headers().iter().filter(|(name, _)| name.starts_with(wanted));
        headers.map(|(_, value)| String::from_utf8_lossy(value).to_lowercase()).collect()
    };
    assert!(values("vary").iter().any(|value| value.contains("origin")), "{response:?}");
    assert!(!values("access-control-").iter().any(|value| value.contains('*')), "{response:?}");
}

async fn an_allowed_origin_is_named_with_credentials(package: &str) {
    let server = start_with_origins(package).await;
    let cookie = log_in_as_ada(&server).await;
    for origin in [PAGE, OTHER_PAGE] {
        let request = Request::get("/events").header("cookie", &cookie).header("origin", origin);
        let (mut stream, _) = follow(&server, request).await;
        assert_allowed(&stream, origin);
        publish(&server, "/notify/ada", "hello").await;
        assert_eq!(next_text(&mut stream).await, "hello");
    }
}

async fn a_refusal_can_be_read_by_an_allowed_origin(package: &str) {
    let server = start_with_origins(package).await;
    let response = ask(&server, Request::get("/events").header("origin", PAGE)).await;
    assert_refused(&response, 401);
    assert_allowed(&response, PAGE);
    let request = Request::get("/events?topic=user:grace").header("authorization", AS_ADA);
    let response = ask(&server, request.header("origin", PAGE)).await;
    assert_refused(&response, 403);
    assert_allowed(&response, PAGE);
}

fn preflight(target: &str, origin: &str, method: &str, headers: &str) -> Request {
    let request = Request::new("OPTIONS", target)
        .header("origin", origin)
        .header("access-control-request-method", method);
    match headers {
        "" => request,
        _ => request.header("access-control-request-headers", headers),
    }
}

/// Whether a browser would send the request after this answer to its preflight.
fn passes(response: &Response, origin: &str, method: &str, headers: &str) -> bool {
    let list = |name: &str| -> Vec<String> {
        let list = response.header(name).unwrap_or_default().split(',');
        list.map(|item| item.trim().to_ascii_lowercase()).collect()
    };
    let allowed = list("access-control-allow-headers");
    (200..300).contains(&response.status())
        && response.header("access-control-allow-origin") == Some(origin)
        && response.header("access-control-allow-credentials") == Some("true")
        // These need no permission.
        && (["GET", "POST"].contains(&method)
            || list("access-control-allow-methods").contains(&method.to_ascii_lowercase()))
        && headers.split(',').all(|header| header.is_empty() || allowed.contains(&header.into()))
}

/// The headers of a page that reads the stream with `fetch` and resumes.
const FETCH: &str = "authorization,last-event-id";

async fn a_preflight_of_an_allowed_origin_passes(package: &str) {
    let server = start_with_origins(package).await;
    for origin in [PAGE, OTHER_PAGE] {
        for (target, method, headers) in [
            ("/events", "GET", FETCH),
            ("/events?topic=news", "GET", "last-event-id"),
            ("/events", "GET", "authorization"),
            ("/notify/ada", "POST", "authorization"),
            ("/token", "POST", "authorization"),
        ] {
            let response = ask(&server, preflight(target, origin, method, headers)).await;
            assert!(passes(&response, origin, method, headers), "{target}: {response:?}");
            assert_allowed(&response, origin);
        }
    }
    assert_eq!(streams(&server).await, 0);
}

async fn a_preflight_of_another_origin_does_not_pass(package: &str) {
    let server = start_with_origins(package).await;
    for origin in [STRANGER, "http://app.example", "https://app.example:8443", "null"] {
        let response = ask(&server, preflight("/events", origin, "GET", FETCH)).await;
        assert!(!passes(&response, origin, "GET", FETCH), "{origin}: {response:?}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

async fn a_preflight_for_other_headers_or_methods_does_not_pass(package: &str) {
    let server = start_with_origins(package).await;
    for (method, headers) in [("GET", "x-other"), ("GET", "last-event-id,x-other"), ("DELETE", "")]
    {
        let response = ask(&server, preflight("/events", PAGE, method, headers)).await;
        assert!(!passes(&response, PAGE, method, headers), "{method} {headers}: {response:?}");
    }
}

async fn another_origin_is_not_allowed_to_read(package: &str) {
    let server = start_with_origins(package).await;
    for request in [
        Request::get("/streams").header("authorization", AS_ADA),
        Request::get("/events"),
        Request::get("/events?topic=user:grace").header("authorization", AS_ADA),
    ] {
        assert_not_allowed(&ask(&server, request.header("origin", STRANGER)).await);
    }
    // Some frameworks send the stream anyway, and the browser hides it from the page.
    let response = Response::to(server.addr(), as_user(AS_ADA).header("origin", STRANGER)).await;
    assert_not_allowed(&response);
}

async fn without_the_flag_no_other_origin_is_allowed(package: &str) {
    let server = start(package).await;
    for origin in [PAGE, "null"] {
        let request = Request::get("/streams").header("authorization", AS_ADA);
        assert_not_allowed(&ask(&server, request.header("origin", origin)).await);
        let response = ask(&server, preflight("/events", origin, "GET", FETCH)).await;
        assert!(!passes(&response, origin, "GET", FETCH), "{response:?}");
        assert_eq!(response.header("access-control-allow-origin"), None);
    }
}

async fn a_page_of_the_server_itself_may_post(package: &str) {
    let server = start(package).await;
    let origin = format!("http://{}", server.addr());
    let request = post("/notify/ada", "text=hello").header("authorization", AS_ADA);
    assert_eq!(ask(&server, request.header("origin", origin)).await.status(), 200);
}

async fn a_star_is_not_an_origin(package: &str) {
    for origin in ["*", "null", "https://app.example/"] {
        let flags = ["--listen", ANY_PORT, "--allow-origin", origin];
        let output = Process::run(package, &flags).await;
        assert!(!output.status.success());
        let complaint = String::from_utf8_lossy(&output.stderr);
        assert!(complaint.contains("an origin is like https://app.example"), "{complaint}");
    }
}
