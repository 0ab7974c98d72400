//! Many clients in one thread, which count the events that they receive.
//!
//! `tidings_load::Fleet` judges what it receives, and takes several times as long for an event. Then
//! the figures of fast servers would be those of the load generator.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr};
use std::time::{Duration, Instant};

use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use socket2::{Domain, Socket, Type};

use crate::error::Error;
use crate::reader::Reader;
use crate::stamp::Clock;

/// How long to wait without any progress.
const PATIENCE: Duration = Duration::from_secs(60);

/// Connections that may be under way at the same time, except in a storm.
const WINDOW: usize = 256;

/// The clients of one server.
#[derive(Debug)]
pub(crate) struct Fleet {
    addr: SocketAddr,
    clock: Clock,
    poll: Poll,
    ready: Events,
    buffer: Vec<u8>,
    clients: Vec<Client>,
    answered: usize,
    received: u64,
    /// The number of events that each client should reach, and how many clients have.
    goal: u64,
    reached: usize,
    /// Microseconds from publication to receipt, if they are recorded.
    latencies: Option<Vec<u32>>,
    keeps_id: bool,
    /// The last byte of the loopback address that connections come from.
    source: u8,
}

#[derive(Debug)]
struct Client {
    stream: TcpStream,
    /// Not sent yet.
    request: Option<Box<str>>,
    reader: Reader,
}

impl Fleet {
    /// No clients yet.
    pub(crate) fn new(addr: SocketAddr, clock: Clock) -> Result<Self, Error> {
        Ok(Self {
            addr,
            clock,
            poll: Poll::new()?,
            ready: Events::with_capacity(1024),
            buffer: vec![0; 256 * 1024],
            clients: Vec::new(),
            answered: 0,
            received: 0,
            goal: u64::MAX,
            reached: 0,
            latencies: None,
            keeps_id: false,
            source: 1,
        })
    }

    /// As [`new`](Self::new), for clients that remember the last event's id.
    pub(crate) fn with_ids(addr: SocketAddr, clock: Clock) -> Result<Self, Error> {
        Ok(Self { keeps_id: true, ..Self::new(addr, clock)? })
    }

    /// How many clients there are.
    pub(crate) fn len(&self) -> usize {
        self.clients.len()
    }

    /// The id of the last event that the first client received.
    pub(crate) fn last_id(&self) -> Option<&str> {
        self.clients.first()?.reader.id()
    }

    /// How many events have been received.
    pub(crate) fn received(&self) -> u64 {
        self.received
    }

    /// Records latencies from now on.
    pub(crate) fn record(&mut self) {
        self.latencies = Some(Vec::new());
    }

    /// The latencies since [`record`](Self::record), in microseconds.
    pub(crate) fn recorded(&mut self) -> Vec<u32> {
        self.latencies.take().unwrap_or_default()
    }

    /// Connects clients until there are `count`, and waits until all have a response. `path` returns
    /// the path of a client by its number.
    pub(crate) fn connect(
        &mut self,
        count: usize,
        path: impl Fn(usize) -> String,
    ) -> Result<(), Error> {
        while self.clients.len() < count {
            let path = path(self.clients.len());
            self.begin(&path, None)?;
            let wanted = (self.clients.len() + 1).saturating_sub(WINDOW);
            self.wait("connections", |fleet| fleet.answered >= wanted)?;
        }
        self.wait("connections", |fleet| fleet.answered == fleet.clients.len())
    }

    /// Connects `count` clients that resume, all at once, without waiting for any.
    pub(crate) fn storm(&mut self, count: usize, path: &str, last_id: &str) -> Result<(), Error> {
        while self.clients.len() < count {
            self.begin(path, Some(last_id))?;
        }
        Ok(())
    }

