use std::sync::atomic::{AtomicUsize, Ordering};
use std::{fs, panic};

use tempfile::TempDir;
use tidings::{Event, Hub};
use tidings_redb::RedbLog;

use crate::child;

pub(crate) fn a_damaged_file_is_a_sentence_and_no_panic() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("events.redb");
    drop(RedbLog::open(&path).expect("it is new"));
    let image = fs::read(&path).expect("it is closed");
    for length in [100, 4096, 10_000, image.len() / 2, image.len() - 1] {
        fs::write(&path, &image[..length]).expect("it is closed");
        let (said, complaints) = child::try_to_open(child::role("open", &path));
        let start = format!("redb: {}: is damaged: ", path.display());
        let cause = said.strip_prefix(&start).unwrap_or_else(|| panic!("{said:?}"));
        assert!(cause.ends_with("keep the events before the damage\n"), "{said:?}");
        assert_eq!((said.lines().count(), &*complaints), (1, ""));
    }
}

pub(crate) fn what_redb_panics_on_is_salvaged_in_silence() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("events.redb");
    let (said, complaints) = child::try_to_open(child::role("salvage", &path));
    assert_eq!(complaints, "");
    let panics: usize = said.trim().parse().expect("a number");
    assert!(panics > 0, "redb never panicked");
}

/// Salvages a log from damage in each of its pages. Once more, to print how often redb panics.
pub(crate) fn salvage(path: &str) {
    static PANICS: AtomicUsize = AtomicUsize::new(0);

    let hub = Hub::builder().build_on(RedbLog::open(path).expect("it is new"));
    for n in 0..100 {
        hub.publish("a", Event::new(n.to_string())).wait().expect("it is published");
    }
    drop(hub);
    let image = fs::read(path).expect("it is closed");
    let salvage_all = || {
        for page in 1..image.len() / 4096 {
            let mut damaged = image.clone();
            damaged[page * 4096..][..16].fill(0xff);
            fs::write(path, damaged).expect("it is closed");
            let opened = RedbLog::builder().salvage(true).open(path);
            drop(opened);
        }
    };
    salvage_all();
    // In place of the hook that keeps them silent.
    panic::set_hook(Box::new(|_| {
        PANICS.fetch_add(1, Ordering::Relaxed);
    }));
    salvage_all();
    println!("{}", PANICS.load(Ordering::Relaxed));
}
