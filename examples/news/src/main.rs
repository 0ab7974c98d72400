//! A feed of news, on actix-web: a page with what there is, and a stream of what comes.
//!
//! The page is rendered with the position of its history, and the stream begins there. So it needs no script to show news, and
//! none is missing or doubled between the two.

use std::{io, time::Duration};

use actix_web::web::{self, Data, Form, Html};
use actix_web::{App, HttpResponse, Responder};
use page_example::escaped;
use serde::{Deserialize, Serialize};
use tidings_actix_web::tidings::{HubBuilder, error::FieldError};
use tidings_actix_web::{Error, Event, History, Hub, Retention, Sse, SseRequest};

const NEWS: &str = "news";
const SHOWN: usize = 20;
const MONTH: Duration = Duration::from_secs(30 * 24 * 60 * 60);

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
enum News {
    Published { headline: String, section: String },
}

fn hub() -> Result<HubBuilder, FieldError> {
    Hub::builder().retain(NEWS, Retention::default().events(100).age(MONTH))
}

async fn page(hub: Data<Hub>) -> actix_web::Result<Html> {
    let history = hub.history(NEWS, History::Last(SHOWN)).await.map_err(Error::from)?;
    let mut items = String::new();
    for event in history.events.iter().rev() {
        let News::Published { headline, section } =
            event.typed().map_err(actix_web::error::ErrorInternalServerError)?;
        let (headline, section) = (escaped(&headline), escaped(&section));
        items.push_str(&format!("<li><span>{headline}</span><small>{section}</small></li>"));
    }
    let page = include_str!("page.html").replace("{{position}}", history.position.as_str());
    Ok(Html::new(page.replace("{{items}}", &items)))
}

async fn events(hub: Data<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, NEWS).into()
}

#[derive(Deserialize)]
struct Article {
    headline: String,
    section: String,
}

async fn publish(
    hub: Data<Hub>,
    Form(Article { headline, section }): Form<Article>,
) -> Result<impl Responder, Error> {
    hub.publish(NEWS, Event::typed(&News::Published { headline, section })?).await?;
    // To the page, which a browser without scripts loads.
    Ok(HttpResponse::SeeOther().insert_header(("location", "/")).finish())
}

#[actix_web::main]
async fn main() -> io::Result<()> {
    let hub = hub().map_err(io::Error::other)?.build();
    let topics = Data::new(hub.clone());
    let app = move || {
        App::new()
            .app_data(topics.clone())
            .route("/", web::get().to(page))
            .configure(page_example::actix_web::files)
            .route("/events", web::get().to(events))
            .route("/news", web::post().to(publish))
    };

    tidings_actix_web::serve(page_example::listen().await?, app, &hub).await
}

#[cfg(test)]
mod tests {
    use tidings::clock::ManualClock;

    use super::*;

    #[actix_web::test]
    async fn news_of_yesterday_is_still_shown() -> Result<(), Error> {
        let clock = ManualClock::new();
        let hub = hub()?.clock(&clock).build();
        let news = News::Published { headline: "one".to_owned(), section: "Local".to_owned() };
        hub.publish(NEWS, Event::typed(&news)?).await?;
        clock.advance(Duration::from_secs(24 * 60 * 60));
        assert_eq!(hub.history(NEWS, History::Last(SHOWN)).await?.events.len(), 1);
        Ok(())
    }
}
