//! Damaged files: an error or the truth, and never a panic.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs;
use std::path::Path;

use fastrand::Rng;
use tempfile::TempDir;
use tidings::backend::{
    Append, Epoch, Log, LogError, LogErrorKind, Page, Read, Record, Reply, Start,
};
use tidings::{Event, Topic, TopicPattern};
use tidings_redb::RedbLog;

fn topics() -> Vec<Topic> {
    ["a", "b", "c"].map(|name| Topic::new(name).unwrap()).to_vec()
}

fn append(log: &RedbLog, topic: usize, data: String) -> Result<u64, LogError> {
    let topic = topics()[topic % 3].clone();
    let (reply, appended) = Reply::new();
    log.append(Append::new(topic, Event::new(data), None), reply);
    Ok(appended.wait()?.position)
}

fn read(log: &RedbLog, start: Start, to: u64, max_bytes: usize) -> Result<Page, LogError> {
    let (reply, page) = Reply::new();
    let topics = topics().iter().map(TopicPattern::from).collect();
    log.read(Read::new(topics, start, to, max_bytes), reply);
    page.wait()
}

/// Everything that is kept.
fn read_all(log: &RedbLog) -> Result<Page, LogError> {
    read(log, Start::Newest { count: usize::MAX, since: 0 }, u64::MAX, usize::MAX)
}

/// A log with events of a few bytes and of several pages. The images of its file: while the log is open, which is as a
/// crash leaves it, and after it was closed.
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
    let page = read_all(&log).unwrap();
    let open = fs::read(&path).unwrap();
    drop(log);
    ([open, fs::read(&path).unwrap()], page.epoch, page.records)
}

/// Changes a file somewhere, mostly in written places. Returns how.
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
    begun_again: usize,
}

#[test]
fn a_damaged_file_is_an_error_or_the_truth() {
    let rounds = std::env::var("TIDINGS_DAMAGE_ROUNDS").ok();
    let rounds = rounds.map_or(200, |rounds| rounds.parse().unwrap());
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("damaged.redb");
    let (images, epoch, records) = images(folder.path());
    assert!(records.len() >= 250);
    let written = images.each_ref().map(|image| {
        let written = image.iter().enumerate().filter(|(_, byte)| **byte != 0);
        written.map(|(at, _)| at).collect::<Vec<_>>()
    });
    let mut outcomes = Outcomes::default();
    for seed in 0..rounds {
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
                let message = error.to_string();
                assert_eq!(message.lines().count(), 1, "{what}: {message}");
                assert!(
                    kind == LogErrorKind::Refused || message.contains("; open it with `salvage` "),
                    "{what}: {message}"
                );
                outcomes.refused += 1;
                if kind == LogErrorKind::Corrupt {
                    check_salvaged(&path, &records, &what);
                }
                continue;
            }
        };
        check(&log, &epoch, &records, &what, &mut outcomes);
    }
    println!("{outcomes:?}");
    assert!(outcomes.refused > 20 && outcomes.whole > 20, "{outcomes:?}");
}

