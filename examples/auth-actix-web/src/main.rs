//! Authentication and CORS for event streams, on actix-web.
//!
//! This is the part that is specific to actix-web. `examples/auth` has the users and their permissions for every
//! framework.

use std::fmt;
use std::future::{Ready, ready};
use std::process::ExitCode;

use actix_cors::Cors;
use actix_web::cookie::Cookie;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE, WWW_AUTHENTICATE};
use actix_web::web::{Data, Form, Json, Path, ServiceConfig, get, post};
use actix_web::{FromRequest, HttpRequest, HttpResponse, ResponseError};
use auth_example::accounts::{Accounts, Caller, Credentials, SESSION_COOKIE};
use auth_example::app::{App, Login, Message, Published, Streams};
use auth_example::options::{Options, Origin};
use auth_example::program;
use auth_example::refusal::Refusal;
use tidings_actix_web::{Sse, SseRequest};

#[actix_web::main]
async fn main() -> ExitCode {
    program::run("auth-actix-web", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let (listener, address) = program::listen(options.listen).await?;
    println!("{}", Options::greeting("actix-web", address));

    // Outside of the closure, which runs once for each worker.
    let app = Data::new(App::new(&options));
    let data = app.clone();
    let server = move || {
        actix_web::App::new()
            .app_data(data.clone())
            .configure(routes)
            // Around the routes, so that it answers preflights, which have no credentials, and lets pages read a 401.
            .wrap(cors(&options.allow_origin))
    };
    tidings_actix_web::serve(listener, server, &app.hub)
        .shutdown_timeout(program::SHUTDOWN_TIMEOUT)
        .await
        .map_err(|error| error.to_string())
}

fn routes(config: &mut ServiceConfig) {
    config
        .route("/events", get().to(events))
        .route("/login", post().to(login))
        .route("/token", post().to(token))
        .route("/logout", post().to(logout))
        .route("/notify/{user}", post().to(notify))
        .route("/news", post().to(news))
        .route("/streams", get().to(streams));
}

/// Allows pages of other origins to use the server with cookies and with these headers.
fn cors(origins: &[Origin]) -> Cors {
    let cors = Cors::default()
        .supports_credentials()
        .allowed_methods(["GET", "POST"])
        // Clients that read the stream with `fetch` send these, after a preflight.
        .allowed_headers(["authorization", "last-event-id"]);
    // By name: browsers refuse `*` with credentials. Echoing every origin, as `Cors::permissive` does, would be worse:
    // every page in the world could act as the user who looks at it.
    origins.iter().fold(cors, |cors, origin| cors.allowed_origin(origin.as_str()))
}

/// The stream. What this caller may see is decided here, at every reconnect, and a refusal comes before the stream.
async fn events(
    app: Data<App>,
    viewer: Viewer,
    http: HttpRequest,
    request: SseRequest,
) -> Result<Sse, Refused> {
    Ok(app.events(viewer.0, http.uri().query(), &request)?.into())
}

async fn login(app: Data<App>, login: Form<Login>) -> Result<HttpResponse, Refused> {
    let cookie = app.login(&login)?;
    Ok(HttpResponse::NoContent().insert_header((SET_COOKIE, cookie)).finish())
}

async fn token(app: Data<App>, user: User) -> Result<HttpResponse, Refused> {
    let token = app.token(user.0)?;
    Ok(HttpResponse::Ok().insert_header((CACHE_CONTROL, "no-store")).json(token))
}

async fn logout(app: Data<App>, user: User) -> HttpResponse {
    HttpResponse::NoContent().insert_header((SET_COOKIE, app.logout(user.0))).finish()
}

async fn notify(
    app: Data<App>,
    user: User,
    whom: Path<String>,
    message: Form<Message>,
) -> Result<Json<Published>, Refused> {
    Ok(Json(app.notify(user.0, &whom, &message).await?))
}

async fn news(
    app: Data<App>,
    user: User,
    message: Form<Message>,
) -> Result<Json<Published>, Refused> {
    Ok(Json(app.news(user.0, &message).await?))
}

async fn streams(app: Data<App>, user: User) -> Json<Streams> {
    Json(app.streams(user.0))
}

/// The user who sends the request, by session cookie or access token. An unknown caller gets 401, and the handler is
/// not called.
struct User(Caller);

impl FromRequest for User {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(known(request, Accounts::caller).map(Self))
    }
}

/// The user who asks for the stream: as [`User`], or by query token, which is valid for nothing else.
struct Viewer(Caller);

impl FromRequest for Viewer {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let query = request.uri().query();
        ready(known(request, |accounts, who| accounts.viewer(who, query)).map(Self))
    }
}

fn known(
    request: &HttpRequest,
    look_up: impl FnOnce(&Accounts, Credentials<'_>) -> Result<Caller, Refusal>,
) -> Result<Caller, Refused> {
    let app = request.app_data::<Data<App>>();
    let app = app.ok_or_else(|| Refusal::internal("the server has no application data"))?;
    let session = request.cookie(SESSION_COOKIE);
    let credentials = Credentials {
        authorization: request.headers().get(AUTHORIZATION).map(|value| value.as_bytes()),
        session: session.as_ref().map(Cookie::value),
    };
    Ok(look_up(&app.accounts, credentials)?)
}

/// A refusal as a response.
#[derive(Debug)]
struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(challenge) = self.0.challenge() {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        response.json(self.0.body())
    }
}

#[cfg(test)]
async fn test_app() -> tidings_test::App<'static> {
    let app = Data::new(App::new(&Options::default()));
    let app = actix_web::App::new().app_data(app).configure(routes).wrap(cors(&[]));
    tidings_test::App::new(actix_web::test::init_service(app).await)
}

#[cfg(test)]
#[path = "../../auth/stream_tests.rs"]
mod stream_tests;
