//! GraphQL subscriptions over server-sent events, on axum: a chat.
//!
//! `/graphql` speaks both modes of the graphql-sse protocol: a stream for each subscription ([`distinct`]), or one for all of a
//! client ([`single`]). Queries and mutations are answered as JSON, too. The schema is in [`chat`], and how large a query may be
//! in [`size`].
//! Everybody may read and speak: `examples/auth` shows users.
//!
//! ```sh
//! cargo run -p graphql
//! curl -N 'localhost:3000/graphql?query=subscription\{messages\{id,text\}\}'
//! curl localhost:3000/graphql -H 'content-type: application/json' -d '{"query":"mutation{say(text:\"Hello\")}"}'
//! ```

mod chat;
mod distinct;
mod single;
mod size;

use std::{env, error::Error};

use async_graphql::Request;
use axum::extract::{DefaultBodyLimit, Query, State};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::{Json, Router, routing::get};
use serde::Deserialize;
use single::Reservations;
use tidings_axum::SseRequest;
use tokio::net::TcpListener;

/// Names a reservation. Where no header can be set, it is the parameter `token`.
const TOKEN: &str = "x-graphql-event-stream-token";

/// Room for a text of 2,000 characters, with up to twelve bytes for each.
const MAX_BODY_BYTES: usize = 32 * 1024;

#[derive(Clone)]
struct App {
    schema: chat::Schema,
    reservations: Reservations,
}

/// What a URL may say. `query` makes it a request of GraphQL.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Parameters {
    token: Option<String>,
    operation_id: Option<String>,
    query: Option<String>,
    variables: Option<String>,
    operation_name: Option<String>,
}

impl Parameters {
    fn token(&self, headers: &HeaderMap) -> Option<String> {
        let token = headers.get(TOKEN).and_then(|token| token.to_str().ok());
        token.or(self.token.as_deref()).map(str::to_owned)
    }

    fn request(self) -> Option<Request> {
        let request = Request::new(self.query?);
        let request = match self.variables.map(|variables| serde_json::from_str(&variables)) {
            Some(variables) => request.variables(variables.ok()?),
            None => request,
        };
        Some(match self.operation_name {
            Some(name) => request.operation_name(name),
            None => request,
        })
    }
}

/// `GET`: the stream of a reservation, or of an operation that changes nothing.
async fn stream(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    resume: SseRequest,
) -> Response {
    if let Some(token) = parameters.token(&headers) {
        return app.reservations.connect(&token, resume).into_response();
    }
    let Some(mut request) = parameters.request() else {
        return StatusCode::BAD_REQUEST.into_response();
    };
    // Any page can make a browser send this.
    if chat::is_mutation(&mut request) {
        return (StatusCode::METHOD_NOT_ALLOWED, [(header::ALLOW, "POST")]).into_response();
    }
    distinct::stream(&app.schema, request, resume).into_response()
}

/// `POST`: an operation. What it gives goes to the stream of its reservation, or is the response.
async fn operation(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    resume: SseRequest,
    Json(request): Json<Request>,
) -> Response {
    if let Some(token) = parameters.token(&headers) {
        return app.reservations.start(&app.schema, &token, request, resume).into_response();
    }
    let accept = headers.get(header::ACCEPT).and_then(|accept| accept.to_str().ok());
    match accept.is_some_and(|accept| accept.contains("text/event-stream")) {
        true => distinct::stream(&app.schema, request, resume).into_response(),
        false => Json(chat::answer(&app.schema, request).await).into_response(),
    }
}

/// `PUT`: makes a reservation.
async fn reserve(State(app): State<App>) -> Response {
    app.reservations.reserve().into_response()
}

/// `DELETE`: stops an operation of a reservation.
async fn stop(
    State(app): State<App>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
) -> StatusCode {
    match (parameters.token(&headers), parameters.operation_id) {
        (Some(token), Some(operation)) => app.reservations.stop(&token, &operation),
        _ => StatusCode::BAD_REQUEST,
    }
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = single::hub()?;
    let app = App { schema: chat::schema(&hub), reservations: Reservations::new(&hub) };
    let routes = get(stream).post(operation).put(reserve).delete(stop);
    let limit = DefaultBodyLimit::max(MAX_BODY_BYTES);
    let app = Router::new().route("/graphql", routes).layer(limit).with_state(app);

    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/graphql", listener.local_addr()?);
    tidings_axum::serve(listener, app, &hub).await?;
    Ok(())
}
