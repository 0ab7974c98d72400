use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use tidings::{Decoder, END_EVENT, Message, STATUS_EVENT};
use tidings_tests::random::Random;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

use crate::REPLAYED;
use crate::nodes::Node;

/// The ids of all events, which are numbered from 0.
#[derive(Debug, Default)]
pub(crate) struct Events(Mutex<Vec<String>>);

impl Events {
    pub(crate) fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    pub(crate) fn published(&self, id: String) {
        self.0.lock().unwrap().push(id);
    }

    fn id(&self, number: usize) -> String {
        self.0.lock().unwrap()[number].clone()
    }
}

/// One connection.
#[derive(Debug, Clone)]
pub(crate) struct Visit {
    pub(crate) node: usize,
    pub(crate) began: Instant,
    /// How long the client was without its stream, or did not have everything.
    pub(crate) away: Option<Duration>,
    pub(crate) was_turned_away: bool,
}

/// Behaves as a browser's EventSource behind a load balancer.
pub(crate) struct Client {
    nodes: Arc<Vec<Node>>,
    events: Arc<Events>,
    random: Mutex<Random>,
    visits: Mutex<Vec<Visit>>,
    /// How many events it has, once it is connected and has what it had missed.
    has: AtomicUsize,
}

impl Client {
    pub(crate) fn new(number: usize, nodes: Arc<Vec<Node>>, events: &Arc<Events>) -> Self {
        Self {
            nodes,
            events: events.clone(),
            random: Mutex::new(Random::new(1, number as u64)),
            visits: Mutex::default(),
            has: AtomicUsize::new(0),
        }
    }

    /// Whether it is connected and has all events.
    pub(crate) fn is_current(&self) -> bool {
        self.has.load(Ordering::Relaxed) >= self.events.count()
    }

    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.visits.lock().unwrap().clone()
    }

    /// Connects, and comes back whenever its stream ends.
    pub(crate) async fn run(self: Arc<Self>) {
        let mut lost = None;
        let mut retry = Duration::from_secs(3);
        // The connections of so many clients do not begin at the same moment.
        let ramp = self.random.lock().unwrap().below(2_000);
        sleep(Duration::from_millis(ramp as u64)).await;
        loop {
            match self.choose() {
                Some(node) => {
                    // Else it was turned away, or the connection was refused.
                    if let Ok(true) = self.visit(node, lost, &mut retry).await {
                        lost = Some(Instant::now());
                    }
                }
                None => sleep(Duration::from_millis(100)).await,
            }
            sleep(retry).await;
        }
    }

    /// A node that is ready.
    fn choose(&self) -> Option<usize> {
        let is_ready = |number: &usize| self.nodes[*number].is_ready.load(Ordering::Relaxed);
        let ready: Vec<_> = (0..self.nodes.len()).filter(is_ready).collect();
        let mut random = self.random.lock().unwrap();
        (!ready.is_empty()).then(|| ready[random.below(ready.len())])
    }

    /// Reads a stream to its end. Returns whether it was one.
    async fn visit(
        &self,
        node: usize,
        lost: Option<Instant>,
        retry: &mut Duration,
    ) -> std::io::Result<bool> {
        let mut socket = TcpStream::connect(self.nodes[node].addr).await?;
        // As if it had been away for longer: so many events are to be replayed.
        let newest = self.events.count();
        let mut next = newest.saturating_sub(REPLAYED);
        let id = self.events.id(next - 1);
        let request = format!("GET /events?topic=deploy HTTP/1.0\r\nLast-Event-ID: {id}\r\n\r\n");
        socket.write_all(request.as_bytes()).await?;
        let (mut bytes, mut head) = ([0; 16 * 1024], Some(Vec::new()));
        let (mut decoder, mut visit) = (Decoder::new(), None::<Visit>);
        let mut was_current = false;
        loop {
            let read = match socket.read(&mut bytes).await {
                Ok(0) | Err(_) => break,
                Ok(read) => &bytes[..read],
            };
            let mut body = read;
            let rest;
            if let Some(so_far) = &mut head {
                so_far.extend_from_slice(read);
                let Some(end) = so_far.windows(4).position(|window| window == b"\r\n\r\n") else {
                    continue;
                };
                assert!(so_far.starts_with(b"HTTP/1.0 200") || so_far.starts_with(b"HTTP/1.1 200"));
                rest = so_far.split_off(end + 4);
                head = None;
                body = &rest;
            }
            decoder.feed(body).unwrap();
            while let Some(message) = decoder.next_message() {
                match message.event() {
                    STATUS_EVENT => {
                        assert!(message.data().contains("resumed"), "{}", message.data());
                        let (began, was_turned_away) = (Instant::now(), false);
                        visit = Some(Visit { node, began, away: None, was_turned_away });
                    }
                    END_EVENT if visit.is_none() => {
                        assert!(message.data().contains("drained"), "{}", message.data());
                        let began = Instant::now();
                        let visit = Visit { node, began, away: None, was_turned_away: true };
                        self.visits.lock().unwrap().push(visit);
                    }
                    END_EVENT => {}
                    _ => next = self.take(&message, next),
                }
                if next >= newest
                    && let Some(visit) = &mut visit
                {
                    if !std::mem::replace(&mut was_current, true) {
                        visit.away = lost.map(|lost| lost.elapsed());
                        self.visits.lock().unwrap().push(visit.clone());
                    }
                    self.has.store(next, Ordering::Relaxed);
                }
            }
            if let Some(time) = decoder.retry() {
                *retry = time;
            }
        }
        self.has.store(0, Ordering::Relaxed);
        Ok(visit.is_some())
    }

    /// Takes an event, which must be the next.
    fn take(&self, message: &Message, next: usize) -> usize {
        let number = message.data().split(' ').next().and_then(|number| number.parse().ok());
        assert_eq!(number, Some(next), "events are missing, or come twice");
        next + 1
    }
}
