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
mod measures;
mod plan;
mod reading;
mod report;
mod response;
mod tally;
mod target;
mod track;

pub use error::{LoadError, LoadErrorKind};
pub use fleet::Fleet;
pub use judge::Verdict;
pub use latency::Latency;
pub use plan::Plan;
pub use reading::Fields;
pub use report::{Clients, Connections, Deliveries, Moment, Published, Report, Times};
pub use target::Target;
