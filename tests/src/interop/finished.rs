//! What clients do when a topic is finished: docs/guide/end-for-good.md lists it.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::{interval, timeout};

use super::client::{Driver, Source};
use super::hub::Hub;
use super::link::Link;
use super::script::Letter;

/// A client at the end of a topic.
#[derive(Debug)]
pub struct AtTheEnd {
    /// Its name.
    pub name: &'static str,
    /// Where its driver runs.
    pub source: Source,
    /// Its driver.
    pub driver: &'static str,
    /// How often it asks for the stream: once if it is told by the event at the end, or ends by itself; and again if it is
    /// told by the status 204.
    requests: usize,
}

/// The clients that stop.
pub const STOP: [AtTheEnd; 7] = [
    AtTheEnd { name: "Chromium", source: Source::Chromium, driver: "browser.mjs", requests: 2 },
    AtTheEnd { name: "Firefox", source: Source::Firefox, driver: "browser.mjs", requests: 2 },
    AtTheEnd { name: "eventsource", source: Source::Npm, driver: "eventsource.mjs", requests: 2 },
    AtTheEnd {
        name: "@microsoft/fetch-event-source",
        source: Source::Npm,
        driver: "fetch_event_source.mjs",
        requests: 1,
    },
    AtTheEnd { name: "htmx", source: Source::Chromium, driver: "htmx.mjs", requests: 1 },
    AtTheEnd { name: "Datastar", source: Source::Chromium, driver: "datastar.mjs", requests: 1 },
    AtTheEnd {
        name: "Datastar, retry: 'always'",
        source: Source::Chromium,
        driver: "datastar_always.mjs",
        requests: 2,
    },
];

/// One that comes back for ever.
pub const COMES_BACK: AtTheEnd = AtTheEnd {
    name: "event-source-plus",
    source: Source::Npm,
    driver: "event_source_plus.mjs",
    requests: 4,
};

const LIMIT: Duration = Duration::from_secs(60);

/// A client whose topic is finished.
#[derive(Debug)]
pub struct Finished {
    client: &'static AtTheEnd,
    link: Link,
    driver: Driver,
}

impl Finished {
    /// Lets the client follow a topic, and finishes it.
    pub async fn begin(client: &'static AtTheEnd, command: Command, hub: &Hub) -> Self {
        let link = Link::to(hub.addr()).await;
        let topic = client.driver.replace('.', "_") + &format!("{:?}", client.source);
        let driver =
            Driver::start(command, &format!("http://{}/events?topic={topic}", link.addr()));
        let follows = async {
            // Nothing announces it.
            let mut look = interval(Duration::from_millis(10));
            while hub.clients(&topic).await == 0 {
                look.tick().await;
            }
        };
        let follows = timeout(LIMIT, follows).await;
        assert!(follows.is_ok(), "{} does not come: {}", client.name, driver.complaints());
        hub.publish(&topic, &Letter { event: None, data: "one".to_owned() }).await;
        hub.finish(&topic).await;
        Self { client, link, driver }
    }

    /// Waits until it has asked for the stream as often as it does.
    pub async fn until_it_has_stopped(&self) {
        let asked = timeout(LIMIT, self.link.until_requested(self.client.requests)).await;
        assert!(asked.is_ok(), "{}: {}", self.client.name, self.driver.complaints());
    }

    /// Asserts that it has not asked more often.
    pub async fn assert_stopped(self) {
        let Self { client, link, driver } = self;
        assert_eq!(link.requests(), client.requests, "{}: {}", client.name, driver.complaints());
        driver.end().await;
    }
}
