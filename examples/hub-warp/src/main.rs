//! A hub of server-sent events with a live page, on warp.
//!
//! This is the part that is specific to warp. `examples/hub` has what the requests mean, and the page, for every
//! framework.

use std::convert::Infallible;
use std::future::ready;
use std::process::ExitCode;

use hub_example::access::Access;
use hub_example::options::Options;
use hub_example::refusal::Refusal;
use hub_example::{
    client_topics, clients, cluster, demo, health, history, page, presence, program, publishing,
    query, rendered,
};
use percent_encoding::percent_decode_str;
use tidings_console::Console;
use tidings_warp::Hub;
use tidings_warp::{Sse, SseRequest};
use warp::filters::BoxedFilter;
use warp::http::StatusCode;
use warp::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use warp::reject::{LengthRequired, PayloadTooLarge, Reject, Rejection};
use warp::reply::Response;
use warp::{Filter, Reply};

#[tokio::main]
async fn main() -> ExitCode {
    program::run("hub-warp", run(Options::from_command_line())).await
}

async fn run(options: Options) -> Result<(), String> {
    let access = options.access()?;
    // Nobody connects before there is a log.
    let hub = options.hub().await?;
    let (listener, address) = program::listen(options.listen).await?;
    if options.demo() {
        demo::start(&hub);
    }
    println!("{}", Options::greeting("warp", address));

    let routes = routes(hub.clone(), access, options.console(&hub));
    let serve = tidings_warp::serve(listener, routes, &hub).transport(options.transport);
    options.set_up(serve).await.map_err(|error| error.to_string())
}

fn routes(hub: Hub, access: Access, console: Option<Console>) -> BoxedFilter<(impl Reply,)> {
    let hub = warp::any().map(move || hub.clone());
    let authorized = authorized(access).boxed();

    let events = warp::path!("events")
        .and(warp::get())
        .and(hub.clone())
        .and(raw_query())
        .and(tidings_warp::request())
        .map(events);
    let position = warp::path!("position")
        .and(warp::get())
        .and(hub.clone())
        .map(|hub: Hub| json(history::position(&hub)));
    let read_history =
        warp::path!("history").and(warp::get()).and(hub.clone()).and(raw_query()).then(
            async |hub: Hub, query: String| {
                reply(history::read(&hub, Some(&query)).await.map(json))
            },
        );
    let read_presence =
        warp::path!("presence").and(warp::get()).and(hub.clone()).and(raw_query()).then(
            async |hub: Hub, query: String| {
                reply(presence::read(&hub, Some(&query)).await.map(json))
            },
        );
    let render = warp::path!("rendered").and(warp::get()).and(hub.clone()).and(raw_query()).then(
        async |hub: Hub, query: String| {
            let html = rendered::render(&hub, Some(&query)).await;
            reply(html.map(|html| file(rendered::CONTENT_TYPE, html)))
        },
    );
    let publication = authorized
        .clone()
        .and(hub.clone())
        .and(raw_query())
        // Higher than the hub's own limit, whose error says more.
        .and(warp::body::content_length_limit(2 * 1024 * 1024))
        .and(warp::body::bytes())
        .boxed();
    let publish = warp::path!("publish").and(warp::post()).and(publication.clone()).then(
        async |hub: Hub, query: String, body: bytes::Bytes| {
            reply(publishing::publish(&hub, Some(&query), &body).await.map(json))
        },
    );
    let finish = warp::path!("finish").and(warp::post()).and(publication).then(
        async |hub: Hub, query: String, body: bytes::Bytes| {
            reply(publishing::finish(&hub, Some(&query), &body).await.map(json))
        },
    );
    let list_clients = warp::path!("clients")
        .and(warp::get())
        .and(authorized.clone())
        .and(hub.clone())
        .map(|hub: Hub| json(clients::list(&hub)));
    let close_client = warp::path!("clients" / String)
        .and(warp::delete())
        .and(authorized.clone())
        .and(hub.clone())
        .then(async |id: String, hub: Hub| {
            let closed = cluster::close_client(&hub, &id).await;
            reply(closed.map(|()| StatusCode::NO_CONTENT.into_response()))
        });
    let change_topics = warp::path!("clients" / String / "topics")
        .and(warp::post())
        .and(authorized.clone())
        .and(hub.clone())
        .and(raw_query())
        .then(async |id: String, hub: Hub, query: String| {
            let changed = client_topics::change(&hub, &id, Some(&query)).await;
            reply(changed.map(json))
        });
    let describe_cluster = warp::path!("cluster")
        .and(warp::get())
        .and(authorized.clone())
        .and(hub.clone())
        .map(|hub: Hub| json(cluster::describe(&hub)));
    let close_principal = warp::path!("principals" / String)
        .and(warp::delete())
        .and(authorized.clone())
        .and(hub.clone())
        .then(async |principal: String, hub: Hub| {
            let principal = percent_decode_str(&principal).decode_utf8_lossy();
            json(cluster::close_principal(&hub, &principal).await)
        });
    let check_health = warp::path!("healthz").and(warp::get()).and(hub.clone()).map(check_health);
    let metrics =
        warp::path!("metrics").and(warp::get()).and(authorized).and(hub).map(|hub: Hub| {
            let text = health::metrics(&hub);
            warp::reply::with_header(text, CONTENT_TYPE, health::METRICS_TYPE).into_response()
        });

    // Boxed, or their type would double with each of them.
    let routes = [
        events.boxed(),
        position.boxed(),
        read_history.boxed(),
        read_presence.boxed(),
        render.boxed(),
        publish.boxed(),
        finish.boxed(),
        list_clients.boxed(),
        close_client.boxed(),
        change_topics.boxed(),
        describe_cluster.boxed(),
        close_principal.boxed(),
        check_health.boxed(),
        metrics.boxed(),
        assets(),
        console.map_or_else(nothing, tidings_console::warp::filter),
    ];
    routes
        .into_iter()
        .fold(nothing(), |routes, route| routes.or(route).unify().boxed())
        .recover(rejected)
        .boxed()
}

