//! What a least interval between two writes saves.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use crate::clients::Fleet;
use crate::error::Error;
use crate::instrument::Instrument;
use crate::loads::{subscription, topic};
use crate::process::Process;
use crate::publisher::Publisher;
use crate::servers::Server;
use crate::stamp::Clock;

/// A publisher, and clients of its topic.
#[derive(Debug, Clone, Copy, clap::Args)]
pub(crate) struct Paced {
    /// Clients
    #[arg(long, default_value_t = 100)]
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

const SERVER: Server = Server::TidingsAxumDirect;

impl Paced {
    /// Measures without and with the interval, and prints both.
    pub(crate) fn run(self) -> Result<(), Error> {
        let instrument = Instrument::find()?;
        println!(
            "| interval | events a second | while counted | user instructions per delivery | µs of the processor | segments of data |"
        );
        println!("|---|--:|--:|--:|--:|--:|");
        for interval in [0, self.interval] {
            println!("{}", self.measure(instrument, interval)?);
        }
        Ok(())
    }

    fn measure(self, instrument: Instrument, interval: u32) -> Result<String, Error> {
        let counted = instrument.start(SERVER)?;
        let prepare = || counted.prepare();
        let (counting, slowly) =
            self.play(&counted.process, interval, prepare, || counted.begin())?;
        let counts = counted.end(counting)?;

        // An instrument takes time of its own.
        let process = Process::start(SERVER)?;
        let begin = || Ok((process.time_on_cpu()?, segments()?));
        let (before, took) = self.play(&process, interval, || Ok(()), begin)?;
        let (used, sent) = (process.time_on_cpu()? - before.0, segments()? - before.1);

        let deliveries = f64::from(self.events()) * self.clients as f64;
        let rate = |took: Duration| f64::from(self.events()) / took.as_secs_f64();
        Ok(format!(
            "| {interval} ms | {:.0} | {:.0} | {:.1} | {:.3} | {:.3} |",
            rate(took),
            rate(slowly),
            counts.user / deliveries,
            used.as_secs_f64() * 1e6 / deliveries,
            sent as f64 / deliveries,
        ))
    }

    fn events(self) -> u32 {
        self.rate * self.seconds
    }

    /// Publishes until each client has everything. Returns what `begin` has returned before, and how long it took.
    fn play<T>(
        self,
        process: &Process,
        interval: u32,
        prepare: impl FnOnce() -> Result<(), Error>,
        begin: impl FnOnce() -> Result<T, Error>,
    ) -> Result<(T, Duration), Error> {
        let clock = Clock::new();
        let mut fleet = Fleet::new(process.addr(), clock)?;
        let path = format!("{}&interval={interval}", subscription(SERVER, &[topic(0)]));
        fleet.connect(self.clients, |_| path.clone())?;
        let mut publisher = Publisher::connect(process.addr(), true)?;
        prepare()?;
        let data = clock.now().data(BYTES);
        publisher.publish(&[topic(0)], WARM_UP, &data)?;
        fleet.wait_for_total((WARM_UP * self.clients) as u64)?;

        let before = begin()?;
        let began = Instant::now();
        thread::scope(|scope| {
            let publishing = scope.spawn(|| -> Result<(), Error> {
                for n in 0..self.events() {
                    let due = began + Duration::from_secs(1) * n / self.rate;
                    thread::sleep(due.saturating_duration_since(Instant::now()));
                    publisher.publish(&[topic(0)], 1, &data)?;
                }
                Ok(())
            });
            let all = (WARM_UP + self.events() as usize) * self.clients;
            fleet.wait_for_total(all as u64)?;
            publishing.join().map_err(|_| Error::new("the publisher has panicked"))?
        })?;
        Ok((before, began.elapsed()))
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
