//! The events that the live page shows: a ticker, notifications and a long job.
//!
//! Publishing needs only a handle to the hub. These three are ordinary tasks. They retry an event that the hub's log does not
//! accept with a key, so that it is published once.

use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use serde_json::{Value, json};
use tidings::{Event, History, Hub, error::PublishErrorKind};
use tokio::time::{MissedTickBehavior, interval, sleep};

/// How long a task waits before it retries.
const RETRY: Duration = Duration::from_secs(1);

/// Starts the three tasks, which run until the hub is closed.
pub fn start(hub: &Hub) {
    tokio::spawn(ticker(hub.clone()));
    tokio::spawn(notifications(hub.clone()));
    tokio::spawn(job(hub.clone()));
}

type Outcome = Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Publishes an event, with retries. Returns errors that a retry does not fix.
async fn publish(hub: &Hub, topic: &str, name: &str, data: &Value) -> Outcome {
    let key = format!("{topic}/{}", since_1970()?.as_nanos());
    loop {
        match hub.publish_once(&*key, topic, Event::json(name, data)?).await {
            Err(error) if error.kind() == PublishErrorKind::Log => sleep(RETRY).await,
            outcome => return outcome.map(drop).map_err(Into::into),
        }
    }
}

fn since_1970() -> Result<Duration, std::time::SystemTimeError> {
    SystemTime::now().duration_since(UNIX_EPOCH)
}

/// Topic `ticker`: a changing price, five times a second. `n` counts without a gap, so that clients can check that nothing is
/// missing.
async fn ticker(hub: Hub) -> Outcome {
    let mut every = interval(Duration::from_millis(200));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let newest = newest_tick(&hub).await;
    for n in newest + 1.. {
        every.tick().await;
        let price = (price_at(n) * 100.0).round() / 100.0;
        let data = json!({ "n": n, "symbol": "TIDE", "price": price });
        publish(&hub, "ticker", "price", &data).await?;
    }
    Ok(())
}

/// The number of the newest tick, 0 without one. A log has those of an earlier run, from which clients resume.
async fn newest_tick(hub: &Hub) -> u64 {
    let Ok(history) = hub.history("ticker", History::Last(100)).await else { return 0 };
    let mut ticks = history.events.iter().rev().filter(|event| event.event() == "price");
    let number = ticks.find_map(|event| {
        let data: Value = serde_json::from_str(event.data()).ok()?;
        // Anybody may publish here. Pages cannot count further than this.
        data["n"].as_u64().filter(|n| *n < 1 << 53)
    });
    number.unwrap_or(0)
}

/// Waves of four lengths look like a market, and need no random numbers.
fn price_at(n: u64) -> f64 {
    let n = n as f64;
    let wave = |length: f64, height: f64| (n / length).sin() * height;
    100.0 + wave(97.0, 3.0) + wave(41.0, 1.2) + wave(13.3, 0.5) + wave(3.1, 0.15)
}

/// Topic `notifications`: one every five seconds.
async fn notifications(hub: Hub) -> Outcome {
    const TEXTS: [(&str, &str, &str); 6] = [
        ("info", "Ada joined the room", "She left off at page 12 and goes on from there."),
        ("success", "Backup complete", "1,204 files, 3.2 GB, nothing skipped."),
        ("info", "New comment on your draft", "\u{201c}The second paragraph could go.\u{201d}"),
        ("warning", "Disk 81% full", "At this rate it is full on Thursday."),
        ("success", "Payment received", "Order 1733 is on its way."),
        ("info", "Lunch is here", "Dumplings, first floor."),
    ];
    let mut every = interval(Duration::from_secs(5));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for (n, (level, title, text)) in (1_u64..).zip(TEXTS.into_iter().cycle()) {
        every.tick().await;
        let at = u64::try_from(since_1970()?.as_millis())?;
        let data = json!({ "n": n, "level": level, "title": title, "text": text, "at": at });
        publish(&hub, "notifications", "notification", &data).await?;
    }
    Ok(())
}

/// Topic `job`: the progress of a job that takes about twenty seconds, again and again.
async fn job(hub: Hub) -> Outcome {
    const STEPS: u64 = 8;
    let mut every = interval(Duration::from_millis(200));
    every.set_missed_tick_behavior(MissedTickBehavior::Skip);
    for job in 1_u64.. {
        let began = Instant::now();
        for percent in 0..=100_u64 {
            every.tick().await;
            let step = (percent * STEPS / 100 + 1).min(STEPS);
            let step = format!("Encoding chapter {step} of {STEPS}");
            let data = json!({ "job": job, "percent": percent, "step": step });
            publish(&hub, "job", "progress", &data).await?;
        }
        let took = u64::try_from(began.elapsed().as_millis())?;
        let data = json!({ "job": job, "took_ms": took });
        publish(&hub, "job", "done", &data).await?;
        sleep(Duration::from_secs(4)).await;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use tokio::task::yield_now;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn ticks_go_on_from_those_of_an_earlier_run() {
        let hub = Hub::new();
        for (name, data) in [
            ("price", r#"{"n":40}"#),
            ("price", r#"{"n":41}"#),
            ("price", "no number"),
            ("other", r#"{"n":1}"#),
        ] {
            hub.publish("ticker", Event::named(name, data).unwrap()).await.unwrap();
        }
        let ticker = tokio::spawn(ticker(hub.clone()));
        let next = async {
            loop {
                match newest_tick(&hub).await {
                    41 => yield_now().await,
                    n => break n,
                }
            }
        };
        let next = timeout(Duration::from_secs(10), next).await.unwrap();
        ticker.abort();
        assert!(next > 41, "{next}");
    }
}
