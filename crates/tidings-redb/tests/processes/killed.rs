use std::collections::HashMap;
use std::path::Path;
use std::time::{Duration, Instant};

use fastrand::Rng;
use tempfile::TempDir;
use tidings::Hub;
use tidings::backend::Epoch;
use tidings_redb::RedbLog;
use tidings_testkit::log::{Client, publish};

use crate::child::{PUBLISHERS, Process, TOPICS};
use crate::history;

const ROUNDS: u64 = 30;

/// What has been seen so far, over all processes.
#[derive(Default)]
struct Ledger {
    epoch: Option<Epoch>,
    /// The position of each event that was acknowledged, by its data.
    acknowledged: HashMap<String, u64>,
    /// How many of each publisher's events were.
    counts: [usize; PUBLISHERS],
    retries_that_were_there: usize,
}

impl Ledger {
    fn record(&mut self, line: &str) {
        let words: Vec<_> = line.split(' ').collect();
        let [id, data, is_duplicate] = words[..] else { panic!("half a line: {line:?}") };
        let (epoch, position) = id.rsplit_once('-').expect("an id");
        let epoch = Epoch::new(epoch).expect("an epoch");
        assert_eq!(*self.epoch.get_or_insert(epoch.clone()), epoch);
        let position = position.parse().expect("a position");
        let before = self.acknowledged.insert(data.to_owned(), position);
        assert_eq!(before, None, "{data} is acknowledged twice");
        let (publisher, n) = data.split_once('.').expect("our data");
        let publisher: usize = publisher.parse().expect("a number");
        assert_eq!(n.parse(), Ok(self.counts[publisher]));
        self.counts[publisher] += 1;
        self.retries_that_were_there += usize::from(is_duplicate == "true");
    }

    /// Every acknowledged event is in the file at its position, none twice, and positions are dense.
    fn check(&self, path: &Path, round: u64) {
        let (epoch, records) = history::read(path, &TOPICS);
        assert_eq!(epoch, self.epoch, "round {round}");
        let dense = records.iter().zip(1..).all(|(record, position)| record.position == position);
        assert!(dense, "round {round}: positions are not dense");
        let by_data: HashMap<_, _> = records
            .iter()
            .map(|record| (record.event.data().expect("data"), record.position))
            .collect();
        assert_eq!(by_data.len(), records.len(), "round {round}: an event is in the file twice");
        for (data, position) in &self.acknowledged {
            assert_eq!(by_data.get(&**data), Some(position), "round {round}: {data}");
        }
        // In addition, at most those that were on their way.
        assert!(records.len() <= self.acknowledged.len() + PUBLISHERS, "round {round}");
    }
}

pub(crate) fn an_acknowledged_event_outlives_any_kill() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("events.redb");
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        let mut random = Rng::with_seed(round);
        let mut process = Process::start("publish", &path);
        process.tell(&ledger.counts.map(|count| count.to_string()).join(" "));
        for _ in 0..random.usize(1..400) {
            ledger.record(&process.line());
        }
        // Not only right after an acknowledgement.
        let (since, while_) = (Instant::now(), Duration::from_micros(random.u64(0..5_000)));
        while since.elapsed() < while_ {
            std::hint::spin_loop();
        }
        for line in process.kill() {
            // The last one may be cut off; then it was not acknowledged.
            if line.ends_with("true") || line.ends_with("false") {
                ledger.record(&line);
            }
        }
        ledger.check(&path, round);
    }
    let Ledger { acknowledged, retries_that_were_there, .. } = ledger;
    clients_resume(&path, acknowledged.len());
    println!(
        "{ROUNDS} kills, {} events acknowledged, {retries_that_were_there} of them only when they were retried",
        acknowledged.len(),
    );
    assert!(retries_that_were_there > 0, "no kill came between a commit and its acknowledgement");
}

/// A client from before the first kill, or from later, gets everything that came since.
fn clients_resume(path: &Path, count: usize) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let log = RedbLog::builder().replay(100).open(path).expect("the log opens");
        let last = log.stats().last();
        assert!(last >= count as u64);
        let hub = Hub::builder().build_on(log);
        let entry = publish(&hub, "a", "the last").await;
        let (epoch, _) = entry.id.rsplit_once('-').expect("an id");
        for position in [1, last / 2, last - 1] {
            let id = format!("{epoch}-{position}");
            let mut client = Client::expect(&hub, &TOPICS, Some(&id), "resumed").await;
            client.read_to(&entry.id).await;
            assert_eq!(client.messages().len() as u64, 1 + last - position + 1);
        }
    });
}
