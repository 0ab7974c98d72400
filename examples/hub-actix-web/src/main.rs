//! A hub of server-sent events with a live page, on actix-web.
//!
//! This is the part that is specific to actix-web. `examples/hub` has what the requests mean, and the page, for every
//! framework.

use std::fmt;
use std::future::{Ready, ready};
use std::process::ExitCode;

use actix_web::body::MessageBody;
use actix_web::dev::Payload;
use actix_web::http::StatusCode;
use actix_web::http::header::{ContentType, HeaderValue, WWW_AUTHENTICATE};
use actix_web::web::{Bytes, Data, Path, PayloadConfig, ServiceConfig, delete, get, post, to};
use actix_web::{App, FromRequest, HttpRequest, HttpResponse, ResponseError};
use hub_example::access::Access;
use hub_example::options::Options;
use hub_example::refusal::Refusal;
use hub_example::{
    client_topics, clients, cluster, demo, health, history, page, presence, program, publishing,
    query, rendered,
};
use tidings_actix_web::Hub;
use tidings_actix_web::{Sse, SseRequest};

#[actix_web::main]
async fn main() -> ExitCode {
    program::run("hub-actix-web", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let access = options.access()?;
    // Nobody connects before there is a log.
    let hub = options.hub().await?;
    let (listener, address) = program::listen(options.listen).await?;
    if options.demo() {
        demo::start(&hub);
    }
    println!("{}", Options::greeting("actix-web", address));

    // Outside of the closure, which runs once for each worker.
    let (data, access) = (Data::new(hub.clone()), Data::new(access));
    let console = options.console(&hub);
    let app = move || {
        let app = App::new().app_data(data.clone()).app_data(access.clone());
        let app = app.configure(|config| {
            if let Some(console) = &console {
                tidings_console::actix_web::configure(console.clone())(config);
            }
        });
        app.configure(routes)
    };
    let serve = tidings_actix_web::serve(listener, app, &hub);
    options.set_up(serve).await.map_err(|error| error.to_string())
}

fn routes(config: &mut ServiceConfig) {
    config
        // Higher than the hub's own limit, whose error says more.
        .app_data(PayloadConfig::new(2 * 1024 * 1024))
        .route("/events", get().to(events))
        .route("/position", get().to(position))
        .route("/history", get().to(read_history))
        .route("/rendered", get().to(render))
        .route("/presence", get().to(read_presence))
        .route("/publish", post().to(publish))
        .route("/finish", post().to(finish))
        .route("/clients", get().to(list_clients))
        .route("/clients/{id}", delete().to(close_client))
        .route("/clients/{id}/topics", post().to(change_topics))
        .route("/cluster", get().to(describe_cluster))
        .route("/principals/{principal}", delete().to(close_principal))
        .route("/healthz", get().to(check_health))
        .route("/metrics", get().to(metrics));
    for asset in page::ASSETS {
        config.route(asset.path, get().to(move || ready(file(asset.content_type, asset.text))));
    }
    config.default_service(to(HttpResponse::NotFound));
}

/// A file of the pages.
fn file(content_type: &'static str, text: impl MessageBody + 'static) -> HttpResponse {
    let mut response = HttpResponse::Ok();
    for header in page::HEADERS {
        response.insert_header(header);
    }
    response.content_type(content_type).body(text)
}

/// The stream. What this client may see is decided here, at every reconnect.
async fn events(hub: Data<Hub>, http: HttpRequest, request: SseRequest) -> Result<Sse, Refused> {
    Ok(query::Events::parse(http.uri().query())?.subscribe(&hub, &request).into())
}

async fn position(hub: Data<Hub>) -> HttpResponse {
    json(history::position(&hub))
}

async fn read_history(hub: Data<Hub>, http: HttpRequest) -> Result<HttpResponse, Refused> {
    Ok(json(history::read(&hub, http.uri().query()).await?))
}

async fn read_presence(hub: Data<Hub>, http: HttpRequest) -> Result<HttpResponse, Refused> {
    Ok(json(presence::read(&hub, http.uri().query()).await?))
}

async fn render(hub: Data<Hub>, http: HttpRequest) -> Result<HttpResponse, Refused> {
    let html = rendered::render(&hub, http.uri().query()).await?;
    Ok(file(rendered::CONTENT_TYPE, html))
}

/// A request that may do more than read streams.
struct Authorized;

impl FromRequest for Authorized {
    type Error = Refused;
    type Future = Ready<Result<Self, Refused>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        let access = request.app_data::<Data<Access>>().expect("`run` sets it");
        let checked = access.check(|name| request.headers().get(name).map(HeaderValue::as_bytes));
        ready(checked.map(|()| Self).map_err(Refused))
    }
}

async fn publish(
    _: Authorized,
    hub: Data<Hub>,
    http: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, Refused> {
    Ok(json(publishing::publish(&hub, http.uri().query(), &read(body)?).await?))
}

async fn finish(
    _: Authorized,
    hub: Data<Hub>,
    http: HttpRequest,
    body: Result<Bytes, actix_web::Error>,
) -> Result<HttpResponse, Refused> {
    Ok(json(publishing::finish(&hub, http.uri().query(), &read(body)?).await?))
}

fn read(body: Result<Bytes, actix_web::Error>) -> Result<Bytes, Refusal> {
    body.map_err(|error| Refusal {
        status: error.as_response_error().status_code().as_u16(),
        reason: format!("body: {error}"),
    })
}

async fn list_clients(_: Authorized, hub: Data<Hub>) -> HttpResponse {
    json(clients::list(&hub))
}

async fn close_client(
    _: Authorized,
    hub: Data<Hub>,
    id: Path<String>,
) -> Result<HttpResponse, Refused> {
    cluster::close_client(&hub, &id).await?;
    Ok(HttpResponse::NoContent().finish())
}

async fn change_topics(
    _: Authorized,
    hub: Data<Hub>,
    id: Path<String>,
    http: HttpRequest,
) -> Result<HttpResponse, Refused> {
    Ok(json(client_topics::change(&hub, &id, http.uri().query()).await?))
}

async fn describe_cluster(_: Authorized, hub: Data<Hub>) -> HttpResponse {
    json(cluster::describe(&hub))
}

async fn close_principal(_: Authorized, hub: Data<Hub>, principal: Path<String>) -> HttpResponse {
    json(cluster::close_principal(&hub, &principal).await)
}

async fn check_health(hub: Data<Hub>) -> HttpResponse {
    let (status, text) = health::check(&hub);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    HttpResponse::build(status).content_type(ContentType::plaintext()).body(text)
}

async fn metrics(_: Authorized, hub: Data<Hub>) -> HttpResponse {
    HttpResponse::Ok().content_type(health::METRICS_TYPE).body(health::metrics(&hub))
}

/// JSON that is already encoded.
fn json(text: String) -> HttpResponse {
    HttpResponse::Ok().content_type(ContentType::json()).body(text)
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
        f.write_str(&self.0.reason)
    }
}

impl ResponseError for Refused {
    fn status_code(&self) -> StatusCode {
        StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST)
    }

    fn error_response(&self) -> HttpResponse {
        let mut response = HttpResponse::build(self.status_code());
        if let Some(challenge) = self.0.challenge() {
            response.insert_header((WWW_AUTHENTICATE, challenge));
        }
        response.content_type(ContentType::json()).body(self.0.json())
    }
}
