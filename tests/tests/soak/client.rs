//! A client that does everything that clients do, and writes down what it receives.

use std::fmt;
use std::net::SocketAddr;
use std::time::Duration;

use tidings::STATUS_EVENT;
use tidings_testkit::checker::{Entry, Fault, Summary, Visit, check_uneven, is_of};
use tidings_testkit::limit::LIMIT;
use tidings_testkit::wire::{Connection, Request, Response};
use tidings_tests::random::Random;
use tokio::sync::watch;
use tokio::time::{sleep, timeout};

use crate::ASKED;

/// Where a client connects.
#[derive(Clone, Copy)]
pub(crate) struct Plan {
    addr: SocketAddr,
    /// Whether somebody is between it and the server, who reads along: then it is a quiet one, and
    /// asks for a body without framing.
    is_tapped: bool,
    /// Whether it also claims what is not an id of the hub.
    claims_oddly: bool,
}

impl Plan {
    pub(crate) fn to(addr: SocketAddr) -> Self {
        Self { addr, is_tapped: false, claims_oddly: false }
    }

    pub(crate) fn with_odd_claims(self, claims_oddly: bool) -> Self {
        Self { claims_oddly, ..self }
    }

    pub(crate) fn through(addr: SocketAddr) -> Self {
        Self { addr, is_tapped: true, claims_oddly: false }
    }
}

/// What a client has seen since it began anew: with other topics, without an id, or with one that
/// is not its last.
struct Life {
    topics: Vec<&'static str>,
    visits: Vec<Visit>,
    /// What it would send as its Last-Event-ID; empty for nothing.
    last: String,
}

/// What happened, for people.
impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "topics {:?}", self.topics)?;
        for Visit { claimed, messages } in &self.visits {
            write!(f, "claims {claimed:?}:")?;
            for message in messages {
                let at = position(message.last_event_id());
                match message.event() {
                    STATUS_EVENT => write!(f, " {}@{at}", message.data())?,
                    _ => write!(f, " {at}")?,
                }
            }
            writeln!(f)?;
        }
        write!(f, "last id {:?}", self.last)
    }
}

pub(crate) struct Client {
    random: Random,
    plan: Plan,
    ending: watch::Receiver<bool>,
    /// The last one is the one that it is in.
    lives: Vec<Life>,
}

impl Client {
    pub(crate) fn new(random: Random, plan: Plan, ending: watch::Receiver<bool>) -> Self {
        let mut client = Self { random, plan, ending, lives: Vec::new() };
        client.begin_anew(String::new());
        client
    }

    /// Comes and goes until the round ends.
    pub(crate) async fn run(mut self) -> Self {
        while !*self.ending.borrow() {
            if !self.plan.is_tapped && self.random.one_in(8) {
                self.begin_anew_somehow();
            }
            self.visit().await;
        }
        self
    }

    fn begin_anew_somehow(&mut self) {
        let last = match self.random.below(if self.plan.claims_oddly { 3 } else { 2 }) {
            0 => String::new(),
            // Of long ago.
            1 => {
                let life = &self.lives[self.random.below(self.lives.len())];
                let topics = life.topics.clone();
                let ids: Vec<_> = life.visits.iter().flat_map(|visit| &visit.messages).collect();
                let id = (!ids.is_empty())
                    .then(|| ids[self.random.below(ids.len())].last_event_id().to_owned());
                self.lives.push(Life { topics, visits: Vec::new(), last: id.unwrap_or_default() });
                return;
            }
            // Of another history, or of none.
            _ => ["elsewhere-7", "x", "-", "\u{fffd}"][self.random.below(4)].to_owned(),
        };
        self.begin_anew(last);
    }

    fn begin_anew(&mut self, last: String) {
        let count = 1 + self.random.below(3);
        let first = self.random.below(ASKED.len());
        let topics = (0..count).map(|n| ASKED[(first + 5 * n) % ASKED.len()]).collect();
        self.lives.push(Life { topics, visits: Vec::new(), last });
    }

    /// One connection, which ends somehow.
    async fn visit(&mut self) {
        let connection = match self.random.one_in(3) && !self.plan.is_tapped {
            true => Connection::open_narrow(self.plan.addr, 4096).await,
            false => Connection::open(self.plan.addr).await,
        };
        let request = self.request();
        if !self.plan.is_tapped && self.random.one_in(20) {
            // Not even the whole request.
            let bytes = request.bytes();
            let mut connection = connection;
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
            // Else a quiet topic would keep it.
            () = sleep(limit), if !self.plan.is_tapped => {}
            _ = ending.wait_for(|ending| *ending) => {}
        }
        self.note(&response);
        match self.random.below(3) {
            0 => response.reset(),
            1 => response.close().await,
            _ => drop(response),
        }
    }

    fn request(&self) -> Request {
        let life = self.life();
        let request = Request::get(&format!("/events?topics={}", life.topics.join(",")));
        let request = match life.last.as_str() {
            "" => request,
            last => request.header("last-event-id", last),
        };
        if self.plan.is_tapped { request.http_1_0() } else { request }
    }

    fn life(&self) -> &Life {
        self.lives.last().unwrap()
    }

    fn note(&mut self, response: &Response) {
        let life = self.lives.last_mut().unwrap();
        let claimed = (!life.last.is_empty()).then(|| life.last.clone());
        life.visits.push(Visit::of(claimed.as_deref(), response));
        if !response.last_event_id().is_empty() {
            life.last = response.last_event_id().to_owned();
        }
    }

    /// Reads to the last event of its topics, by as many connections as it takes.
    pub(crate) async fn catch_up(&mut self, published: &[Entry]) -> Result<(), String> {
        let mine = |entry: &&Entry| is_of(&self.life().topics, &entry.topic);
        let last = position(&published.iter().rev().find(mine).unwrap().id);
        let is_there = |id: &str| !id.is_empty() && position(id) >= last;
        let catching_up = async {
            while !is_there(&self.life().last) || self.life().visits.is_empty() {
                let connection = Connection::open(self.plan.addr).await;
                let mut response = connection.send(&self.request()).await;
                while response.ending().is_none() && !is_there(response.last_event_id()) {
                    response.read_some(usize::MAX).await;
                }
                self.note(&response);
                response.reset();
            }
        };
        match timeout(LIMIT, catching_up).await {
            Ok(()) => Ok(()),
            Err(_) => {
                Err(format!("{:?} never came behind {}", self.life().topics, self.life().last))
            }
        }
    }

    /// Whether it has received what it had to.
    pub(crate) fn check(&self, published: &[Entry]) -> Result<Summary, Fault> {
        let mut all = Summary::default();
        for (index, life) in self.lives.iter().enumerate() {
            // It left an earlier life where it was.
            let is_last = index + 1 == self.lives.len();
            let summary = check_uneven(published, &life.topics, &life.visits, is_last)
                .inspect_err(|fault| eprintln!("{fault}, in life {index}:\n{life}"))?;
            all.events += summary.events;
            all.resumed += summary.resumed;
            all.resets += summary.resets;
        }
        Ok(all)
    }
}

/// The position in an id; 0 in what is none.
pub(crate) fn position(id: &str) -> u64 {
    id.rsplit_once('-').and_then(|(_, position)| position.parse().ok()).unwrap_or(0)
}
