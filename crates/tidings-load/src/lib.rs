//! Makes load for endpoints of server-sent events, and judges what comes.

mod chunked;
mod client;
mod comparison;
mod error;
mod events;
mod files;
mod fleet;
mod judge;
mod latency;
mod load;
mod measures;
mod plan;
mod publisher;
mod reading;
mod report;
mod response;
mod tally;
mod target;
mod track;
mod workers;

pub use error::{LoadError, LoadErrorKind};
pub use fleet::Fleet;
pub use judge::Verdict;
pub use latency::Latency;
pub use load::{Load, Progress};
pub use plan::Plan;
pub use publisher::Publishing;
pub use reading::Fields;
pub use report::{Clients, Connections, Deliveries, Moment, Published, Report, Times};
pub use target::Target;
pub use workers::{WORKER_ARGUMENT, work};
