//! Tidings on NATS.

mod appender;
mod engine;
mod epoch;
mod error;
mod follower;
mod log;
mod message;
mod reader;
mod settings;
mod subject;

pub use async_nats::ConnectOptions;
pub use log::NatsLog;
pub use settings::NatsLogBuilder;