    fn begin(&mut self, path: &str, last_id: Option<&str>) -> Result<(), Error> {
        let mut stream = self.stream()?;
        let token = Token(self.clients.len());
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut stream, token, interest)?;
        let addr = self.addr;
        let last_id = last_id.map(|id| format!("Last-Event-ID: {id}\r\n")).unwrap_or_default();
        let request = format!(
            "GET {path} HTTP/1.1\r\nHost: {addr}\r\nAccept: text/event-stream\r\n{last_id}\r\n"
        );
        let reader = Reader::new(self.keeps_id);
        self.clients.push(Client { stream, request: Some(request.into()), reader });
        Ok(())
    }

    /// A connection that is being made, from another loopback address when the ports of one are used
    /// up.
    fn stream(&mut self) -> Result<TcpStream, Error> {
        loop {
            let outcome = if self.source == 1 {
                TcpStream::connect(self.addr)
            } else {
                let source = Ipv4Addr::new(127, 0, 0, self.source);
                connect_from(SocketAddr::from((source, 0)), self.addr)
            };
            match outcome {
                Err(error)
                    if error.kind() == io::ErrorKind::AddrNotAvailable && self.source < 100 =>
                {
                    self.source += 1;
                }
                outcome => return Ok(outcome?),
            }
        }
    }

    /// From now on, [`wait_for_each`](Self::wait_for_each) waits for this many more events.
    pub(crate) fn expect(&mut self, more: u64) {
        let now = self.clients.iter().map(|client| client.reader.events()).max().unwrap_or(0);
        self.goal = now + more;
        self.reached =
            self.clients.iter().filter(|client| client.reader.events() >= self.goal).count();
    }

    /// Waits until every client has the [expected](Self::expect) events. Fails when a stream ends, or
    /// after a minute without progress; so do the other waits.
    pub(crate) fn wait_for_each(&mut self) -> Result<(), Error> {
        self.wait("events for each client", |fleet| fleet.reached == fleet.clients.len())
    }

    /// Waits until all clients together have received this many events.
    pub(crate) fn wait_for_total(&mut self, total: u64) -> Result<(), Error> {
        self.wait("events", |fleet| fleet.received >= total)
    }

    fn wait(&mut self, what: &str, done: impl Fn(&Self) -> bool) -> Result<(), Error> {
        let mut progress = (0, 0);
        let mut since = Instant::now();
        while !done(self) {
            self.turn(Some(Duration::from_millis(100)))?;
            if progress != (self.answered, self.received) {
                progress = (self.answered, self.received);
                since = Instant::now();
            } else if since.elapsed() > PATIENCE {
                return Err(Error::new(format!(
                    "no progress for a minute while waiting for {what}: {} clients, {} answered, {} \
                     events received",
                    self.clients.len(),
                    self.answered,
                    self.received,
                )));
            }
        }
        Ok(())
    }

    /// Reads what has come, or waits until something comes.
    pub(crate) fn turn(&mut self, timeout: Option<Duration>) -> Result<(), Error> {
        match self.poll.poll(&mut self.ready, timeout) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            outcome => outcome?,
        }
        for event in &self.ready {
            let client = &mut self.clients[event.token().0];
            if event.is_writable()
                && let Some(request) = client.request.take()
            {
                client.stream.set_nodelay(true)?;
                // The socket is empty, and the request is short.
                client.stream.write_all(request.as_bytes())?;
            }
            if !event.is_readable() {
                continue;
            }
            loop {
                let length = match client.stream.read(&mut self.buffer) {
                    Ok(0) => return Err(Error::new("the server closed a client's connection")),
                    Ok(length) => length,
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) => return Err(error.into()),
                };
                let was_answered = client.reader.is_answered();
                let before = client.reader.events();
                let (now, latencies) = (self.clock.now(), &mut self.latencies);
                let record = |stamp| {
                    if let Some(latencies) = latencies {
                        latencies.push(now.since(stamp));
                    }
                };
                client.reader.read(&self.buffer[..length], record).map_err(Error::new)?;
                if client.reader.has_ended() {
                    return Err(Error::new("the server ended a client's stream"));
                }
                self.answered += usize::from(!was_answered && client.reader.is_answered());
                let after = client.reader.events();
                self.received += after - before;
                self.reached += usize::from(before < self.goal && after >= self.goal);
                // A socket that fills less than the buffer is empty.
                if length < self.buffer.len() {
                    break;
                }
            }
        }
        Ok(())
    }

    /// Whether each client has received exactly this many events.
    pub(crate) fn each_has_exactly(&self, events: u64) -> bool {
        self.clients.iter().all(|client| client.reader.events() == events)
    }
}

fn connect_from(source: SocketAddr, to: SocketAddr) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(to), Type::STREAM, None)?;
    socket.set_nonblocking(true)?;
    socket.bind(&source.into())?;
    match socket.connect(&to.into()) {
        Err(error) if !is_under_way(&error) => Err(error),
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

/// std has no stable kind for EINPROGRESS.
fn is_under_way(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::WouldBlock || error.raw_os_error() == Some(115)
}
