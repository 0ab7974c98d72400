//! Authentication and CORS for event streams, on warp.
//!
//! This is the part that is specific to warp. `examples/auth` has the users and their permissions for every framework.

use std::convert::Infallible;
use std::net::SocketAddr;
use std::process::ExitCode;

use auth_example::accounts::{Caller, Credentials, SESSION_COOKIE};
use auth_example::app::{App, Login, Message};
use auth_example::options::{Options, Origin};
use auth_example::program;
use auth_example::refusal::Refusal;
use tidings_warp::{Sse, SseRequest};
use warp::filters::BoxedFilter;
use warp::filters::cors::{Builder, CorsForbidden};
use warp::http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE, VARY, WWW_AUTHENTICATE};
use warp::http::{HeaderValue, StatusCode};
use warp::reject::{Reject, Rejection};
use warp::reply::{Response, json, with_header, with_status};
use warp::{Filter, Reply};

#[tokio::main]
async fn main() -> ExitCode {
    program::run("auth-warp", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let (listener, address) = program::listen(options.listen).await?;
    println!("{}", Options::greeting("warp", address));

    let app = App::new(&options);
    let filter = filter(&app, &options.allow_origin, address);
    tidings_warp::serve(listener, filter, &app.hub)
        .shutdown_timeout(program::SHUTDOWN_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}

fn filter(
    app: &App,
    allowed: &[Origin],
    address: SocketAddr,
) -> BoxedFilter<(impl Reply + use<>,)> {
    routes(app)
        .recover(refused)
        // Around the routes, so that it answers preflights, which have no credentials, and lets pages read a 401.
        .with(cors(allowed, address))
        .recover(forbidden)
        // The CORS filter does not say that its answer depends on the origin, which a cache must know.
        .with(warp::reply::with::header(VARY, "origin"))
        .boxed()
}

fn routes(app: &App) -> BoxedFilter<(impl Reply + use<>,)> {
    let events = warp::path!("events")
        .and(warp::get())
        .and(with(app))
        .and(viewer(app))
        .and(raw_query())
        .and(tidings_warp::request())
        .and_then(events);
    let login = warp::path!("login").and(warp::post()).and(with(app)).and(form()).and_then(login);
    let token =
        warp::path!("token").and(warp::post()).and(with(app)).and(user(app)).and_then(token);
    let logout = warp::path!("logout").and(warp::post()).and(with(app)).and(user(app)).map(logout);
    let notify = warp::path!("notify" / String)
        .and(warp::post())
        .and(with(app))
        .and(user(app))
        .and(form())
        .and_then(notify);
    let news = warp::path!("news")
        .and(warp::post())
        .and(with(app))
        .and(user(app))
        .and(form())
        .and_then(news);
    let streams = warp::path!("streams")
        .and(warp::get())
        .and(with(app))
        .and(user(app))
        .map(|app: App, caller| json(&app.streams(caller)));

    events.or(login).or(token).or(logout).or(notify).or(news).or(streams).boxed()
}

/// Allows pages of other origins to use the server with cookies and with these headers.
///
/// Unlike others, this filter answers 403 to every request of an unknown origin. The server's own pages also send their
/// origin when they post, so it must be on the list. (With a proxy, it is the one that the browser sees: add it with
/// `--allow-origin`.)
fn cors(origins: &[Origin], address: SocketAddr) -> Builder {
    let own = format!("http://{address}");
    warp::cors()
        // By name: browsers refuse `*` with credentials. Without a list, warp echoes every origin, which would be worse:
        // every page in the world could act as the user who looks at it.
        .allow_origins(origins.iter().map(Origin::as_str).chain([own.as_str()]))
        .allow_credentials(true)
        .allow_methods(["GET", "POST"])
        // Clients that read the stream with `fetch` send these, after a preflight.
        .allow_headers(["authorization", "last-event-id"])
}

/// The stream. What this caller may see is decided here, at every reconnect, and a refusal comes before the stream.
async fn events(
    app: App,
    caller: Caller,
    query: String,
    request: SseRequest,
) -> Result<Sse, Rejection> {
    app.events(caller, Some(&query), &request).map(Sse::from).map_err(reject)
}

async fn login(app: App, login: Login) -> Result<impl Reply, Rejection> {
    let cookie = app.login(&login).map_err(reject)?;
    Ok(with_header(StatusCode::NO_CONTENT, SET_COOKIE, cookie))
}

async fn token(app: App, caller: Caller) -> Result<impl Reply, Rejection> {
    let token = app.token(caller).map_err(reject)?;
    Ok(with_header(json(&token), CACHE_CONTROL, "no-store"))
}

fn logout(app: App, caller: Caller) -> impl Reply {
    with_header(StatusCode::NO_CONTENT, SET_COOKIE, app.logout(caller))
}

async fn notify(
    whom: String,
    app: App,
    caller: Caller,
    message: Message,
) -> Result<impl Reply, Rejection> {
    app.notify(caller, &whom, &message).await.map(|published| json(&published)).map_err(reject)
}

async fn news(app: App, caller: Caller, message: Message) -> Result<impl Reply, Rejection> {
    app.news(caller, &message).await.map(|published| json(&published)).map_err(reject)
}

fn with(app: &App) -> impl Filter<Extract = (App,), Error = Infallible> + Clone + use<> {
    let app = app.clone();
    warp::any().map(move || app.clone())
}

/// The user who sends the request, by session cookie or access token. An unknown caller gets 401, and the handler is
/// not called.
fn user(app: &App) -> impl Filter<Extract = (Caller,), Error = Rejection> + Clone + use<> {
    with(app).and(authorization()).and(session()).and_then(
        async |app: App, authorization: Option<HeaderValue>, session: Option<String>| {
            app.accounts.caller(credentials(&authorization, &session)).map_err(reject)
        },
    )
}

/// The user who asks for the stream: as [`user`], or by query token, which is valid for nothing else.
fn viewer(app: &App) -> impl Filter<Extract = (Caller,), Error = Rejection> + Clone + use<> {
    with(app).and(authorization()).and(session()).and(raw_query()).and_then(
        async |app: App,
               authorization: Option<HeaderValue>,
               session: Option<String>,
               query: String| {
            let credentials = credentials(&authorization, &session);
            app.accounts.viewer(credentials, Some(&query)).map_err(reject)
        },
    )
}

fn credentials<'a>(
    authorization: &'a Option<HeaderValue>,
    session: &'a Option<String>,
) -> Credentials<'a> {
    Credentials {
        authorization: authorization.as_ref().map(HeaderValue::as_bytes),
        session: session.as_deref(),
    }
}

