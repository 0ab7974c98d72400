//! Authentication and CORS for event streams, on axum.
//!
//! This is the part that is specific to axum. `examples/auth` has the users and their permissions for every framework.

use std::process::ExitCode;

use auth_example::accounts::{Caller, Credentials, SESSION_COOKIE};
use auth_example::app::{App, Login, Message, Published, Streams};
use auth_example::options::{Options, Origin};
use auth_example::program;
use auth_example::refusal::Refusal;
use axum::extract::{Form, FromRequestParts, Path, RawQuery, State};
use axum::http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE, WWW_AUTHENTICATE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use axum_extra::extract::CookieJar;
use tidings_axum::{Sse, SseRequest};
use tower_http::cors::CorsLayer;

#[tokio::main]
async fn main() -> ExitCode {
    program::run("auth-axum", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let (listener, address) = program::listen(options.listen).await?;
    println!("{}", Options::greeting("axum", address));

    let app = App::new(&options);
    let router = router(&app, &options.allow_origin);
    tidings_axum::serve(listener, router, &app.hub)
        .shutdown_timeout(program::SHUTDOWN_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}

fn router(app: &App, allowed: &[Origin]) -> Router {
    Router::new()
        .route("/events", get(events))
        .route("/login", post(login))
        .route("/token", post(token))
        .route("/logout", post(logout))
        .route("/notify/{user}", post(notify))
        .route("/news", post(news))
        .route("/streams", get(streams))
        .with_state(app.clone())
        // Around the routes, so that it answers preflights, which have no credentials, and lets pages read a 401.
        .layer(cors(allowed))
}

/// Allows pages of other origins to use the server with cookies and with these headers.
fn cors(origins: &[Origin]) -> CorsLayer {
    let origins = origins.iter().filter_map(|origin| HeaderValue::from_str(origin.as_str()).ok());
    CorsLayer::new()
        // By name: browsers refuse `*` with credentials. Echoing every origin would be worse: every page in the
        // world could act as the user who looks at it.
        .allow_origin(origins.collect::<Vec<_>>())
        .allow_credentials(true)
        .allow_methods([Method::GET, Method::POST])
        // Clients that read the stream with `fetch` send these, after a preflight.
        .allow_headers([AUTHORIZATION, HeaderName::from_static("last-event-id")])
}

/// The stream. What this caller may see is decided here, at every reconnect, and a refusal comes before the stream.
async fn events(
    State(app): State<App>,
    Viewer(caller): Viewer,
    RawQuery(query): RawQuery,
    request: SseRequest,
) -> Result<Sse, Refused> {
    Ok(app.events(caller, query.as_deref(), &request)?.into())
}

async fn login(
    State(app): State<App>,
    Form(login): Form<Login>,
) -> Result<impl IntoResponse, Refused> {
    Ok((StatusCode::NO_CONTENT, [(SET_COOKIE, app.login(&login)?)]))
}

async fn token(State(app): State<App>, User(caller): User) -> Result<impl IntoResponse, Refused> {
    Ok(([(CACHE_CONTROL, "no-store")], Json(app.token(caller)?)))
}

async fn logout(State(app): State<App>, User(caller): User) -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(SET_COOKIE, app.logout(caller))])
}

async fn notify(
    State(app): State<App>,
    User(caller): User,
    Path(user): Path<String>,
    Form(message): Form<Message>,
) -> Result<Json<Published>, Refused> {
    Ok(Json(app.notify(caller, &user, &message).await?))
}

async fn news(
    State(app): State<App>,
    User(caller): User,
    Form(message): Form<Message>,
) -> Result<Json<Published>, Refused> {
    Ok(Json(app.news(caller, &message).await?))
}

async fn streams(State(app): State<App>, User(caller): User) -> Json<Streams> {
    Json(app.streams(caller))
}

/// The user who sends the request, by session cookie or access token. An unknown caller gets 401, and the handler is
/// not called.
struct User(Caller);

impl FromRequestParts<App> for User {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let jar = CookieJar::from_headers(&parts.headers);
        Ok(Self(app.accounts.caller(credentials(&parts.headers, &jar))?))
    }
}

/// The user who asks for the stream: as [`User`], or by query token, which is valid for nothing else.
struct Viewer(Caller);

impl FromRequestParts<App> for Viewer {
    type Rejection = Refused;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Refused> {
        let jar = CookieJar::from_headers(&parts.headers);
        let credentials = credentials(&parts.headers, &jar);
        Ok(Self(app.accounts.viewer(credentials, parts.uri.query())?))
    }
}

fn credentials<'a>(headers: &'a HeaderMap, jar: &'a CookieJar) -> Credentials<'a> {
    Credentials {
        authorization: headers.get(AUTHORIZATION).map(HeaderValue::as_bytes),
        session: jar.get(SESSION_COOKIE).map(|cookie| cookie.value()),
    }
}

/// A refusal as a response.
struct Refused(Refusal);

impl<E: Into<Refusal>> From<E> for Refused {
    fn from(refusal: E) -> Self {
        Self(refusal.into())
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status());
        let status = status.unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let mut response = (status, Json(self.0.body())).into_response();
        if let Some(challenge) = self.0.challenge() {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    }
}

#[cfg(test)]
async fn test_app() -> tidings_test::App<'static> {
    tidings_test::App::new(router(&App::new(&Options::default()), &[]))
}

#[cfg(test)]
#[path = "../../auth/stream_tests.rs"]
mod stream_tests;
