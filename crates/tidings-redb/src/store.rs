use std::path::Path;
use std::sync::Arc;

use redb::{
    Database, ReadableDatabase, ReadableTable, ReadableTableMetadata, TableHandle, WriteTransaction,
};

use crate::entry::Entry;
use crate::fault::{Fault, guarded};
use crate::file::{Disk, LogFile};
use crate::tables::{EVENTS, INDEX, KEY_ORDER, KEYS, LogState, OLD_INDEX};

/// An open file: the database in it.
#[derive(Debug)]
pub(crate) struct Store {
    /// `Some` until it is dropped.
    db: Option<Database>,
    pub(crate) file: LogFile,
}

/// Memory for redb's pages. Its default is a gigabyte.
const CACHE_BYTES: usize = 64 * 1024 * 1024;

impl Store {
    /// Opens a file or makes it, and checks all of it.
    pub(crate) fn open(path: &Path, disk: Arc<Disk>) -> Result<(Self, LogState), Fault> {
        let store = Self::open_database(path, disk, true)?;
        let state = guarded(|| store.load_or_begin())?;
        Ok((store, state))
    }

    /// Opens a file, and checks as little of it as redb can.
    pub(crate) fn open_unchecked(path: &Path, disk: Arc<Disk>) -> Result<Self, Fault> {
        Self::open_database(path, disk, false)
    }

    fn open_database(path: &Path, disk: Arc<Disk>, is_checked: bool) -> Result<Self, Fault> {
        let file = LogFile::open(path, disk)?;
        let db = guarded(|| {
            let db = Database::builder()
                .set_cache_size(CACHE_BYTES)
                .set_check_integrity_on_open(is_checked)
                .create_with_backend(file.clone())?;
            Ok(db)
        })?;
        Ok(Self { db: Some(db), file })
    }

    fn load_or_begin(&self) -> Result<LogState, Fault> {
        let mark = self.file.mark()?;
        let Some(state) = LogState::load(&self.begin_read()?)? else {
            return match mark {
                None => self.begin(LogState::new()),
                Some(_) => Err(Fault::damaged("its state is missing")),
            };
        };
        self.upgrade()?;
        self.check(&state, mark)?;
        Ok(state)
    }

    /// Makes a file of format 1 one of format 2, in one commit: the index is made anew from the events.
    fn upgrade(&self) -> Result<(), Fault> {
        let txn = self.begin_write()?;
        let old = txn.list_tables()?.find(|table| table.name() == OLD_INDEX);
        let Some(old) = old else { return Ok(txn.abort()?) };
        txn.delete_table(old)?;
        {
            let (events, mut index) = (txn.open_table(EVENTS)?, txn.open_table(INDEX)?);
            for row in events.iter()? {
                let (position, bytes) = row?;
                let entry = Entry::checked(bytes.value(), position.value())?;
                index.insert((entry.topic()?.as_str(), position.value()), ())?;
            }
        }
        self.file.set_version()?;
        Ok(txn.commit()?)
    }

    /// Writes an empty history.
    pub(crate) fn begin(&self, state: LogState) -> Result<LogState, Fault> {
        self.file.set_version()?;
        let txn = self.begin_write()?;
        txn.open_table(EVENTS)?;
        txn.open_table(INDEX)?;
        txn.open_table(KEYS)?;
        txn.open_table(KEY_ORDER)?;
        state.save(&txn)?;
        txn.commit()?;
        self.file.set_mark(state.last)?;
        self.file.sync()?;
        Ok(state)
    }

    /// Whether the parts of the file fit together; redb has checked its pages.
    fn check(&self, state: &LogState, mark: Option<u64>) -> Result<(), Fault> {
        match mark {
            None if state.last > 0 => return Err(Fault::damaged("its mark is missing")),
            Some(mark) if mark > state.last => {
                let last = state.last;
                return Err(Fault::damaged(format_args!(
                    "it ends at position {last}, and {mark} was acknowledged"
                )));
            }
            _ => {}
        }
        let txn = self.begin_read()?;
        let (events, index) = (txn.open_table(EVENTS)?.len()?, txn.open_table(INDEX)?.len()?);
        if (events, index) != (state.events(), state.events()) {
            return Err(Fault::damaged(format_args!(
                "it has {events} events and {index} in its index, and should have {}",
                state.events()
            )));
        }
        Ok(())
    }

    /// Makes the file as small as it can be.
    pub(crate) fn compact(&mut self) -> Result<(), Fault> {
        guarded(|| {
            if let Some(db) = &mut self.db {
                db.compact()?;
            }
            Ok(())
        })
    }

    fn db(&self) -> Result<&Database, Fault> {
        self.db.as_ref().ok_or_else(|| Fault::damaged("it is closed"))
    }

    pub(crate) fn begin_read(&self) -> Result<redb::ReadTransaction, Fault> {
        Ok(self.db()?.begin_read()?)
    }

    /// Begins a transaction whose commit is on disk when it returns.
    ///
    /// In two phases. With one, redb recognizes an unfinished commit by its checksums, and returns to the commit before.
    /// It would also do so if a page of an acknowledged commit was damaged later: acknowledged events would be gone
    /// without notice.
    pub(crate) fn begin_write(&self) -> Result<WriteTransaction, Fault> {
        let mut txn = self.db()?.begin_write()?;
        txn.set_two_phase_commit(true);
        Ok(txn)
    }
}

impl Drop for Store {
    fn drop(&mut self) {
        // redb writes at the end, which may fail on a damaged file. It reports nothing then, and the file is checked at
        // the next start, as after a crash.
        let _ = guarded(|| {
            self.db = None;
            Ok(())
        });
        let _ = self.file.sync();
    }
}
