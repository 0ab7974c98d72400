//! A topic that keeps the newest event of each key, and a reader that is far too slow for its publisher.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::routing::get;
use socket2::{Domain, Socket, Type};
use tidings::{Decoder, Event, History, Hub, Retention, STATUS_EVENT};
use tidings_axum::{Sse, SseRequest};

use crate::error::Error;

/// How much is published and read.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Values {
    /// Keys of the topic
    #[arg(long, default_value_t = 10_000)]
    keys: usize,
    /// Updates each second, of keys by turns
    #[arg(long, default_value_t = 50_000)]
    rate: usize,
    /// What the reader reads each second
    #[arg(long, default_value_t = 1_024)]
    bytes: usize,
    /// For how long
    #[arg(long, default_value_t = 30)]
    seconds: u64,
}

const TOPIC: &str = "values";

/// The server listens to nothing else that would need more.
const WORKERS: usize = 1;

/// What the reader keeps in the kernel at most: less than a second of it.
const RECEIVE_BUFFER: usize = 1_024;

/// What the reader has received.
struct Reader {
    socket: TcpStream,
    decoder: Decoder,
    began: Instant,
    /// The newest value of each key.
    known: Vec<usize>,
    bytes: usize,
    events: usize,
    resets: usize,
    /// How old values were when they were received.
    ages: Vec<Duration>,
}

impl Values {
    /// Publishes, reads, and prints what came.
    pub(crate) fn run(self) -> Result<(), Error> {
        let hub = Hub::builder()
            .retain(TOPIC, Retention::latest_per_key())
            .map_err(|error| Error::new(error.to_string()))?
            .build();
        let addr = serve(hub.clone())?;
        let began = Instant::now();
        let mut reader = Reader::connect(addr, self.keys, began)?;
        let is_over = AtomicBool::new(false);
        let published = thread::scope(|scope| {
            let publisher = scope.spawn(|| self.publish(&hub, began, &is_over));
            let read = self.read_slowly(&mut reader);
            is_over.store(true, Ordering::Relaxed);
            let published = publisher.join().map_err(|_| Error::new("the publisher has failed"));
            read.and(published?)
        })?;
        let took = began.elapsed();
        let total: usize = published.iter().sum();
        let rate = total as f64 / took.as_secs_f64();
        println!("published: {total} updates of {} keys, {rate:.0} each second", self.keys);
        println!("memory of the topic: {} KB", hub.metrics().retained_bytes / 1_000);
        println!("while it was slow, the reader got {}", reader.summary());
        reader.ages.clear();
        let began = Instant::now();
        let before = reader.bytes;
        while reader.known != published {
            reader.read(64 * 1024)?;
        }
        let (bytes, took) = ((reader.bytes - before) / 1_000, began.elapsed().as_secs_f64());
        println!(
            "then it read as fast as it could: after {bytes} KB and {took:.2} s it had the last value of each key"
        );
        match reader.resets {
            0 => Ok(()),
            resets => Err(Error::new(format!("the reader was reset {resets} times"))),
        }
    }

    /// Returns the last value of each key.
    fn publish(self, hub: &Hub, began: Instant, is_over: &AtomicBool) -> Result<Vec<usize>, Error> {
        let mut newest = vec![0; self.keys];
        let mut total = 0;
        let start = Instant::now();
        while !is_over.load(Ordering::Relaxed) {
            let due = (start.elapsed().as_secs_f64() * self.rate as f64) as usize;
            for n in total..due {
                let key = n % self.keys;
                if let Some(newest) = newest.get_mut(key) {
                    *newest += 1;
                    let data = format!("{key} {newest} {}", began.elapsed().as_micros());
                    let event = Event::keyed(key.to_string(), data);
                    let event = event.map_err(|error| Error::new(error.to_string()))?;
                    let published = hub.publish(TOPIC, event).wait();
                    published.map_err(|error| Error::new(error.to_string()))?;
                }
            }
            total = total.max(due);
            thread::sleep(Duration::from_millis(1));
        }
        Ok(newest)
    }

