//! The power goes: any part of what was written since the last sync may be on the disk.

use std::fs;
use std::io::Read;
use std::sync::Arc;

use fastrand::Rng;
use flate2::read::GzDecoder;
use tempfile::TempDir;
use tidings::backend::{Append, Appended, Log, Receiver, Reply};
use tidings::{Event, Topic};

use super::Disk;
use crate::RedbLog;
use crate::page::read_all;
use crate::store::Store;

/// What was done to a file, and what was acknowledged.
#[derive(Debug)]
pub(crate) enum DiskOperation {
    Write(u64, Vec<u8>),
    Length(u64),
    Sync,
    /// The events up to here were acknowledged.
    Acknowledged(u64),
}

fn append(log: &RedbLog, n: u64) -> Receiver<Appended> {
    let event = Event::new(data(n));
    let (reply, appended) = Reply::new();
    log.append(Append::new(Topic::new("a").unwrap(), event, None), reply);
    appended
}

/// The data of the event at a position.
fn data(position: u64) -> String {
    format!("{position} {}", "x".repeat((position as usize * 37) % 3_000))
}

/// Everything that is done to a file from its beginning, while events are published one by one and in batches, and old
/// ones are trimmed.
fn journal() -> Vec<DiskOperation> {
    let folder = TempDir::new().unwrap();
    let log = RedbLog::builder().max_events(200).open(folder.path().join("events.redb")).unwrap();
    let disk = log.shared().counts.disk.clone();
    // The file as a new log makes it.
    let begun = fs::read(folder.path().join("events.redb")).unwrap();
    *disk.journal.lock() = Some(vec![DiskOperation::Write(0, begun), DiskOperation::Sync]);
    let mut last = 0;
    for size in (1..30).chain([1; 20]) {
        let batch: Vec<_> = (last + 1..=last + size).map(|n| append(&log, n)).collect();
        for appended in batch {
            last = appended.wait().unwrap().position;
            disk.record(|| DiskOperation::Acknowledged(last));
        }
    }
    drop(log);
    disk.journal.lock().take().unwrap()
}

/// What is on the disk if the power goes after these operations, and the position that was acknowledged by then.
fn image(operations: &[DiskOperation], random: &mut Rng) -> (Vec<u8>, u64) {
    let is_sync = |operation: &DiskOperation| matches!(operation, DiskOperation::Sync);
    let synced = operations.iter().rposition(is_sync).unwrap_or_default();
    let (mut image, mut acknowledged) = (Vec::new(), 0);
    for (n, operation) in operations.iter().enumerate() {
        match operation {
            DiskOperation::Write(at, bytes) => {
                let sectors = |sectors: usize| (sectors * 512).min(bytes.len());
                let kept = match random.u8(..3) {
                    _ if n < synced => 0..bytes.len(),
                    0 => 0..0,
                    1 => 0..bytes.len(),
                    // Torn between two sectors: only the first, or the last.
                    _ => {
                        let at = sectors(random.usize(..=bytes.len() / 512));
                        if random.bool() { 0..at } else { at..bytes.len() }
                    }
                };
                let at = *at as usize;
                image.resize(image.len().max(at + bytes.len()), 0);
                image[at + kept.start..at + kept.end].copy_from_slice(&bytes[kept]);
            }
            DiskOperation::Length(length) => image.resize(*length as usize, 0),
            DiskOperation::Sync => {}
            DiskOperation::Acknowledged(position) => acknowledged = *position,
        }
    }
    (image, acknowledged)
}

#[test]
fn an_acknowledged_event_outlives_a_power_cut() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let operations = journal();
    let cuts = std::env::var("TIDINGS_POWER_CUTS").map_or(60, |cuts| cuts.parse().unwrap());
    let mut unacknowledged = 0;
    for seed in 0..cuts {
        let mut random = Rng::with_seed(seed);
        let cut = random.usize(2..=operations.len());
        let (image, acknowledged) = image(&operations[..cut], &mut random);
        fs::write(&path, image).unwrap();
        let (store, state) = Store::open(&path, Arc::default())
            .unwrap_or_else(|fault| panic!("seed {seed}, {cut} operations: {fault:?}"));
        assert!(state.last >= acknowledged, "seed {seed}: {acknowledged} is lost, {state:?}");
        unacknowledged += u64::from(state.last > acknowledged);
        let records = read_all(&store, state.trimmed, usize::MAX).unwrap();
        assert_eq!(records.len() as u64, state.events(), "seed {seed}");
        for record in records {
            assert_eq!(record.event.data(), Some(&*data(record.position)), "seed {seed}");
        }
    }
    assert!(unacknowledged > 0, "no cut came between a commit and its acknowledgement");
}

#[test]
fn a_file_of_format_1_outlives_a_power_cut_while_it_is_upgraded() {
    let folder = TempDir::new().unwrap();
    let path = folder.path().join("events.redb");
    let mut old = Vec::new();
    let packed = include_bytes!("../../tests/format-1/closed.redb.gz");
    GzDecoder::new(&packed[..]).read_to_end(&mut old).unwrap();
    fs::write(&path, &old).unwrap();
    let disk = Arc::new(Disk::default());
    *disk.journal.lock() = Some(vec![DiskOperation::Write(0, old), DiskOperation::Sync]);
    let (store, before) = Store::open(&path, disk.clone()).unwrap();
    drop(store);
    let operations = disk.journal.lock().take().unwrap();
    for seed in 0..60 {
        let mut random = Rng::with_seed(seed);
        let cut = random.usize(2..=operations.len());
        let (image, _) = image(&operations[..cut], &mut random);
        fs::write(&path, image).unwrap();
        let (store, state) = Store::open(&path, Arc::default())
            .unwrap_or_else(|fault| panic!("seed {seed}, {cut} operations: {fault:?}"));
        assert_eq!(state, before, "seed {seed}");
        let records = read_all(&store, state.trimmed, usize::MAX).unwrap();
        assert_eq!(records.len() as u64, state.events(), "seed {seed}");
    }
}