fn check(log: &RedbLog, epoch: &Epoch, records: &[Record], what: &str, outcomes: &mut Outcomes) {
    let trimmed = records[0].position - 1;
    let (reply, end) = Reply::new();
    log.end(reply);
    let end = end.wait().unwrap();
    if end == 0 {
        // An empty file is a log that has not begun: another history.
        let position = append(log, 0, "first".into()).unwrap();
        assert_eq!(position, 1, "{what}");
        assert_ne!(read_all(log).unwrap().epoch, *epoch, "{what}");
        outcomes.begun_again += 1;
        return;
    }
    assert_eq!(end, records[records.len() - 1].position, "{what}");
    let mut from = trimmed;
    let mut is = Vec::new();
    let outcome = loop {
        match read(log, Start::After(from), end, 10_000) {
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

/// What can be salvaged is the beginning of what was written.
fn check_salvaged(path: &Path, records: &[Record], what: &str) {
    let log = RedbLog::builder().salvage(true).open(path).unwrap();
    let salvaged = read_all(&log).unwrap().records;
    assert_eq!(salvaged, records[..salvaged.len()], "{what}");
}

/// The file of a log with three events, as a crash leaves it.
fn crashed(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("open.redb");
    let log = RedbLog::open(&path).unwrap();
    for n in 0..3 {
        append(&log, n, n.to_string()).unwrap();
    }
    let copy = folder.join("crashed.redb");
    fs::copy(&path, &copy).unwrap();
    copy
}

#[track_caller]
fn refused(path: &Path) -> (LogErrorKind, String) {
    let error = RedbLog::open(path).expect_err("it does not open");
    (error.kind(), error.to_string())
}

/// The message for a damaged file.
fn damaged(path: &Path, cause: &str) -> String {
    let way_out = "open it with `salvage` to keep the events before the damage";
    format!("redb: {}: is damaged: {cause}; {way_out}", path.display())
}

#[test]
fn a_file_that_returns_to_an_earlier_commit_is_noticed() {
    let folder = TempDir::new().unwrap();
    let path = crashed(folder.path());
    let mut image = fs::read(&path).unwrap();
    // redb's bit for which of its last two commits counts.
    image[4096 + 9] ^= 1;
    fs::write(&path, image).unwrap();
    let (kind, message) = refused(&path);
    assert_eq!(kind, LogErrorKind::Corrupt);
    let cause = "it ends at position 2, and 3 was acknowledged";
    assert_eq!(message, damaged(&path, cause));

    let log = RedbLog::builder().salvage(true).open(&path).unwrap();
    let data: Vec<_> = read_all(&log).unwrap().records;
    let data: Vec<_> = data.iter().map(|record| record.event.data().unwrap()).collect();
    assert_eq!(data, ["0", "1"]);
}

#[test]
fn events_before_the_damage_can_be_salvaged() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let log = RedbLog::open(&path).unwrap();
    for n in 0..200 {
        append(&log, n, format!("<{n}> {}", "x".repeat(500))).unwrap();
    }
    let before = read_all(&log).unwrap();
    drop(log);
    let mut image = fs::read(&path).unwrap();
    let at = image.windows(6).position(|bytes| bytes == b"<123> ").unwrap();
    image[at + 100] ^= 4;
    fs::write(&path, &image).unwrap();
    let (kind, message) = refused(&path);
    assert_eq!(kind, LogErrorKind::Corrupt);
    assert!(message.contains("events.redb: is damaged: "), "{message}");

    let log = RedbLog::builder().salvage(true).open(&path).unwrap();
    let after = read_all(&log).unwrap();
    assert_eq!(after.records, before.records[..123]);
    assert_ne!(after.epoch, before.epoch);
    assert_eq!(append(&log, 0, "next".into()).unwrap(), 124);
    drop(log);
    let damaged = fs::read(folder.path().join("events.redb.damaged")).unwrap();
    assert!(damaged[at..][..500] == image[at..][..500]);
    // A log like any other from now on.
    let log = RedbLog::open(&path).unwrap();
    assert_eq!(read_all(&log).unwrap().records.len(), 124);
}

#[test]
fn a_file_that_is_something_else_is_refused_and_not_touched() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("else");
    for (content, message) in [
        (&b"a letter to a friend\n"[..], "is not a log"),
        (&[0; 10_000], "is not a log"),
        (b"redb\x1a\x0a\xa9\x0d\x0a", "is a database of redb, but not a log"),
        (b"tidings-redb log\x07\0\0\0", "is a log of format 7, and this is for format 2"),
    ] {
        fs::write(&path, content).unwrap();
        for salvage in [false, true] {
            let error = RedbLog::builder().salvage(salvage).open(&path).unwrap_err();
            assert_eq!(error.kind(), LogErrorKind::Refused);
            let message = format!("redb: {}: {message}; choose another path", path.display());
            assert_eq!(error.to_string(), message);
        }
        assert!(fs::read(&path).unwrap() == content);
    }
}

#[test]
#[cfg(target_os = "linux")]
fn a_path_that_cannot_be_a_log_is_an_error_with_a_way_out() {
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("file");
    fs::write(&file, "text").unwrap();
    for (path, kind, cause) in [
        (
            folder.path().to_owned(),
            LogErrorKind::Unavailable,
            "Is a directory (os error 21); name a file in it",
        ),
        (
            folder.path().join("no/such/directory"),
            LogErrorKind::Unavailable,
            "No such file or directory (os error 2); make its directory first",
        ),
        (
            file.join("events.redb"),
            LogErrorKind::Unavailable,
            "Not a directory (os error 20); choose another path",
        ),
        ("/dev/full".into(), LogErrorKind::Refused, "is not a file; choose another path"),
    ] {
        let message = format!("redb: {}: {cause}", path.display());
        assert_eq!(refused(&path), (kind, message));
    }
    // Nobody may make files here, whoever runs the test; some systems say that it is read-only.
    let (kind, message) = refused("/sys/events.redb".as_ref());
    assert_eq!(kind, LogErrorKind::Refused, "{message}");
    let ways_out =
        ["; let this process read and write the file and its directory", "; choose another path"];
    assert!(ways_out.iter().any(|way_out| message.ends_with(way_out)), "{message}");
}

#[test]
fn an_interrupted_beginning_begins_again() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let image = fs::read(crashed(folder.path())).unwrap();
    let mut head = image[..4096].to_vec();
    // Nothing was ever acknowledged: no mark.
    head[512..524].fill(0);
    let mut unwritten = head.clone();
    unwritten.resize(100_000, 0);
    // A full disk may have room for a part of the first page only.
    let parts = [1024, 4095].map(|length| head[..length].to_vec());
    for beginning in [Vec::new(), head, unwritten].into_iter().chain(parts) {
        fs::write(&path, beginning).unwrap();
        let log = RedbLog::open(&path).unwrap();
        assert_eq!(append(&log, 0, "first".into()).unwrap(), 1);
    }
    // These are damaged: there were events.
    for (length, cause) in [
        (4096, "all but its first page is missing"),
        (4095, "it ends within its first page"),
        (20, "it ends within its first page"),
    ] {
        fs::write(&path, &image[..length]).unwrap();
        let (kind, message) = refused(&path);
        assert_eq!(kind, LogErrorKind::Corrupt);
        assert_eq!(message, damaged(&path, cause));
    }
}
