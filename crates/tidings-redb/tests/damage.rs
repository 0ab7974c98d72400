//! Files that are not as they were written: an error or the truth, and never a panic.

use std::fs;
use std::path::Path;

use fastrand::Rng;
use tempfile::TempDir;
use tidings::backend::{Append, Epoch, Log, LogError, LogErrorKind, Read, Record, Reply, Start};
use tidings::{Event, Topic};
use tidings_redb::RedbLog;

fn topics() -> Vec<Topic> {
    ["a", "b", "c"].map(|name| Topic::new(name).unwrap()).to_vec()
}

fn append(log: &RedbLog, topic: usize, data: String) -> Result<u64, LogError> {
    let topic = topics()[topic % 3].clone();
    let (reply, appended) = Reply::new();
    log.append(Append { topic, event: Event::new(data), key: None }, reply);
    Ok(appended.wait()?.position)
}

/// All events, page by page. A damage may be noticed on the way.
fn read(log: &RedbLog) -> Result<(Option<Epoch>, Vec<Record>), LogError> {
    let (reply, end) = Reply::new();
    log.end(reply);
    let to = end.wait()?;
    let (mut epoch, mut records, mut from) = (None, Vec::new(), 0);
    while from < to {
        let (reply, page) = Reply::new();
        let read = Read { topics: topics(), start: Start::After(from), to, max_bytes: 10_000 };
        log.read(read, reply);
        let page = page.wait()?;
        assert!(page.to > from);
        from = page.to;
        epoch = Some(page.epoch);
        records.extend(page.records);
    }
    Ok((epoch, records))
}

/// A log with some events in it, of few bytes and of several pages, and the images of its file: as it is
/// while the log is open, which is as a crash leaves it, and when it was closed.
fn images(folder: &Path) -> ([Vec<u8>; 2], Epoch, Vec<Record>) {
    let path = folder.join("whole.redb");
    let log = RedbLog::builder().max_events(250).open(&path).unwrap();
    for n in 0..400 {
        let data = format!("{n} {}", "x".repeat((n * n) % 700));
        append(&log, n, data).unwrap();
    }
    for n in 0..2 {
        append(&log, n, "y".repeat(30_000)).unwrap();
    }
    // Not trimmed, or reading would not begin at the beginning.
    let (reply, page) = Reply::new();
    let start = Start::Newest { count: usize::MAX, since: 0 };
    log.read(Read { topics: topics(), start, to: u64::MAX, max_bytes: usize::MAX }, reply);
    let page = page.wait().unwrap();
    let open = fs::read(&path).unwrap();
    drop(log);
    ([open, fs::read(&path).unwrap()], page.epoch, page.records)
}

/// Changes a file somewhere, mostly where there is something. Says how.
fn damage(image: &mut Vec<u8>, written: &[usize], random: &mut Rng) -> String {
    const PAGE: usize = 4096;
    let at = match random.u8(..10) {
        0..2 => random.usize(..1024),
        2..4 => PAGE + random.usize(..400),
        4..9 => written[random.usize(..written.len())],
        _ => random.usize(..image.len()),
    };
    match random.u8(..10) {
        0..4 => {
            let bit = random.u8(..8);
            image[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} is flipped")
        }
        4..6 => {
            let before = image[at];
            image[at] = random.u8(..);
            format!("byte {at} was {before} and is {}", image[at])
        }
        6 => {
            let sector = at / 512 * 512;
            image[sector..][..512].fill(0);
            format!("the sector at {sector} is empty")
        }
        7 => {
            image.truncate(at);
            format!("it ends at {at}")
        }
        8 => {
            let [from, to] =
                [at, written[random.usize(..written.len())]].map(|at| at / PAGE * PAGE);
            let page = image[from..(from + PAGE).min(image.len())].to_vec();
            image[to..][..page.len()].copy_from_slice(&page);
            format!("the page at {from} is also at {to}")
        }
        _ => {
            let length = random.usize(1..64).min(image.len() - at);
            image[at..][..length].fill_with(|| random.u8(..));
            format!("{length} bytes at {at} are noise")
        }
    }
}

#[derive(Default, Debug)]
struct Outcomes {
    refused: usize,
    noticed_later: usize,
    whole: usize,
    begun_anew: usize,
}

#[test]
fn a_damaged_file_is_an_error_or_the_truth() {
    const ROUNDS: u64 = 600;
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("damaged.redb");
    let (images, epoch, records) = images(folder.path());
    assert!(records.len() >= 250);
    let written = images.each_ref().map(|image| {
        let written = image.iter().enumerate().filter(|(_, byte)| **byte != 0);
        written.map(|(at, _)| at).collect::<Vec<_>>()
    });
    let mut outcomes = Outcomes::default();
    for seed in 0..ROUNDS {
        let mut random = Rng::with_seed(seed);
        let which = random.usize(..2);
        let mut image = images[which].clone();
        let what = damage(&mut image, &written[which], &mut random);
        let what = format!("seed {seed}: {what} ({})", ["after a crash", "closed"][which]);
        fs::write(&path, &image).unwrap();
        let log = match RedbLog::open(&path) {
            Ok(log) => log,
            Err(error) => {
                let kind = error.kind();
                assert!(
                    matches!(kind, LogErrorKind::Corrupt | LogErrorKind::Refused),
                    "{what}: {kind:?}: {error}"
                );
                outcomes.refused += 1;
                continue;
            }
        };
        check(&log, &epoch, &records, &what, &mut outcomes);
    }
    println!("{outcomes:?}");
    assert!(outcomes.refused > 50 && outcomes.whole > 50, "{outcomes:?}");
}

fn check(log: &RedbLog, epoch: &Epoch, records: &[Record], what: &str, outcomes: &mut Outcomes) {
    let trimmed = records[0].position - 1;
    let (reply, end) = Reply::new();
    log.end(reply);
    let end = end.wait().unwrap();
    if end == 0 {
        // An empty file is a log that has not begun: another history.
        let position = append(log, 0, "first".into()).unwrap();
        let (reply, page) = Reply::new();
        let read =
            Read { topics: topics(), start: Start::After(0), to: position, max_bytes: usize::MAX };
        log.read(read, reply);
        assert_ne!(page.wait().unwrap().epoch, *epoch, "{what}");
        outcomes.begun_anew += 1;
        return;
    }
    assert_eq!(end, records[records.len() - 1].position, "{what}");
    let mut from = trimmed;
    let mut is = Vec::new();
    let outcome = loop {
        let (reply, page) = Reply::new();
        let start = Start::After(from);
        log.read(Read { topics: topics(), start, to: end, max_bytes: 10_000 }, reply);
        match page.wait() {
            Ok(page) => {
                assert_eq!(page.epoch, *epoch, "{what}");
                from = page.to;
                is.extend(page.records);
            }
            Err(error) => break Err(error),
        }
        if from >= end {
            break Ok(());
        }
    };
    // What was read is what was written, up to where the damage was noticed.
    assert_eq!(is, records[..is.len()], "{what}");
    match outcome {
        Ok(()) => {
            assert_eq!(is.len(), records.len(), "{what}");
            let next = append(log, 1, "next".into());
            if let Ok(next) = next {
                assert_eq!(next, end + 1, "{what}");
            }
            outcomes.whole += 1;
        }
        Err(error) => {
            assert_eq!(error.kind(), LogErrorKind::Corrupt, "{what}: {error}");
            outcomes.noticed_later += 1;
        }
    }
}
