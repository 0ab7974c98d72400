//! Redis Streams as the log of a Tidings hub.

mod backoff;
mod batch;
mod bridge;
mod builder;
mod endpoint;
mod entry;
mod error;
mod follower;
mod keys;
mod lane;
mod link;
mod log;
mod merge;
mod position;
mod reader;
mod script;
mod settings;
mod signals;
mod state;
mod streams;
mod subscriber;
mod tag;
mod writer;

pub use bridge::{PubSubBridge, PubSubBridgeBuilder};
pub use builder::RedisLogBuilder;
pub use log::RedisLog;
