//! `eventsource-client`. It reconnects.

use std::error::Error;
use std::time::Duration;

use eventsource_client::{Client, ClientBuilder, SSE};
use futures_util::StreamExt;
use interop_clients::print;
use launchdarkly_sdk_transport::HyperTransport;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: eventsource_client URL")?;
    let transport = HyperTransport::builder()
        .connect_timeout(Duration::from_secs(10))
        // Three heartbeats.
        .read_timeout(Duration::from_secs(45))
        .build_http()?;
    let client = ClientBuilder::for_url(&url)?.build_with_transport(transport);
    let mut stream = client.stream();
    while let Some(item) = stream.next().await {
        match item {
            Ok(SSE::Event(event)) => {
                print(&event.event_type, &event.data, event.id.as_deref().unwrap_or_default());
            }
            Ok(SSE::Connected(_) | SSE::Comment(_)) => {}
            // Not the end, according to its documentation: it reconnects.
            Err(error) => eprintln!("{error}; once more"),
        }
    }
    Err("it has given up".into())
}
