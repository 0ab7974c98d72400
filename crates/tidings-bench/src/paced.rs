//! What a least interval between two writes saves.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::Fleet;
use crate::error::Error;
use crate::instrument::Instrument;
use crate::loads::{subscription, topic};
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

/// A publisher, and clients of its topic.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Paced {
    /// Clients
    #[arg(long, default_value_t = 1_000)]
    clients: usize,
    /// Events each second
    #[arg(long, default_value_t = 1_000)]
    rate: u32,
    /// For how long
    #[arg(long, default_value_t = 5)]
    seconds: u32,
    /// The least interval, in milliseconds
    #[arg(long, default_value_t = 16)]
    interval: u32,
}

/// Events before anything is measured.
const WARM_UP: usize = 100;

const BYTES: usize = 200;

impl Paced {
    /// Measures without and with the interval, and prints both.
    pub(crate) fn run(self) -> Result<(), Error> {
        let instrument = Instrument::find()?;
        println!(
            "| interval | events | user instructions per delivery | µs of the processor | segments of data |"
        );
        println!("|---|--:|--:|--:|--:|");
        for interval in [0, self.interval] {
            println!("{}", self.measure(instrument, interval)?);
        }
        Ok(())
    }

    fn measure(self, instrument: Instrument, interval: u32) -> Result<String, Error> {
        let server = Server::TidingsAxumDirect;
        let instrumented = instrument.start(server)?;
        let process = &instrumented.process;
        let clock = Clock::new();
        let mut fleet = Fleet::new(process.addr(), clock)?;
        let path = format!("{}&interval={interval}", subscription(server, &[topic(0)]));
        fleet.connect(self.clients, |_| path.clone())?;
        let mut publisher = Publisher::connect(process.addr(), true)?;
        instrumented.prepare()?;
        let data = clock.now().data(BYTES);
        publisher.publish(&[topic(0)], WARM_UP, &data)?;
        fleet.wait_for_total((WARM_UP * self.clients) as u64)?;

        let before = (process.time_on_cpu()?, segments()?);
        let counting = instrumented.begin()?;
        let events = self.rate * self.seconds;
        thread::scope(|scope| {
            let publishing = scope.spawn(|| -> Result<(), Error> {
                let began = Instant::now();
                for n in 0..events {
                    let due = began + Duration::from_secs(1) * n / self.rate;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    publisher.publish(&[topic(0)], 1, &data)?;
                }
                Ok(())
            });
            let all = (WARM_UP + events as usize) * self.clients;
            fleet.wait_for_total(all as u64)?;
            publishing.join().map_err(|_| Error::new("the publisher has panicked"))?
        })?;
        let counts = instrumented.end(counting)?;
        let (used, sent) = (process.time_on_cpu()? - before.0, segments()? - before.1);
        let deliveries = f64::from(events) * self.clients as f64;
        let micros = used.as_secs_f64() * 1e6 / deliveries;
        Ok(format!(
            "| {interval} ms | {events} | {:.1} | {micros:.3} | {:.3} |",
            counts.user / deliveries,
            sent as f64 / deliveries,
        ))
    }
}

/// How many segments of data the system's TCP has sent: about one for each write. Other programs count, too.
fn segments() -> Result<u64, Error> {
    let netstat = fs::read_to_string("/proc/net/netstat")?;
    let mut lines = netstat.lines().filter(|line| line.starts_with("TcpExt:"));
    let names = lines.next().unwrap_or_default().split(' ');
    let values = lines.next().unwrap_or_default().split(' ');
    let sent = names.zip(values).find(|(name, _)| *name == "TCPOrigDataSent");
    let sent = sent.and_then(|(_, value)| value.parse().ok());
    sent.ok_or_else(|| Error::new("the system does not count segments"))
}