/// Passes requests that may do more than read streams.
fn authorized(access: Access) -> impl Filter<Extract = (), Error = Rejection> + Clone {
    warp::header::headers_cloned()
        .and_then(move |headers: HeaderMap| {
            let checked = access.check(|name| headers.get(name).map(HeaderValue::as_bytes));
            ready(checked.map_err(|refusal| warp::reject::custom(Refused(refusal))))
        })
        .untuple_one()
}

/// A refusal as a rejection.
#[derive(Debug)]
struct Refused(Refusal);

impl Reject for Refused {}

/// The stream. What this client may see is decided here, at every reconnect.
fn events(hub: Hub, query: String, request: SseRequest) -> Response {
    reply(
        query::Events::parse(Some(&query))
            .map(|events| Sse::from(events.subscribe(&hub, &request)).into_response()),
    )
}

fn check_health(hub: Hub) -> Response {
    let (status, text) = health::check(&hub);
    let status = StatusCode::from_u16(status).unwrap_or(StatusCode::SERVICE_UNAVAILABLE);
    warp::reply::with_status(text, status).into_response()
}

/// Passes no request.
fn nothing() -> BoxedFilter<(Response,)> {
    warp::any().and_then(|| ready(Err(warp::reject::not_found()))).boxed()
}

/// The files of the pages.
fn assets() -> BoxedFilter<(Response,)> {
    warp::get()
        .and(warp::path::full())
        .and_then(async |path: warp::path::FullPath| {
            let asset = page::ASSETS.into_iter().find(|asset| asset.path == path.as_str());
            let asset = asset.ok_or_else(warp::reject::not_found)?;
            Ok::<_, Rejection>(file(asset.content_type, asset.text))
        })
        .boxed()
}

fn file(content_type: &'static str, text: impl Reply) -> Response {
    let mut response = text.into_response();
    let content_type = ("content-type", content_type);
    for (name, value) in page::HEADERS.into_iter().chain([content_type]) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    response
}

/// The raw query; empty if there is none.
fn raw_query() -> impl Filter<Extract = (String,), Error = Infallible> + Copy {
    warp::query::raw().or(warp::any().map(String::new)).unify()
}

/// JSON that is already encoded.
fn json(text: String) -> Response {
    warp::reply::with_header(text, CONTENT_TYPE, "application/json").into_response()
}

/// The response, or the refusal as a response.
fn reply(result: Result<Response, Refusal>) -> Response {
    result.unwrap_or_else(|refusal| {
        let mut response = json(refusal.json());
        *response.status_mut() =
            StatusCode::from_u16(refusal.status).unwrap_or(StatusCode::BAD_REQUEST);
        if let Some(challenge) = refusal.challenge() {
            let challenge = HeaderValue::from_static(challenge);
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        response
    })
}

/// The refusals of filters, as JSON.
async fn rejected(rejection: Rejection) -> Result<Response, Rejection> {
    if let Some(Refused(refusal)) = rejection.find() {
        return Ok(reply(Err(refusal.clone())));
    }
    let (status, reason) = if rejection.find::<PayloadTooLarge>().is_some() {
        (413, "body is larger than 2 MiB")
    } else if rejection.find::<LengthRequired>().is_some() {
        (411, "body has no content-length")
    } else {
        return Err(rejection);
    };
    Ok(reply(Err(Refusal { status, reason: reason.to_owned() })))
}
