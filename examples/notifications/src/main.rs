//! The notifications of each user, on axum: in all their tabs, and read in all of them at once.
//!
//! `examples/auth` has the users, their sessions and what they may see. Here are notifications that are kept, and a page. Log in
//! as `ada` with `engine`, or as `grace` with `compiler`.
//!
//! The page is checked against the enum of its events: `web/topics.ts` has their types, and `tsc --project web` reads
//! `web/page.js` with them. A test fails when the file is out of date.

use std::{error::Error, sync::Arc, time::Duration};

use auth_example::accounts::{Accounts, Caller, Credentials, SESSION_COOKIE};
use auth_example::refusal::Refusal;
use auth_example::users;
use axum::Router;
use axum::extract::{DefaultBodyLimit, Form, FromRequestParts, Path, State};
use axum::http::{StatusCode, header, request::Parts};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use axum_extra::extract::CookieJar;
use serde::{Deserialize, Serialize};
use tidings::EventKey;
use tidings::error::FieldError;
use tidings_axum::{Event, History, Hub, Retention, Sse, SseRequest};
use ts_rs::TS;

const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

/// Room for the 400 characters that the page allows in a text, with up to nine bytes for each.
const MAX_FORM_BYTES: usize = 4 * 1024;

#[derive(Clone)]
struct App {
    hub: Hub,
    accounts: Arc<Accounts>,
}

/// What a user is told.
#[derive(Serialize, TS)]
#[serde(rename_all = "camelCase")]
enum Notice<'a> {
    Notification {
        from: &'a str,
        text: &'a str,
    },
    /// The user has read everything up to the event with this id, in some tab.
    Read(&'a str),
}

#[derive(Deserialize)]
struct Login {
    user: String,
    password: String,
}

#[derive(Deserialize)]
struct Message {
    text: String,
}

#[derive(Deserialize)]
struct Read {
    id: String,
}

/// The stream of a user, who must be the session's: a page that comes back when somebody else is logged in does not go on with
/// their events.
async fn events(
    State(app): State<App>,
    User(caller): User,
    Path(user): Path<String>,
    request: SseRequest,
) -> Result<Sse, Refused> {
    if user != caller.user.id() {
        return Err(Refusal::Unknown.into());
    }
    let subscribe = request.subscribe(&app.hub, caller.user.topic()).principal(caller.user);
    let stream = subscribe.history(History::Last(50)).open()?;
    // A logout in between did not end this stream.
    app.accounts.confirm(caller)?;
    Ok(stream.into())
}

async fn notify(
    State(app): State<App>,
    User(caller): User,
    Path(user): Path<String>,
    Form(Message { text }): Form<Message>,
) -> Result<StatusCode, Refused> {
    let user = users::by_id(&user).ok_or(Refusal::NoUser(user))?;
    let notice = Notice::Notification { from: caller.user.id(), text: &text };
    app.hub.publish(user.topic(), Event::typed(&notice)?).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn read(
    State(app): State<App>,
    User(caller): User,
    Form(Read { id }): Form<Read>,
) -> Result<StatusCode, Refused> {
    let key = EventKey::new("read").map_err(Refusal::internal)?;
    let notice = Event::typed(&Notice::Read(&id))?.with_key(key);
    app.hub.publish(caller.user.topic(), notice).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn log_in(
    State(app): State<App>,
    Form(Login { user, password }): Form<Login>,
) -> Result<impl IntoResponse, Refused> {
    let (_, cookie) = app.accounts.log_in(&user, &password)?;
    Ok((StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)]))
}

/// All streams of the user end. Those of other sessions come back at once.
async fn log_out(State(app): State<App>, User(caller): User) -> impl IntoResponse {
    let cookie = app.accounts.log_out(caller);
    app.hub.clients().close_principal(caller.user.id());
    (StatusCode::NO_CONTENT, [(header::SET_COOKIE, cookie)])
}

/// Who is logged in.
async fn me(User(caller): User) -> &'static str {
    caller.user.id()
}

/// The user of the request's session. Others are answered with 401, and the handler is not called.
struct User(Caller);

impl FromRequestParts<App> for User {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let jar = CookieJar::from_headers(&parts.headers);
        let session = jar.get(SESSION_COOKIE).map(|cookie| cookie.value());
        let credentials = Credentials { session, authorization: None };
        Ok(Self(app.accounts.caller(credentials)?))
    }
}

struct Refused(Refusal);

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(refusal: E) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status());
        (status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), self.0.to_string()).into_response()
    }
}

fn hub() -> Result<Hub, FieldError> {
    // Whatever somebody writes, and however often a user has read everything, this keeps their last 199 notifications.
    let retention = Retention::latest_per_key().events(200).bytes(2 * 1024 * 1024).age(MONTH);
    Ok(Hub::builder().retain("user:*", retention)?.build())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub()?;
    let state = App { hub: hub.clone(), accounts: Arc::new(Accounts::new(Duration::ZERO)) };
    let javascript = [(header::CONTENT_TYPE, "text/javascript; charset=utf-8")];
    let app = Router::new()
        .route("/", get(Html(include_str!("../web/page.html"))))
        .route("/page.js", get((javascript, include_str!("../web/page.js"))))
        .merge(page_example::axum::files())
        .route("/me", get(me))
        .route("/login", post(log_in))
        .route("/logout", post(log_out))
        .route("/events/{user}", get(events))
        .route("/notify/{user}", post(notify))
        .route("/read", post(read))
        .layer(DefaultBodyLimit::max(MAX_FORM_BYTES))
        .with_state(state);

    tidings_axum::serve(page_example::listen().await?, app, &hub).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidings::error::TypesError;
    use tidings::ts::TopicTypes;

    use super::*;

    /// With `TIDINGS_WRITE_DOCS=1`, this writes the file.
    #[test]
    fn the_types_of_the_page_are_those_of_the_events() -> Result<(), TypesError> {
        const FILE: &str = "web/topics.ts";
        let topics = TopicTypes::new().topic::<Notice<'_>>("user:*")?;
        if std::env::var_os("TIDINGS_WRITE_DOCS").is_some_and(|value| value == "1") {
            topics.write(FILE)?;
        }
        topics.check(FILE)
    }
}
