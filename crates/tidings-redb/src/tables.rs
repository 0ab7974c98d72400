use redb::{ReadableTable, TableDefinition};
use tidings::backend::Epoch;

use crate::fault::Fault;

/// Events by position: see [`Entry`](crate::entry::Entry).
pub(crate) const EVENTS: TableDefinition<'_, u64, &[u8]> = TableDefinition::new("events");
/// Which positions a topic has.
pub(crate) const INDEX: TableDefinition<'_, (&str, u64), ()> = TableDefinition::new("topics");
/// What the index was called in format 1, where its keys had redb's old encoding of tuples.
pub(crate) const OLD_INDEX: &str = "index";
/// For each idempotency key, the position and time of its event.
pub(crate) const KEYS: TableDefinition<'_, &str, (u64, u64)> = TableDefinition::new("keys");
/// The same by position, to find the oldest.
pub(crate) const KEY_ORDER: TableDefinition<'_, u64, &str> = TableDefinition::new("key order");
const STATE: TableDefinition<'_, &str, u64> = TableDefinition::new("state");
const EPOCH: TableDefinition<'_, (), &str> = TableDefinition::new("epoch");

/// The state of the log as a whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct LogState {
    /// Names the history.
    pub(crate) epoch: Epoch,
    /// The newest position, 0 for none.
    pub(crate) last: u64,
    /// The newest position that is not kept any more; all after it are.
    pub(crate) trimmed: u64,
    /// The cost of all events that are kept.
    pub(crate) bytes: u64,
    /// The newest time by the log's own clock.
    pub(crate) time: u64,
}

impl LogState {
    /// An empty history.
    pub(crate) fn new() -> Self {
        Self { epoch: Epoch::random(), last: 0, trimmed: 0, bytes: 0, time: 0 }
    }

    /// How many events are kept.
    pub(crate) fn events(&self) -> u64 {
        self.last - self.trimmed
    }

    /// `None` in a file that has just been made.
    pub(crate) fn load(txn: &redb::ReadTransaction) -> Result<Option<Self>, Fault> {
        let (numbers, epoch) = match (txn.open_table(STATE), txn.open_table(EPOCH)) {
            (Ok(numbers), Ok(epoch)) => (numbers, epoch),
            (Err(redb::TableError::TableDoesNotExist(_)), _)
            | (_, Err(redb::TableError::TableDoesNotExist(_))) => return Ok(None),
            (numbers, epoch) => (numbers?, epoch?),
        };
        let number = |name| match numbers.get(name)? {
            Some(number) => Ok(number.value()),
            None => Err(Fault::damaged(format_args!("its state has no {name}"))),
        };
        let epoch = epoch.get(())?.ok_or_else(|| Fault::damaged("its state has no epoch"))?;
        let state = Self {
            epoch: Epoch::new(epoch.value()).map_err(Fault::damaged)?,
            last: number("last")?,
            trimmed: number("trimmed")?,
            bytes: number("bytes")?,
            time: number("time")?,
        };
        if state.trimmed > state.last {
            return Err(Fault::damaged("its state contradicts itself"));
        }
        Ok(Some(state))
    }

    pub(crate) fn save(&self, txn: &redb::WriteTransaction) -> Result<(), Fault> {
        let mut numbers = txn.open_table(STATE)?;
        for (name, number) in [
            ("last", self.last),
            ("trimmed", self.trimmed),
            ("bytes", self.bytes),
            ("time", self.time),
        ] {
            numbers.insert(name, number)?;
        }
        let mut epoch = txn.open_table(EPOCH)?;
        let is_known = epoch.get(())?.is_some_and(|known| known.value() == self.epoch.as_str());
        if !is_known {
            epoch.insert((), self.epoch.as_str())?;
        }
        Ok(())
    }
}