fn authorization() -> impl Filter<Extract = (Option<HeaderValue>,), Error = Infallible> + Copy {
    warp::header::headers_cloned()
        .map(|headers: warp::http::HeaderMap| headers.get(AUTHORIZATION).cloned())
}

fn session() -> impl Filter<Extract = (Option<String>,), Error = Infallible> + Copy {
    warp::cookie::optional(SESSION_COOKIE)
}

/// The raw query; empty if there is none.
fn raw_query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// A form. Without the limit, warp would read any size.
fn form<T: serde::de::DeserializeOwned + Send>()
-> impl Filter<Extract = (T,), Error = Rejection> + Copy {
    warp::body::content_length_limit(64 * 1024).and(warp::body::form())
}

/// A refusal as a rejection, for [`refused`].
#[derive(Debug)]
struct Refused(Refusal);

impl Reject for Refused {}

fn reject(refusal: Refusal) -> Rejection {
    warp::reject::custom(Refused(refusal))
}

/// A refusal as a response.
async fn refused(rejection: Rejection) -> Result<Response, Rejection> {
    match rejection.find::<Refused>() {
        Some(Refused(refusal)) => Ok(response(refusal)),
        None => Err(rejection),
    }
}

/// The refusals of the CORS filter, recovered so that they also get `Vary`.
async fn forbidden(rejection: Rejection) -> Result<impl Reply, Rejection> {
    match rejection.find::<CorsForbidden>() {
        Some(error) => Ok(with_status(error.to_string(), StatusCode::FORBIDDEN)),
        None => Err(rejection),
    }
}

fn response(refusal: &Refusal) -> Response {
    let mut response = json(&refusal.body()).into_response();
    *response.status_mut() =
        StatusCode::from_u16(refusal.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if let Some(challenge) = refusal.challenge() {
        response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    }
    response
}

#[cfg(test)]
async fn test_app() -> tidings_test::App<'static> {
    let options = Options::default();
    tidings_test::App::new(filter(&App::new(&options), &[], options.listen))
}

#[cfg(test)]
#[path = "../../auth/stream_tests.rs"]
mod stream_tests;
