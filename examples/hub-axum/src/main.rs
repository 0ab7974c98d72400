//! A hub of server-sent events with a live page, on axum.
//!
//! This is the part that is specific to axum. `examples/hub` has what the requests mean, and the page, for every
//! framework.

use std::process::ExitCode;

use axum::Router;
use axum::body::Bytes;
use axum::extract::rejection::BytesRejection;
use axum::extract::{Path, RawQuery, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get, post};
use hub_example::access::Access;
use hub_example::options::Options;
use hub_example::refusal::Refusal;
use hub_example::{
    client_topics, clients, cluster, demo, health, history, page, presence, program, publishing,
    query, rendered,
};
use tidings_axum::Hub;
use tidings_axum::{Sse, SseRequest};

#[tokio::main]
async fn main() -> ExitCode {
    program::run("hub-axum", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let access = options.access()?;
    // Nobody connects before there is a log.
    let hub = options.hub().await?;
    let (listener, address) = program::listen(options.listen).await?;
    if options.demo() {
        demo::start(&hub);
    }
    println!("{}", Options::greeting("axum", address));
    let app = router(&hub, access);
    let app = match options.console(&hub) {
        Some(console) => app.merge(tidings_console::axum::router(console)),
        None => app,
    };
    let serve = tidings_axum::serve(listener, app, &hub).transport(options.transport);
    options.set_up(serve).await.map_err(|error| error.to_string())
}

fn router(hub: &Hub, access: Access) -> Router {
    let with_token = Router::new()
        .route("/publish", post(publish))
        .route("/finish", post(finish))
        .route("/clients", get(list_clients))
        .route("/clients/{id}", delete(close_client))
        .route("/clients/{id}/topics", post(change_topics))
        .route("/cluster", get(describe_cluster))
        .route("/principals/{principal}", delete(close_principal))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(access, check_access));
    let api = Router::new()
        .route("/events", get(events))
        .route("/position", get(position))
        .route("/history", get(read_history))
        .route("/rendered", get(render))
        .route("/presence", get(read_presence))
        .route("/healthz", get(check_health))
        .merge(with_token)
        .with_state(hub.clone());
    page::ASSETS.into_iter().fold(api, |router, asset| {
        let content_type = [(header::CONTENT_TYPE, asset.content_type)];
        router.route(asset.path, get(async move || (page::HEADERS, content_type, asset.text)))
    })
}

async fn check_access(
    State(access): State<Access>,
    headers: HeaderMap,
    request: Request,
    next: Next,
) -> Result<Response, Refused> {
    access.check(|name| headers.get(name).map(HeaderValue::as_bytes))?;
    Ok(next.run(request).await)
}

/// The stream. What this client may see is decided here, at every reconnect.
async fn events(
    State(hub): State<Hub>,
    RawQuery(query): RawQuery,
    request: SseRequest,
) -> Result<Sse, Refused> {
    Ok(query::Events::parse(query.as_deref())?.subscribe(&hub, &request).into())
}

async fn position(State(hub): State<Hub>) -> Json {
    Json(history::position(&hub))
}

async fn read_history(State(hub): State<Hub>, RawQuery(query): RawQuery) -> Result<Json, Refused> {
    Ok(Json(history::read(&hub, query.as_deref()).await?))
}

async fn read_presence(State(hub): State<Hub>, RawQuery(query): RawQuery) -> Result<Json, Refused> {
    Ok(Json(presence::read(&hub, query.as_deref()).await?))
}

async fn render(
    State(hub): State<Hub>,
    RawQuery(query): RawQuery,
) -> Result<impl IntoResponse, Refused> {
    let html = rendered::render(&hub, query.as_deref()).await?;
    Ok((page::HEADERS, [(header::CONTENT_TYPE, rendered::CONTENT_TYPE)], html))
}

async fn publish(
    State(hub): State<Hub>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json, Refused> {
    Ok(Json(publishing::publish(&hub, query.as_deref(), &read(body)?).await?))
}

async fn finish(
    State(hub): State<Hub>,
    RawQuery(query): RawQuery,
    body: Result<Bytes, BytesRejection>,
) -> Result<Json, Refused> {
    Ok(Json(publishing::finish(&hub, query.as_deref(), &read(body)?).await?))
}

fn read(body: Result<Bytes, BytesRejection>) -> Result<Bytes, Refusal> {
    body.map_err(|rejection| Refusal {
        status: rejection.status().as_u16(),
        reason: format!("body: {}", rejection.body_text()),
    })
}

async fn list_clients(State(hub): State<Hub>) -> Json {
    Json(clients::list(&hub))
}

async fn close_client(
    State(hub): State<Hub>,
    Path(id): Path<String>,
) -> Result<StatusCode, Refused> {
    cluster::close_client(&hub, &id).await?;
    Ok(StatusCode::NO_CONTENT)
}

async fn change_topics(
    State(hub): State<Hub>,
    Path(id): Path<String>,
    RawQuery(query): RawQuery,
) -> Result<Json, Refused> {
    Ok(Json(client_topics::change(&hub, &id, query.as_deref()).await?))
}

async fn describe_cluster(State(hub): State<Hub>) -> Json {
    Json(cluster::describe(&hub))
}

async fn close_principal(State(hub): State<Hub>, Path(principal): Path<String>) -> Json {
    Json(cluster::close_principal(&hub, &principal).await)
}

async fn check_health(State(hub): State<Hub>) -> (StatusCode, String) {
    let (status, text) = health::check(&hub);
    (StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE), text)
}

async fn metrics(State(hub): State<Hub>) -> ([(HeaderName, &'static str); 1], String) {
    ([(header::CONTENT_TYPE, health::METRICS_TYPE)], health::metrics(&hub))
}

/// JSON that is already encoded.
struct Json(String);

impl IntoResponse for Json {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "application/json")], self.0).into_response()
    }
}

/// A refusal as a response.
struct Refused(Refusal);

impl From<Refusal> for Refused {
    fn from(refusal: Refusal) -> Self {
        Self(refusal)
    }
}

impl IntoResponse for Refused {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::BAD_REQUEST);
        let mut response = (status, Json(self.0.json())).into_response();
        if let Some(challenge) = self.0.challenge() {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(header::WWW_AUTHENTICATE, challenge);
        }
        response
    }
}
