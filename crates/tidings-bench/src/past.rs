//! The past of a pattern over many topics: for how long each step keeps a thread that serves others.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Wake, Waker};
use std::thread::{self, Thread};
use std::time::{Duration, Instant};

use futures_util::Stream;
use memchr::memmem;
use tidings::{Event, History, Hub, Resume, Subscribe, Subscription};

use crate::error::Error;

/// Topics with one event each, and clients of all of them.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Past {
    /// Topics
    #[arg(long, default_value_t = 100_000)]
    topics: usize,
    /// Clients, one after the other
    #[arg(long, default_value_t = 20)]
    clients: usize,
}

/// How long to wait without an event.
const PATIENCE: Duration = Duration::from_secs(60);

/// The longest of some steps, and all of them together.
#[derive(Debug, Default)]
struct Steps {
    longest: Duration,
    total: Duration,
    count: u32,
}

impl Steps {
    fn time<T>(&mut self, step: impl FnOnce() -> T) -> T {
        let began = Instant::now();
        let result = step();
        let took = began.elapsed();
        self.longest = self.longest.max(took);
        self.total += took;
        self.count += 1;
        result
    }

    fn cells(&self) -> String {
        let millis = |time: Duration| time.as_secs_f64() * 1e3;
        let mean = millis(self.total) / f64::from(self.count.max(1));
        format!("{mean:.3} | {:.3}", millis(self.longest))
    }
}

struct Unpark(Thread);

impl Wake for Unpark {
    fn wake(self: Arc<Self>) {
        self.0.unpark();
    }
}

impl Past {
    /// Reads, and prints the times.
    pub(crate) fn run(self) -> Result<(), Error> {
        let hub = Hub::builder().heartbeat(None).max_retained_bytes(1 << 30).build();
        let first = self.publish(&hub, "elsewhere")?;
        for n in 0..self.topics {
            self.publish(&hub, &format!("topic/{n}"))?;
        }
        println!(
            "{} topics, {} clients; milliseconds, mean and longest",
            self.topics, self.clients
        );
        println!(
            "| client | open | longest | poll | longest | drop | longest | until all is read |"
        );
        println!("|---|--:|--:|--:|--:|--:|--:|--:|");
        let resume = Resume::new().with_last_event_id(&first);
        let subscribe = || hub.subscribe_matching(["topic/*"]);
        self.measure("fresh, with history", || subscribe().history(History::All))?;
        self.measure("resumes", || subscribe().resume(resume.clone()))
    }

    /// Returns the event's id.
    fn publish(self, hub: &Hub, topic: &str) -> Result<String, Error> {
        let published = hub.publish(topic, Event::new("x")).wait();
        let published = published.map_err(|error| Error::new(error.to_string()))?;
        Ok(published.id().to_string())
    }

    fn measure(self, what: &str, subscribe: impl Fn() -> Subscribe) -> Result<(), Error> {
        let (mut opens, mut polls, mut drops) =
            (Steps::default(), Steps::default(), Steps::default());
        let mut whole = Steps::default();
        for _ in 0..self.clients {
            let subscribe = subscribe();
            let opened = opens.time(|| subscribe.open());
            let mut stream = opened.map_err(|error| Error::new(error.to_string()))?;
            whole.time(|| self.read(&mut stream, &mut polls))?;
            drops.time(|| drop(stream));
        }
        println!(
            "| {what} | {} | {} | {} | {:.1} |",
            opens.cells(),
            polls.cells(),
            drops.cells(),
            whole.total.as_secs_f64() * 1e3 / f64::from(whole.count.max(1))
        );
        Ok(())
    }

    /// Reads an event of each topic.
    fn read(self, stream: &mut Subscription, polls: &mut Steps) -> Result<(), Error> {
        let waker = Waker::from(Arc::new(Unpark(thread::current())));
        let mut cx = Context::from_waker(&waker);
        let mut events = 0;
        let mut last = Instant::now();
        while events < self.topics {
            match polls.time(|| Pin::new(&mut *stream).poll_next(&mut cx)) {
                Poll::Ready(Some(Ok(bytes))) => {
                    events += memmem::find_iter(&bytes, "data: x\n").count();
                    last = Instant::now();
                }
                Poll::Ready(_) => return Err(Error::new("the stream has ended")),
                Poll::Pending if last.elapsed() > PATIENCE => {
                    return Err(Error::new(format!("no event for a minute, after {events}")));
                }
                Poll::Pending => thread::park_timeout(Duration::from_secs(10)),
            }
        }
        Ok(())
    }
}