    fn read_slowly(self, reader: &mut Reader) -> Result<(), Error> {
        /// How often it reads each second.
        const STEPS: u32 = 16;
        let step = self.bytes.div_ceil(STEPS as usize);
        for n in 1..=self.seconds as u32 * STEPS {
            let at = reader.began + Duration::from_secs(1) * n / STEPS;
            thread::sleep(at.saturating_duration_since(Instant::now()));
            reader.read(step)?;
        }
        Ok(())
    }
}

/// Serves the topic from threads of this process.
fn serve(hub: Hub) -> Result<SocketAddr, Error> {
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(WORKERS).enable_all().build()?;
    let listener = runtime.block_on(tokio::net::TcpListener::bind("127.0.0.1:0"))?;
    let addr = listener.local_addr()?;
    let app = Router::new().route("/events", get(events)).with_state(hub.clone());
    thread::spawn(move || {
        if let Err(error) =
            runtime.block_on(async { tidings_axum::serve(listener, app, &hub).await })
        {
            eprintln!("the server has failed: {error}");
        }
    });
    Ok(addr)
}

async fn events(State(hub): State<Hub>, request: SseRequest) -> Sse {
    request.subscribe(&hub, TOPIC).history(History::All).into()
}

impl Reader {
    fn connect(addr: SocketAddr, keys: usize, began: Instant) -> Result<Self, Error> {
        let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
        // Before it connects, or the window would be larger.
        socket.set_recv_buffer_size(RECEIVE_BUFFER)?;
        socket.connect(&addr.into())?;
        let mut socket = TcpStream::from(socket);
        socket.set_read_timeout(Some(Duration::from_secs(10)))?;
        socket.write_all(b"GET /events HTTP/1.0\r\nHost: localhost\r\n\r\n")?;
        let mut head = Vec::new();
        let mut byte = [0];
        while !head.ends_with(b"\r\n\r\n") {
            socket.read_exact(&mut byte)?;
            head.extend_from_slice(&byte);
        }
        Ok(Self {
            socket,
            decoder: Decoder::new(),
            began,
            known: vec![0; keys],
            bytes: 0,
            events: 0,
            resets: 0,
            ages: Vec::new(),
        })
    }

    /// Reads at most so many bytes, and at least one.
    fn read(&mut self, most: usize) -> Result<(), Error> {
        let mut bytes = vec![0; most];
        let count = self.socket.read(&mut bytes)?;
        if count == 0 {
            return Err(Error::new("the stream has ended"));
        }
        self.bytes += count;
        let now = self.began.elapsed();
        let read = bytes.get(..count).unwrap_or_default();
        self.decoder.feed(read).map_err(|error| Error::new(error.to_string()))?;
        while let Some(message) = self.decoder.next_message() {
            if message.event() == STATUS_EVENT {
                self.resets += usize::from(message.data().contains("reset"));
                continue;
            }
            let words = message.data().split(' ');
            let mut numbers = words.map_while(|word| word.parse::<usize>().ok());
            let (Some(key), Some(value), Some(micros)) =
                (numbers.next(), numbers.next(), numbers.next())
            else {
                return Err(Error::new(format!("foreign event: {}", message.data())));
            };
            let Some(known) = self.known.get_mut(key) else {
                return Err(Error::new(format!("foreign key: {key}")));
            };
            if value <= *known {
                return Err(Error::new(format!("value {value} of key {key} after {known}")));
            }
            *known = value;
            self.events += 1;
            self.ages.push(now.saturating_sub(Duration::from_micros(micros as u64)));
        }
        Ok(())
    }

    fn summary(&mut self) -> String {
        self.ages.sort_unstable();
        let age = |part: usize| self.ages.get(self.ages.len() * part / 100).copied();
        let [median, p99] = [50, 99].map(|part| age(part).unwrap_or_default().as_secs_f64());
        format!(
            "{} bytes with {} values, of which none came after a newer one of its key; they were {median:.1} s \
             old in the middle, 99 % no more than {p99:.1} s",
            self.bytes, self.events
        )
    }
}
