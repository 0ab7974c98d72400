//! A hub's log on disk: what was published outlives the process, and clients resume across a restart.
//!
//! ```no_run
//! use tidings::{Event, Hub};
//! use tidings_redb::RedbLog;
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let hub = Hub::builder().build_on(RedbLog::open("events.redb")?);
//!
//! // When this is done, the event is on disk.
//! let published = hub.publish("orders", Event::named("created", "order 17")?).await?;
//! # Ok(()) }
//! ```
//!
//! It stands on [redb], an embedded database in pure Rust, so there is nothing to install and nothing to run. The log belongs to one process. Several nodes need one of the logs on a broker.
//!
//! # What acknowledged means
//!
//! An event is acknowledged when it is on disk: written, and synchronised (`fdatasync`). No client has seen it
//! before. Whatever ends the process then, `kill -9` or the power, it is there at the next start, with the same
//! id; ids go on behind it, and who comes back with one is resumed.
//!
//! One thread writes. It takes all that has come while it was busy and writes it in one commit, so however many
//! publish, each waits for two commits at most. On a disk that takes 2.5 ms to synchronise:
//!
//! | publishers | events a second | events a commit | synchronisations an event |
//! |---|---|---|---|
//! | 1 | 200 | 1 | 2 |
//! | 10 | 1,200 | 7 | 0.29 |
//! | 100 | 8,100 | 58 | 0.034 |
//! | 1,000 | 31,500 | 650 | 0.0031 |
//!
//! Each of them waits for one event before it publishes the next; `cargo bench -p tidings-redb` measures it.
//! Nobody has to wait: who publishes without awaiting shares commits, too.
//!
//! ## Two synchronisations, not one
//!
//! A commit is made in two phases: the events are synchronised first, and then what makes them count. redb can
//! do with one. It then tells an unfinished commit by its checksums, and goes back to the one before. But a page
//! that is damaged *after* its commit was finished looks the same, so acknowledged events would go without a
//! word, and their ids would be given out once more. And the checksums are not made to stand against somebody
//! who chooses what is written, and events often hold what strangers have sent. With one phase, a publisher alone
//! gets through some 2.5 times as many events; a thousand at a time, a tenth more.
//!
//! # What is on disk
//!
//! A file. Its first page says what it is, and has the newest position that was acknowledged; behind it are redb's
//! pages (format 3), with five tables: the events by position, each with its position, times and a checksum over
//! all of it; which positions a topic has, so that a few topics are read without the rest; the keys of
//! publications with their times, twice; the log's state, and its epoch. Positions are dense, from 1.
//!
//! Opening a file reads all of it and compares its checksums, by some 300 MiB a second if it is in the system's
//! cache, or as fast as the disk is. To go without would be to find damage when a client comes for it.
//!
//! ## Size
//!
//! [Retention](RedbLogBuilder) is of the log as a whole, oldest first: 1,000,000 events, 1 GiB, 7 days, whichever
//! comes first. What the hub retains of a topic decides what a *fresh* client gets; who resumes gets all that it
//! missed, as far as the log has it.
//!
//! Events are taken away as new ones come, within the same commits, and their pages used again. So under steady
//! publishing the file levels off: at two to six times of what is kept, for small events. It grows by doubling, of
//! which a file system with sparse files has only what was written, and gets smaller by itself when its second
//! half is free. [`RedbLogBuilder::compact`] is for when much less is to be kept than before.
//!
//! ## Backing up
//!
//! Copy the file while the process is down. A copy of a file that is open may be torn between two of its pages, and
//! is then refused; a snapshot of the whole file system is as good as a crash. A copy that is put back has not the
//! events that came behind it, whose ids would be given out again: open it with [`RedbLogBuilder::restored`] the
//! first time, and clients are reset.
//!
//! # When something fails
//!
//! | what | what happens |
//! |---|---|
//! | the process is killed, or the machine | at the next start everything acknowledged is there; of what was not, all or nothing of a commit |
//! | the disk is full | publishing fails with [`Full`], nothing has happened; streams go on, and clients are resumed; it is tried again every second |
//! | writing fails otherwise | the file is opened anew; publishing fails with [`Unavailable`] if the events are not there, with [`Unacknowledged`] if they are: the disk may or may not have them, and a [key](tidings::Hub::publish_once) makes it safe to try again |
//! | publishers are faster than the disk | with 10,000 events or 64 MiB waiting, publishing fails with [`Busy`] |
//! | the file is damaged | opening it fails with [`Corrupt`]; with [`RedbLogBuilder::salvage`], what is whole before the damage is kept, in a new history, and clients are reset |
//! | the file is damaged while it is open | reading it fails with [`Corrupt`], never with other events; clients of what is in memory notice nothing |
//! | the file is open already, something else, or of another format | [`Refused`], and it is not touched |
//! | the file is gone | an empty log in a new history: clients are reset |
//! | the clock is set | events and keys grow old by a clock that is not, and that goes on where it was at a restart; only their dates are by the wall clock |
//!
//! redb checks some of what it reads by assertions. Those panics are caught, and are errors as the others are; but
//! the panic hook has told them, and a program that is built with `panic = "abort"` ends there.
//!
//! # What it does not do
//!
//! No file is shared by processes, nothing is compressed or encrypted, and topics have no retention of their own on
//! disk.
//!
//! [`Busy`]: tidings::backend::LogErrorKind::Busy
//! [`Corrupt`]: tidings::backend::LogErrorKind::Corrupt
//! [`Full`]: tidings::backend::LogErrorKind::Full
//! [`Refused`]: tidings::backend::LogErrorKind::Refused
//! [`Unacknowledged`]: tidings::backend::LogErrorKind::Unacknowledged
//! [`Unavailable`]: tidings::backend::LogErrorKind::Unavailable

mod append;
mod builder;
mod clock;
mod entry;
mod fault;
mod file;
mod log;
mod page;
mod queue;
mod reader;
mod retention;
mod salvage;
mod shelf;
mod stats;
mod store;
mod tables;
mod writer;

pub use builder::RedbLogBuilder;
pub use log::RedbLog;
pub use stats::Stats;
