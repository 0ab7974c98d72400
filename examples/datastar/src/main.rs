//! A page of Datastar, on warp: a vote, and its result as it comes in.
//!
//! [`patch`] makes the events that Datastar understands. The page shows the newest result, so that is enough for one that is
//! opened, comes back, or has missed some. There is one from the start, for pages that were there before a restart.
//!
//! [`sdk`] is a route for Datastar's own tests of servers, which are in its repository:
//!
//! ```sh
//! cargo run -p datastar
//! cd datastar/sdk/test && ./test-all.sh http://127.0.0.1:3000
//! ```

mod patch;
mod sdk;

use std::{collections::BTreeMap, error::Error, sync::Arc, time::Duration};

use parking_lot::Mutex;
use patch::{Elements, Patch};
use tidings_warp::tidings::HubBuilder;
use tidings_warp::{History, Hub, Retention, Sse, SseRequest};
use warp::http::StatusCode;
use warp::{Filter, Reply};

const VOTES: &str = "votes";
const CHOICES: [&str; 3] = ["coffee", "tea", "water"];

#[derive(Clone)]
struct App {
    hub: Hub,
    votes: Arc<Mutex<BTreeMap<String, u32>>>,
}

impl App {
    /// Counts a vote, and publishes what there is then, under one lock, so that no older result comes after a newer one.
    fn vote(&self, choice: String) -> Result<StatusCode, tidings_warp::Error> {
        if !CHOICES.contains(&&*choice) {
            return Ok(StatusCode::NOT_FOUND);
        }
        let mut votes = self.votes.lock();
        *votes.entry(choice).or_default() += 1;
        self.publish(&votes)?;
        Ok(StatusCode::NO_CONTENT)
    }

    fn publish(&self, votes: &BTreeMap<String, u32>) -> Result<(), tidings_warp::Error> {
        let patch = Patch::Elements(Elements::new(render(votes)));
        // On a hub in memory, this does not wait.
        self.hub.publish(VOTES, patch.event()?).wait()?;
        Ok(())
    }
}

/// The result, as an element that takes the place of the one with its id.
fn render(votes: &BTreeMap<String, u32>) -> String {
    let all = votes.values().sum::<u32>().max(1);
    let row = |choice| {
        let count = votes.get(choice).copied().unwrap_or_default();
        format!(
            r#"<li><span>{choice}</span> <progress value="{count}" max="{all}" aria-label="{choice}"></progress> <b>{count}</b></li>"#
        )
    };
    format!(r#"<ul id="result">{}</ul>"#, CHOICES.map(row).concat())
}

/// Keeps the newest result for as long as nobody votes: a page shows nothing else.
fn hub() -> HubBuilder {
    Hub::builder().retention(Retention::default().events(1).age(Duration::MAX))
}

fn events(app: &App, request: SseRequest) -> Sse {
    request.subscribe(&app.hub, VOTES).history(History::Last(1)).into()
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub().build();
    let state = App { hub: hub.clone(), votes: Arc::default() };
    state.publish(&BTreeMap::new())?;
    let app = warp::any().map(move || state.clone());
    let page =
        warp::path::end().and(warp::get()).map(|| warp::reply::html(include_str!("page.html")));
    let events = warp::path!("events")
        .and(warp::get())
        .and(app.clone())
        .and(tidings_warp::request())
        .map(|app: App, request| events(&app, request));
    let vote =
        warp::path!("votes" / String).and(warp::post()).and(app).map(|choice, app: App| match app
            .vote(choice)
        {
            Ok(status) => status.into_response(),
            Err(error) => error.into_response(),
        });
    let routes = page.or(page_example::warp::files()).or(events).or(vote).or(sdk::route());

    tidings_warp::serve(page_example::listen().await?, routes, &hub).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use tidings::clock::ManualClock;

    use super::*;

    #[test]
    fn the_result_stays_while_nobody_votes() -> Result<(), Box<dyn Error>> {
        let clock = ManualClock::new();
        let app = App { hub: hub().clock(&clock).build(), votes: Arc::default() };
        app.publish(&BTreeMap::new())?;
        clock.advance(Duration::from_secs(11 * 60));
        assert_eq!(app.hub.history(VOTES, History::Last(1)).wait()?.events.len(), 1);
        Ok(())
    }
}
