use tidings_testkit::process::Process;
use tidings_testkit::wire::{Ending, Request, Response};
use tidings_tests::example::{ask, follow};

use super::{next, next_json, post_form, resume, start};

async fn log_in(server: &Process, user: &str, password: &str) -> String {
    let form = format!("user={user}&password={password}");
    let response = ask(server, post_form("/login", &form)).await;
    assert_eq!(response.status(), 204, "{}", response.text());
    let cookie = response.header("set-cookie").expect("a cookie");
    cookie.split(';').next().expect("a first part").to_owned()
}

fn events(user: &str) -> Request {
    Request::get(&format!("/events/{user}"))
}

#[tokio::test]
async fn a_user_gets_their_own_notifications_in_every_session() {
    let server = start("notifications").await;
    for request in [events("ada"), Request::get("/me"), post_form("/notify/ada", "text=x")] {
        assert_eq!(ask(&server, request).await.status(), 401);
    }
    let ada = log_in(&server, "ada", "engine").await;
    let grace = log_in(&server, "grace", "compiler").await;
    let (mut of_ada, _) = follow(&server, events("ada").header("cookie", &ada)).await;
    let (mut of_grace, _) = follow(&server, events("grace").header("cookie", &grace)).await;

    let notify = |user: &str, text: &str| {
        post_form(&format!("/notify/{user}"), &format!("text={text}")).header("cookie", &grace)
    };
    ask(&server, notify("ada", "one")).await;
    ask(&server, notify("grace", "two")).await;
    assert_eq!(ask(&server, notify("bob", "three")).await.status(), 404);
    let one = next(&mut of_ada, "notification").await;
    assert_eq!(one.data(), r#"{"from":"grace","text":"one"}"#);
    let two = next_json(&mut of_grace, "notification").await;
    assert_eq!(two["text"], "two");

    // Read in one session, and so in the other; also for a page that is opened later.
    let read = post_form("/read", &format!("id={}", one.last_event_id())).header("cookie", &ada);
    ask(&server, read).await;
    assert_eq!(next_json(&mut of_ada, "read").await, one.last_event_id());
    let phone = log_in(&server, "ada", "engine").await;
    let (mut on_phone, _) = follow(&server, events("ada").header("cookie", &phone)).await;
    assert_eq!(next_json(&mut on_phone, "notification").await["text"], "one");
    next(&mut on_phone, "read").await;
}

#[tokio::test]
async fn nobody_pushes_notifications_out() {
    let server = start("notifications").await;
    let ada = log_in(&server, "ada", "engine").await;
    let post = |target: &str, form: &str| post_form(target, form).header("cookie", &ada);
    ask(&server, post("/notify/ada", "text=one")).await;
    let long = format!("text={}", "x".repeat(5_000));
    assert_eq!(ask(&server, post("/notify/ada", &long)).await.status(), 413);
    // As many as the stream begins with.
    for _ in 0..50 {
        assert_eq!(ask(&server, post("/read", "id=none")).await.status(), 204);
    }
    let (mut page, _) = follow(&server, events("ada").header("cookie", &ada)).await;
    assert_eq!(page.next_message().await.event(), "notification");
    assert_eq!(page.next_message().await.event(), "read");
}

#[tokio::test]
async fn a_logout_ends_the_stream_and_the_session_and_no_other() {
    let server = start("notifications").await;
    let [out, stays] =
        [log_in(&server, "ada", "engine").await, log_in(&server, "ada", "engine").await];
    let events = |cookie: &str| events("ada").header("cookie", cookie);
    let (mut ended, _) = follow(&server, events(&out)).await;
    let (mut other, _) = follow(&server, events(&stays)).await;
    ask(&server, post_form("/logout", "").header("cookie", &out)).await;
    assert_eq!(ended.read_to_end().await, Ending::Whole);
    assert_eq!(Response::to(server.addr(), events(&out)).await.status(), 401);
    assert_eq!(other.read_to_end().await, Ending::Whole);
    assert_eq!(resume(&server, events(&stays), &other).await.status(), 200);
}

#[tokio::test]
async fn a_page_of_one_user_does_not_go_on_as_another() {
    let server = start("notifications").await;
    let ada = log_in(&server, "ada", "engine").await;
    let grace = log_in(&server, "grace", "compiler").await;
    let (mut page, _) = follow(&server, events("ada").header("cookie", &ada)).await;
    let notify = post_form("/notify/ada", "text=one").header("cookie", &ada);
    ask(&server, notify).await;
    next(&mut page, "notification").await;
    // Grace logs in, in the same browser, and the page comes back with her cookie.
    let refused = resume(&server, events("ada").header("cookie", &grace), &page).await;
    assert_eq!(refused.status(), 401);
    let resumed = resume(&server, events("ada").header("cookie", &ada), &page).await;
    assert_eq!(resumed.status(), 200);
}
