//! A client that does at random what clients do, and records what it receives.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tidings::{Message, STATUS_EVENT};
use tidings_testkit::checker::{Entry, EventId, Fault, Summary, Visit, check_uneven, is_of};
use tidings_testkit::limit::LIMIT;
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::fault_injector::Damage;
use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::ASKED;

/// What a client has received since it last changed its topics, or sent no id or one that is not its last.
#[derive(Clone)]
struct Life {
    topics: Vec<&'static str>,
    visits: Vec<Visit>,
    /// What it would send as its `Last-Event-ID`; empty for nothing.
    last: String,
}

/// What happened, for people.
impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "topics {:?}", self.topics)?;
        for Visit { claimed, messages } in &self.visits {
            write!(f, "claims {claimed:?}:")?;
            for message in messages {
                let id = message.last_event_id();
                match message.event() {
                    STATUS_EVENT => write!(f, " {}@{id}", message.data())?,
                    _ => write!(f, " {}", EventId::parse(id).map_or(0, |id| id.position))?,
                }
            }
            writeln!(f)?;
        }
        write!(f, "last id {:?}", self.last)
    }
}

#[derive(Clone)]
pub(crate) struct Client {
    random: Random,
    addr: SocketAddr,
    /// Whether it also claims ids that are none of the hub's.
    claims_oddly: bool,
    ending: watch::Receiver<bool>,
    /// The last one is the current one.
    lives: Vec<Life>,
}

impl Client {
    pub(crate) fn new(
        random: Random,
        addr: SocketAddr,
        claims_oddly: bool,
        ending: watch::Receiver<bool>,
    ) -> Self {
        let mut client = Self { random, addr, claims_oddly, ending, lives: Vec::new() };
        client.begin_life(String::new());
        client
    }

    /// Comes and goes until the round ends.
    pub(crate) async fn run(mut self) -> Self {
        while !*self.ending.borrow() {
            if self.random.one_in(8) {
                self.change();
            }
            self.visit().await;
        }
        self
    }

    /// Continues with other topics, without an id, or with one that is not its last.
    fn change(&mut self) {
        match self.random.below(if self.claims_oddly { 3 } else { 2 }) {
            0 => self.begin_life(String::new()),
            // An old id.
            1 => {
                let life = &self.lives[self.random.below(self.lives.len())];
                let ids: Vec<_> = life.visits.iter().flat_map(|visit| &visit.messages).collect();
                let last = match ids.len() {
                    0 => String::new(),
                    count => ids[self.random.below(count)].last_event_id().to_owned(),
                };
                let topics = life.topics.clone();
                self.lives.push(Life { topics, visits: Vec::new(), last });
            }
            // An id of another history, or no id of any.
            _ => {
                let odd = ["elsewhere-7", "x", "-", "\u{fffd}"][self.random.below(4)];
                self.begin_life(odd.to_owned());
            }
        }
    }

    fn begin_life(&mut self, last: String) {
        let count = 1 + self.random.below(3);
        let first = self.random.below(ASKED.len());
        let topics = (0..count).map(|n| ASKED[(first + 5 * n) % ASKED.len()]).collect();
        self.lives.push(Life { topics, visits: Vec::new(), last });
    }

    /// One connection, which ends in a random way.
    async fn visit(&mut self) {
        let mut connection = match self.random.one_in(3) {
            true => Connection::open_narrow(self.addr, 4096).await,
            false => Connection::open(self.addr).await,
        };
        let request = self.request();
        if self.random.one_in(20) {
            // An incomplete request.
            let bytes = request.bytes();
            connection.write(&bytes[..self.random.below(bytes.len())]).await;
            return connection.reset();
        }
        let mut response = connection.send(&request).await;
        assert_eq!(response.status(), 200, "a native EventSource would give up");
        let bytes = self.random.logarithmic(2_000_000);
        let stalls = self.random.one_in(4);
        let mut ending = self.ending.clone();
        let limit = Duration::from_millis(self.random.logarithmic(2_000) as u64);
        let reading = async {
            while response.body().len() < bytes && response.ending().is_none() {
                if stalls && self.random.one_in(4) {
                    sleep(Duration::from_millis(self.random.logarithmic(300) as u64)).await;
                }
                response.read_some(bytes).await;
            }
        };
        tokio::select! {
            () = reading => {}
            // A quiet topic may have too few events.
            () = sleep(limit) => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
        self.record(&response);
        match self.random.below(3) {
            0 => response.reset(),
            1 => response.close().await,
            _ => drop(response),
        }
    }

    fn request(&self) -> Request {
        let life = self.life();
        let request = Request::get(&format!("/events?topics={}", life.topics.join(",")));
        match life.last.as_str() {
            "" => request,
            last => request.header("last-event-id", last),
        }
    }

    fn life(&self) -> &Life {
        self.lives.last().unwrap()
    }

    fn record(&mut self, response: &Response) {
        let life = self.lives.last_mut().unwrap();
        let claimed = (!life.last.is_empty()).then(|| life.last.clone());
        life.visits.push(Visit::of(claimed.as_deref(), response));
        if !response.last_event_id().is_empty() {
            life.last = response.last_event_id().to_owned();
        }
    }

    /// Reads to the last event of its topics, with as many connections as it needs.
    pub(crate) async fn catch_up(&mut self, published: &[Entry]) -> Result<(), String> {
        let mine = |entry: &&Entry| is_of(&self.life().topics, &entry.topic);
        let last = EventId::of(&published.iter().rev().find(mine).unwrap().id);
        let has_last = |id: &str| EventId::parse(id).is_some_and(|id| id.has(last));
        let catching_up = async {
            while !has_last(&self.life().last) || self.life().visits.is_empty() {
                let connection = Connection::open(self.addr).await;
                let mut response = connection.send(&self.request()).await;
                while response.ending().is_none() && !has_last(response.last_event_id()) {
                    response.read_some(usize::MAX).await;
                }
                self.record(&response);
                response.reset();
            }
        };
        timeout(LIMIT, catching_up)
            .await
            .map_err(|_| format!("{:?} got nothing after {}", self.life().topics, self.life().last))
    }

    /// An event that this client received.
    pub(crate) fn any_event(&self) -> Option<&Message> {
        let messages =
            self.lives.iter().flat_map(|life| &life.visits).flat_map(|visit| &visit.messages);
        messages.filter(|message| message.event() != STATUS_EVENT).last()
    }

    /// Damages what it has received. Returns whether there was an event to damage.
    pub(crate) fn damage(
        &mut self,
        damage: Damage,
        published: &[Entry],
        foreign: Option<&Message>,
    ) -> bool {
        let Self { lives, random, .. } = self;
        lives.iter_mut().any(|life| {
            let topic_of = |message: &Message| {
                published.iter().find(|entry| entry.id == message.last_event_id())
            };
            let is_foreign = |message: &&Message| {
                topic_of(message).is_some_and(|entry| !is_of(&life.topics, &entry.topic))
            };
            let foreign = foreign.filter(is_foreign);
            life.visits.iter_mut().any(|visit| damage.inject(visit, foreign, random))
        })
    }

    /// Whether it has received what it should.
    pub(crate) fn check(&self, published: &[Entry]) -> Result<Summary, Fault> {
        let mut all = Summary::default();
        for (index, life) in self.lives.iter().enumerate() {
            // It has caught up in its last life only.
            let is_last = index + 1 == self.lives.len();
            all += check_uneven(published, &life.topics, &life.visits, is_last)
                .inspect_err(|fault| eprintln!("{fault}, in life {index}:\n{life}"))?;
        }
        Ok(all)
    }
}
