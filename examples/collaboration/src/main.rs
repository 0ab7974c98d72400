//! A document that many write at once, on warp: its paragraphs, who is there, and who writes where.
//!
//! A paragraph is a key: a page that is opened gets each as it is, and one that was away gets those that have changed. Two people
//! in one paragraph overwrite each other; what would not is a matter of the data, not of the stream. Who is there follows from
//! the streams that are open. That somebody writes is only for those who are there now.
//!
//! Everybody is who they say. `examples/auth` shows users.

use std::error::Error;

use serde::{Deserialize, Serialize};
use tidings_warp::tidings::EventKey;
use tidings_warp::tidings::error::FieldError;
use tidings_warp::tidings::presence::{Presence, topic_of};
use tidings_warp::{Event, History, Hub, Retention, Sse, SseRequest};
use warp::http::StatusCode;
use warp::reply::html;
use warp::{Filter, Reply};

const DOCUMENT: &str = "document";

/// As many as the page has. Others would push these out.
const PARAGRAPHS: u16 = 4;

/// Room for the 5,000 characters that the page allows in a paragraph, with up to nine bytes for each.
const MAX_FORM_BYTES: u64 = 48 * 1024;

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
enum Change {
    Paragraph { number: u16, text: String, by: String },
    Writing { number: u16, by: String },
}

#[derive(Deserialize)]
struct User {
    user: String,
}

#[derive(Deserialize)]
struct Text {
    text: String,
}

fn hub() -> Result<Hub, FieldError> {
    Ok(Hub::builder()
        .retain(DOCUMENT, Retention::latest_per_key())?
        .presence(DOCUMENT, Presence::default())?
        .build())
}

/// The document, and who comes and goes. Who opens this is there.
fn events(hub: &Hub, user: User, request: SseRequest) -> Result<Sse, tidings_warp::Error> {
    let topics = [DOCUMENT.to_owned(), topic_of(DOCUMENT)?.to_string()];
    Ok(request.subscribe(hub, topics).principal(user.user).history(History::All).into())
}

async fn write(
    hub: Hub,
    number: u16,
    User { user: by }: User,
    Text { text }: Text,
) -> Result<StatusCode, tidings_warp::Error> {
    if number >= PARAGRAPHS {
        return Ok(StatusCode::NOT_FOUND);
    }
    let paragraph = Event::typed(&Change::Paragraph { number, text, by })?;
    hub.publish(DOCUMENT, paragraph.with_key(EventKey::new(number.to_string())?)).await?;
    Ok(StatusCode::NO_CONTENT)
}

fn writing(
    hub: &Hub,
    number: u16,
    User { user: by }: User,
) -> Result<StatusCode, tidings_warp::Error> {
    if number >= PARAGRAPHS {
        return Ok(StatusCode::NOT_FOUND);
    }
    hub.publish_ephemeral(DOCUMENT, Event::typed(&Change::Writing { number, by })?)?;
    Ok(StatusCode::NO_CONTENT)
}

fn reply(result: Result<impl Reply, tidings_warp::Error>) -> warp::reply::Response {
    result.map_or_else(Reply::into_response, Reply::into_response)
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub()?;
    let state = hub.clone();
    let state = warp::any().map(move || state.clone());
    let page = warp::path::end().map(|| html(include_str!("page.html")));
    let events = warp::path!("events")
        .and(state.clone())
        .and(warp::query())
        .and(tidings_warp::request())
        .map(|hub: Hub, user, request| reply(events(&hub, user, request)));
    let write = warp::path!("paragraphs" / u16)
        .and(state.clone())
        .and(warp::query())
        .and(warp::body::content_length_limit(MAX_FORM_BYTES))
        .and(warp::body::form())
        .then(async |number, hub: Hub, user, text| reply(write(hub, number, user, text).await));
    let writing = warp::path!("paragraphs" / u16 / "writing")
        .and(state)
        .and(warp::query())
        .map(|number, hub: Hub, user| reply(writing(&hub, number, user)));
    let app = warp::get().and(page.or(page_example::warp::files()).or(events));
    let app = app.or(warp::put().and(write)).or(warp::post().and(writing));

    tidings_warp::serve(page_example::listen().await?, app, &hub).await?;
    Ok(())
}
