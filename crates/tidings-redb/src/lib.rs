//! A hub's log on disk.

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
