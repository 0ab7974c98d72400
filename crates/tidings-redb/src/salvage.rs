use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use crate::entry::Entry;
use crate::fault::{Fault, guarded};
use crate::file::sync_folder_of;
use crate::store::Store;
use crate::tables::{EVENTS, INDEX, LogState};

/// How many bytes of events are copied in one commit.
const COPIED_BYTES: u64 = 8 * 1024 * 1024;

/// Makes a new file of the events before the first damage, and replaces the damaged file with it.
pub(crate) fn salvage(path: &Path) -> Result<(), Fault> {
    let rescued = beside(path, ".salvaged");
    remove(&rescued)?;
    {
        // Held until the end, so that no other process opens it meanwhile.
        let damaged = Store::open_unchecked(path, Arc::default());
        let (target, mut state) = Store::open(&rescued, Arc::default())?;
        match &damaged {
            Ok(damaged) => copy(damaged, &target, &mut state)?,
            // It cannot be opened for another reason than damage.
            Err(fault) if fault.kind() != tidings::backend::LogErrorKind::Corrupt => {
                return damaged.map(drop);
            }
            Err(_) => {}
        }
        target.file.set_mark(state.last)?;
    }
    keep(path)?;
    fs::rename(&rescued, path)?;
    sync_folder_of(path)
}

/// Gives the damaged file another name in addition. It is at its path until the new one takes its place: a process that
/// ends in between would leave nothing there, which is a log that has not begun.
fn keep(path: &Path) -> io::Result<()> {
    let damaged = beside(path, ".damaged");
    remove(&damaged)?;
    // Not every file system has links.
    fs::hard_link(path, &damaged).or_else(|_| fs::rename(path, &damaged))
}

/// Removes a file, if it is there.
fn remove(path: &Path) -> io::Result<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = OsString::from(path);
    name.push(ending);
    name.into()
}

/// Copies events in the order of their positions until one cannot be read.
fn copy(damaged: &Store, target: &Store, state: &mut LogState) -> Result<(), Fault> {
    let known = guarded(|| LogState::load(&damaged.begin_read()?)).ok().flatten();
    let Some(known) = known else { return Ok(()) };
    (state.trimmed, state.last, state.time) = (known.trimmed, known.trimmed, known.time);
    loop {
        let before = state.last;
        let txn = target.begin_write()?;
        {
            let (mut events, mut index) = (txn.open_table(EVENTS)?, txn.open_table(INDEX)?);
            let limit = state.bytes + COPIED_BYTES;
            while state.bytes < limit {
                let Some((bytes, topic, cost)) = undamaged(damaged, state.last + 1) else { break };
                state.last += 1;
                state.bytes += cost;
                events.insert(state.last, &*bytes)?;
                index.insert((topic.as_str(), state.last), ())?;
            }
        }
        state.save(&txn)?;
        txn.commit()?;
        if state.last == before {
            return Ok(());
        }
    }
}

/// The event at a position, if it is undamaged.
fn undamaged(damaged: &Store, position: u64) -> Option<(Vec<u8>, tidings::Topic, u64)> {
    let read = guarded(|| {
        let events = damaged.begin_read()?.open_table(EVENTS)?;
        let Some(bytes) = events.get(position)? else { return Ok(None) };
        let entry = Entry::checked(bytes.value(), position)?;
        entry.record()?;
        Ok(Some((bytes.value().to_vec(), entry.topic()?, entry.cost())))
    });
    read.ok().flatten()
}

#[cfg(test)]
mod tests {
    use tempfile::TempDir;

    use super::*;

    #[test]
    fn a_damaged_file_stays_at_its_path_until_another_takes_its_place() {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("events.redb");
        for content in ["once", "again"] {
            fs::write(&path, content).unwrap();
            keep(&path).unwrap();
            for file in [&path, &beside(&path, ".damaged")] {
                assert_eq!(fs::read_to_string(file).unwrap(), content);
            }
        }
    }
}
