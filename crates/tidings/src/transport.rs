//! For servers that send many streams from one thread, as `tidings-hyper` does. It is outside the promises of semver.

pub use crate::cohort::{Batch, Cohort, CohortKey, Lagging};
pub use crate::event_stream::AnyEventStream;
pub use crate::subscription::application_task::ApplicationTask;
