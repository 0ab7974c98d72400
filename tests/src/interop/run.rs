//! The script, played to one client at one hub.

use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::client::{Client, Driver};
use super::hub::Hub;
use super::judge::{client_id, judge};
use super::link::{Cut, Link};
use super::script::{self, BREAKS_HERE, Happening, Letter};

/// How long a client may take to come back and to receive everything. Most clients wait the three seconds that the hub
/// tells them, and the machine is busy when they start.
const LIMIT: Duration = Duration::from_secs(60);

/// How often the client is cut.
const CUTS: usize = 3;

/// Plays the script to a client. `command` starts its driver.
///
/// # Errors
///
/// When it does not receive what it should: the fault, and what the driver wrote.
pub async fn play(client: &'static Client, command: Command, hub: &Hub) -> Result<(), String> {
    let link = Link::to(hub.addr()).await;
    let topic = client.slug();
    let url = format!("http://{}/events?topic={topic}", link.addr());
    let mut play = Play {
        client,
        hub,
        link,
        topic,
        driver: Driver::start(command, &url),
        happenings: Vec::new(),
        step: "the status event",
    };
    let outcome = play.script().await;
    let Play { driver, happenings, step, .. } = play;
    let expected = client.receives(&happenings);
    let verdict = judge(&expected, driver.received(), CUTS);
    let complaints = driver.complaints();
    driver.end().await;
    let idle = client.idle_deviations(&happenings);
    match (outcome, verdict) {
        (Ok(()), Ok(())) if idle.is_empty() => Ok(()),
        (Ok(()), Ok(())) => Err(format!("deviations that make no difference: {idle:?}")),
        (Ok(()), Err(fault)) => Err(format!("{fault}; the driver wrote: {complaints}")),
        (Err(error), Ok(())) => Err(format!("{step}: {error}; the driver wrote: {complaints}")),
        (Err(error), Err(fault)) => {
            Err(format!("{step}: {error}: {fault}; the driver wrote: {complaints}"))
        }
    }
}

struct Play<'a> {
    client: &'static Client,
    hub: &'a Hub,
    link: Link,
    topic: String,
    driver: Driver,
    happenings: Vec<Happening>,
    /// The current part of the script.
    step: &'static str,
}

impl Play<'_> {
    async fn script(&mut self) -> Result<(), String> {
        self.wait(|driver| driver.status().is_some()).await?;

        self.step = "every kind of event";
        self.publish(script::all_kinds()).await;
        self.arrive().await?;

        self.step = "closed by the hub";
        self.link.hold();
        let id = self.driver.status().and_then(client_id).ok_or("the status names no client")?;
        self.hub.close(&id).await;
        self.come_back(1).await?;

        self.step = "reset in the middle of an event";
        self.link.hold();
        self.link.cut_after(BREAKS_HERE.as_bytes(), Cut::Reset);
        self.publish(vec![script::reset()]).await;
        self.cut(1).await?;
        self.come_back(2).await?;

        self.step = "ended in the middle of an event";
        self.link.hold();
        self.link.cut_after(format!("{BREAKS_HERE}\n").as_bytes(), Cut::End);
        let whole = self.hub.publish(&self.topic, &script::torn()).await;
        let torn = script::torn_off(&whole);
        self.happenings.push(Happening::Torn { whole, torn });
        self.cut(2).await?;
        self.come_back(3).await?;

        self.step = "live again";
        self.publish(script::in_the_end()).await;
        self.arrive().await?;

        self.step = "a heartbeat";
        let heartbeat = timeout(LIMIT, self.link.until_heartbeat()).await;
        heartbeat.map_err(|_| "there was none")?;
        self.happenings.push(Happening::Heartbeat);
        self.publish(script::last()).await;
        self.arrive().await
    }

    async fn publish(&mut self, letters: Vec<Letter>) {
        for letter in &letters {
            let seen = self.hub.publish(&self.topic, letter).await;
            self.happenings.push(Happening::Event(seen));
        }
    }

    /// Waits until the network has cut this many streams.
    async fn cut(&self, count: usize) -> Result<(), String> {
        let cut = timeout(LIMIT, self.link.until_cut(count)).await;
        cut.map_err(|_| "the network did not cut it".to_owned())
    }

    /// Publishes while the client is away; then lets it come back for what it missed.
    async fn come_back(&mut self, time: usize) -> Result<(), String> {
        self.hub.until_nobody_follows(&self.topic).await;
        self.publish(script::while_away(time)).await;
        self.link.release();
        self.arrive().await
    }

    /// Waits until the client has received as many events as it should.
    async fn arrive(&mut self) -> Result<(), String> {
        let count = self.client.receives(&self.happenings).len();
        self.wait(|driver| driver.count() >= count).await
    }

    async fn wait(&mut self, is_there: impl Fn(&Driver) -> bool) -> Result<(), String> {
        let there = async {
            while !is_there(&self.driver) {
                self.driver.advance().await?;
            }
            Ok(())
        };
        timeout(LIMIT, there).await.unwrap_or_else(|_| Err(format!("not within {LIMIT:?}")))
    }
}
