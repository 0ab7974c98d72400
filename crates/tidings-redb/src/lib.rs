//! A hub's log on disk: published events outlive the process, and clients resume across a restart.
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
//! The log is a file of [redb], an embedded database in pure Rust: nothing to install and nothing to run. It belongs
//! to one process. Several nodes need one of the logs on a broker.
//!
//! # What acknowledged means
//!
//! An acknowledged event is on disk: written, and synced (`fdatasync`). No client has seen it before. Whatever ends
//! the process, `kill -9` or a power cut, the event is in the log at the next start, with the same id. Ids continue
//! after it, and a client that comes back with one is resumed.
//!
//! One thread writes. It takes everything that has come while it was busy, and writes it in one commit. So however
//! many publish, each waits for two commits at most. On a disk that takes 2.5 ms to sync:
//!
//! | publishers | events a second | events a commit | syncs an event |
//! |---|---|---|---|
//! | 1 | 200 | 1 | 2 |
//! | 10 | 1,200 | 7 | 0.29 |
//! | 100 | 8,100 | 58 | 0.034 |
//! | 1,000 | 31,500 | 650 | 0.0031 |
//!
//! Each of these publishers waits for one event before it publishes the next; `cargo bench -p tidings-redb` measures
//! it. A publisher that does not wait shares commits with itself.
//!
//! ## Two syncs, not one
//!
//! A commit has two phases: first the events are synced, then what makes them count. redb can do it in one. It then
//! recognizes an unfinished commit by its checksums, and returns to the commit before. But a page that is damaged
//! *after* its commit looks the same, so acknowledged events would be gone without notice, and their ids assigned
//! again. And the checksums do not withstand somebody who chooses what is written, while events often hold text of
//! strangers. With one phase, a single publisher gets about 2.5 times as many events through, a thousand
//! publishers a tenth more.
//!
//! # What is on disk
//!
//! A file. Its first page says what it is, and has the newest acknowledged position; redb's pages (format 3) follow,
//! with five tables: the events by position, each with its position, times and a checksum over all of it; the
//! positions of each topic, so that a few topics are read without the rest; idempotency keys with their times,
//! twice; the log's state; and its epoch. Positions are dense, from 1.
//!
//! That is format 2. A file of format 1, whose index has redb 2's encoding, is made one of format 2 in one commit when it
//! is opened: ids stay, clients are resumed, and what wrote it refuses it from then on.
//!
//! Opening a file reads all of it and compares its checksums, at about 300 MiB a second from the system's cache, or as
//! fast as the disk. Otherwise damage would only show when a client needs the events.
//!
//! ## Size
//!
//! [Retention](RedbLogBuilder) is for the log as a whole, oldest first: 1,000,000 events, 1 GiB or 7 days, whichever
//! comes first. What the hub retains of a topic decides what a *fresh* client gets; a client that resumes gets
//! everything that it missed, as far as the log has it.
//!
//! Events are removed as new ones come, within the same commits, and their pages used again. So under steady publishing
//! the file stops growing at two to six times the size of what is kept, for small events. It grows by doubling; on a
//! file system with sparse files only written pages take room. redb makes it smaller when its second half is free
//! (not tested).
//! [`RedbLogBuilder::compact`] is for a log that keeps much less than before.
//!
//! ## Backups
//!
//! Copy the file while the process is down. A copy of an open file may be torn between two of its pages, and is then
//! refused; a snapshot of the whole file system is as good as a crash. A copy that is put back lacks the events that came
//! after it, whose ids would be assigned again. Open it with [`RedbLogBuilder::restored`] the first time, and clients are
//! reset.
//!
//! # When something fails
//!
//! | what | what happens |
//! |---|---|
//! | the process is killed, or the machine | at the next start every acknowledged event is there; of an unacknowledged commit, all or nothing |
//! | the disk is full | publishing fails with [`Full`], and nothing has happened; streams continue, and clients are resumed; the log opens the file again, which reads all of it while reads from the file wait, and tries again after a second, or ten times as long as that took |
//! | writing fails otherwise | the file is opened again; publishing fails with [`Unavailable`] if the events are not in it, with [`Unacknowledged`] if they are: they may or may not be on disk, and a [key](tidings::Hub::publish_once) makes it safe to try again |
//! | publishers are faster than the disk | with 10,000 events or 64 MiB waiting, publishing fails with [`Busy`] |
//! | the file is damaged | opening it fails with [`Corrupt`]; with [`RedbLogBuilder::salvage`], the events before the damage are kept, in a new history, and clients are reset |
//! | the file is damaged while it is open | reading it fails with [`Corrupt`], never with other events, and is told through `tracing`; clients that memory serves notice nothing; those that missed what is damaged are reset (`trimmed`) |
//! | the file is deleted, moved or replaced while it is open | publishing fails with [`Unavailable`] until it is back, or until the log is opened again; [health](tidings::Hub::health) says so; streams continue, and clients read what was there before |
//! | the file is cut while it is open | the same with [`Corrupt`], for good |
//! | the file is open already, is something else, or has another format | [`Refused`], and it is not touched |
//! | the file is gone | an empty log in a new history: clients are reset |
//! | the clock is set | while the log is open, nothing: events and keys expire by a clock that is not set, and that never goes back, and only their dates follow the wall clock. After a restart with a clock that is ahead, events expire earlier by as much, and keys do not, unless there is another restart within their window |
//!
//! The log looks whether its file is still the one at its path, and whole, before each commit, before it acknowledges
//! what it has committed, and three times a second. A file that goes in between takes its events along as
//! [`Unacknowledged`]. So a process must keep the right to look at the path. Until it ends, a deleted file is still
//! there: on Linux, as one of `/proc/PID/fd`. All this is tested on Linux; on Windows, another file in its place is not
//! noticed.
//!
//! redb checks some of what it reads by assertions. The log catches these panics and makes them errors. They print
//! nothing: the log puts a panic hook before the program's, which passes on all other panics. A program built with
//! `panic = "abort"` ends.
//!
//! # What it does not do
//!
//! Processes do not share a file. Nothing is compressed or encrypted. Topics have no retention of their own on disk.
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
mod place;
mod queue;
mod reader;
mod retention;
mod salvage;
mod shared_store;
mod stats;
mod store;
mod tables;
mod writer;

pub use builder::RedbLogBuilder;
pub use log::RedbLog;
pub use stats::Stats;

/// All public types may go to other threads, and be shared by them.
const _: () = {
    const fn is_send_and_sync<T: Send + Sync>() {}
    is_send_and_sync::<RedbLog>();
    is_send_and_sync::<RedbLogBuilder>();
    is_send_and_sync::<Stats>();
};
