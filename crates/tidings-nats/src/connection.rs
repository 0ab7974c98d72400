//! How this crate connects.

use std::time::Duration;

use tidings::backend::LogError;

use crate::complaint::Complaint;
use crate::connect_options::ConnectOptions;

/// How many messages a subscription may have waiting. When more come, they are read from the stream.
pub(crate) const CAPACITY: usize = 65_536;

/// Adds the options of every connection of this crate. Returns also where its server's complaints are heard.
pub(crate) async fn connection(
    options: ConnectOptions,
) -> Result<(async_nats::ConnectOptions, Complaint), LogError> {
    let complaint = options.complaint.clone();
    let options = options.read().await?;
    let options = options
        // After three without an answer the link counts as lost.
        .ping_interval(Duration::from_secs(1))
        .subscription_capacity(CAPACITY)
        .connection_timeout(Duration::from_secs(2))
        .reconnect_delay_callback(|attempts| {
            // Random from the first attempt on: many nodes lose a server at once.
            let longest = 25u64 << attempts.min(6);
            Duration::from_millis(fastrand::u64(longest / 2..=longest))
        });
    Ok((options, complaint))
}

/// The servers in a list with commas.
pub(crate) fn addresses(servers: &str) -> Vec<&str> {
    servers.split(',').map(str::trim).collect()
}
