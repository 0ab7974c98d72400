//! What the event streams of every authentication example do. Each example has this file as a module of its tests, and
//! `test_app` beside it, which makes its application. No socket is needed: `tests/tests/auth.rs` tests the programs.

use std::time::Duration;

use tidings_test::Status::{Fresh, Resumed};
use tidings_test::{App, Connect, TestClient};

use super::test_app;

const ADA: &str = "access-of-ada";
const GRACE: &str = "access-of-grace";

fn events(app: &App<'static>) -> Connect<'static> {
    TestClient::get(app, "/events")
}

fn post(app: &App<'static>, path: &str, form: &'static str) -> Connect<'static> {
    TestClient::post(app, path)
        .header("content-type", "application/x-www-form-urlencoded")
        .body(form)
}

/// Grace publishes to a user, or with `/news` to all users.
async fn publish(app: &App<'static>, path: &str, form: &'static str) {
    let published = post(app, path, form).bearer(GRACE).connect().await;
    assert_eq!(published.status_code(), 200, "{}", published.text());
}

#[track_caller]
fn assert_text(message: &tidings_test::Message, text: &str) {
    assert_eq!(message.data(), format!(r#"{{"from":"grace","text":"{text}"}}"#));
}

/// Logs in, and returns the value of the cookie.
async fn session_of_ada(app: &App<'static>) -> String {
    let login = post(app, "/login", "user=ada&password=engine").connect().await;
    let cookie = login.header("set-cookie").expect("a cookie");
    let value = cookie.strip_prefix("session=").and_then(|rest| rest.split(';').next());
    value.expect("a session").to_owned()
}

/// There is no stream, not even of a client that was refused.
async fn assert_no_streams(app: &App<'static>, case: &str) {
    let streams = TestClient::get(app, "/streams").bearer(GRACE).connect().await;
    assert_eq!(streams.text(), r#"{"yours":0,"all":0}"#, "{case}");
}

async fn query_token(app: &App<'static>) -> String {
    let token = post(app, "/token", "").bearer(ADA).connect().await;
    // {"token":"…","expires_in":30}
    token.text().split('"').nth(3).expect("a token").to_owned()
}

/// A client follows, is cut, misses two events, and comes back for them with the same credentials.
async fn opens_and_resumes(app: &App<'static>, request: Connect<'static>) {
    let mut client = request.connect().await;
    client.expect_status(Fresh).await;
    publish(app, "/notify/ada", "text=one").await;
    assert_text(&client.expect("notification").await, "one");
    client.disconnect();

    publish(app, "/news", "text=two").await;
    publish(app, "/notify/grace", "text=not-for-ada").await;
    publish(app, "/notify/ada", "text=three").await;
    client.reconnect().await;
    client.expect_status(Resumed).await;
    assert_text(&client.expect("notification").await, "two");
    assert_text(&client.expect("notification").await, "three");
    client.expect_silence(Duration::ZERO).await;
}

#[tokio::test]
async fn a_session_cookie_opens_the_stream_and_resumes_it() {
    let app = test_app().await;
    let session = session_of_ada(&app).await;
    // Among other cookies, as an application has them.
    let request = events(&app).cookie("theme", "dark").cookie("session", &session);
    opens_and_resumes(&app, request.cookie("consent", "1")).await;
}

#[tokio::test]
async fn an_access_token_opens_the_stream_and_resumes_it() {
    let app = test_app().await;
    opens_and_resumes(&app, events(&app).bearer(ADA)).await;
}

#[tokio::test]
async fn a_query_token_opens_the_stream_and_resumes_it() {
    let app = test_app().await;
    let path = format!("/events?token={}", query_token(&app).await);
    opens_and_resumes(&app, TestClient::get(&app, &path)).await;
}

#[tokio::test]
async fn a_query_token_resumes_by_the_query_where_the_client_cannot_set_headers() {
    let app = test_app().await;
    let path = format!("/events?token={}", query_token(&app).await);
    let mut client = TestClient::get(&app, &path).connect().await;
    client.disconnect();
    publish(&app, "/notify/ada", "text=missed").await;
    // A new EventSource with a new token, after the old one has expired.
    let (token, id) = (query_token(&app).await, client.last_event_id());
    let path = format!("/events?token={token}&lastEventId={id}");
    let mut client = TestClient::get(&app, &path).connect().await;
    client.expect_status(Resumed).await;
    assert_text(&client.expect("notification").await, "missed");
}

#[tokio::test]
async fn bad_credentials_are_401_before_there_is_a_stream() {
    let app = test_app().await;
    let session = session_of_ada(&app).await;
    let token = query_token(&app).await;
    let get = |path: &str| TestClient::get(&app, path);
    for (case, request) in [
        ("nothing", events(&app)),
        ("a topic that all may see", get("/events?topic=news")),
        ("another cookie", events(&app).cookie("theme", "dark")),
        ("an empty session", events(&app).cookie("session", "")),
        ("a wrong session", events(&app).cookie("session", &"0".repeat(64))),
        ("cookies that are not text", events(&app).header("cookie", &b"session=\xff\xfe"[..])),
        ("no token", events(&app).header("authorization", "Bearer")),
        ("an empty token", events(&app).bearer("")),
        ("a wrong token", events(&app).bearer("access-of-bob")),
        ("a token that is not text", events(&app).header("authorization", &b"Bearer \xff\xfe"[..])),
        ("another scheme", events(&app).header("authorization", "Basic YWRhOmVuZ2luZQ==")),
        ("an empty query token", get("/events?token=")),
        ("a wrong query token", get("/events?token=0")),
        ("a query token that is not text", get("/events?token=%ff%00")),
        ("an access token in the query", get("/events?token=access-of-ada")),
        ("a session in the query", get(&format!("/events?token={session}"))),
        ("a session as access token", events(&app).bearer(&session)),
        ("a query token as session", events(&app).cookie("session", &token)),
        ("a query token as access token", events(&app).bearer(&token)),
        (
            "a wrong token beside a good cookie",
            events(&app).bearer("x").cookie("session", &session),
        ),
        ("a wrong query token beside it", get("/events?token=x").cookie("session", &session)),
    ] {
        // As a client that reconnects would.
        let client = request.last_event_id("0-0").connect().await;
        assert_eq!(client.status_code(), 401, "{case}: {}", client.text());
        assert!(client.text().starts_with(r#"{"error":""#), "{case}: {}", client.text());
        assert!(client.header("www-authenticate").is_some(), "{case}");
        assert_no_streams(&app, case).await;
    }
}

#[tokio::test]
async fn the_topic_of_another_user_is_403_before_there_is_a_stream() {
    let app = test_app().await;
    for topics in [
        "topic=user:grace",
        "topic=user%3Agrace",
        "topic=news&topic=user:ada&topic=user:grace",
        "topic=user:*",
        "topic=*",
        "topic=",
        "topic=USER:ada",
        "topic=no-such-topic",
        "topic=two+words",
    ] {
        let path = format!("/events?{topics}");
        let client = TestClient::get(&app, &path).bearer(ADA).connect().await;
        assert_eq!(client.status_code(), 403, "{topics}: {}", client.text());
        assert!(client.text().starts_with(r#"{"error":""#), "{topics}: {}", client.text());
        assert_eq!(client.header("www-authenticate"), None);
        assert_no_streams(&app, topics).await;
    }
}

#[tokio::test]
async fn a_stream_can_be_of_some_of_the_topics() {
    let app = test_app().await;
    let mut news = TestClient::get(&app, "/events?topic=news").bearer(ADA).connect().await;
    let mut own = TestClient::get(&app, "/events?topic=user%3Aada").bearer(ADA).connect().await;
    publish(&app, "/notify/ada", "text=own").await;
    publish(&app, "/news", "text=news").await;
    publish(&app, "/notify/ada", "text=own-again").await;
    assert_text(&news.expect("notification").await, "news");
    assert_text(&own.expect("notification").await, "own");
    assert_text(&own.expect("notification").await, "own-again");
}

#[tokio::test]
async fn an_id_of_another_user_gives_none_of_their_events() {
    let app = test_app().await;
    let mut grace = events(&app).bearer(GRACE).connect().await;
    grace.expect_status(Fresh).await;
    publish(&app, "/notify/grace", "text=for-grace").await;
    publish(&app, "/notify/ada", "text=for-ada").await;
    let stolen = events(&app).bearer(ADA).last_event_id(grace.last_event_id());
    let mut ada = stolen.connect().await;
    assert_text(&ada.expect("notification").await, "for-ada");
    ada.expect_silence(Duration::ZERO).await;
}

#[tokio::test]
async fn logout_ends_the_stream_which_is_then_refused() {
    let app = test_app().await;
    let session = session_of_ada(&app).await;
    let mut client = events(&app).cookie("session", &session).connect().await;
    let mut grace = events(&app).bearer(GRACE).connect().await;
    let logout = post(&app, "/logout", "").cookie("session", &session).connect().await;
    assert_eq!(logout.status_code(), 204);
    // In an orderly way, so that browsers connect again, and are told.
    client.expect_end().await;
    client.reconnect().await;
    assert_eq!(client.status_code(), 401);
    grace.expect_silence(Duration::ZERO).await;
}
