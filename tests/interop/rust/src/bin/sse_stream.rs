//! `sse-stream`, on the body of a response of `reqwest`. Its users reconnect.

use std::error::Error;
use std::time::Duration;

use futures_util::StreamExt;
use interop_clients::print;
use reqwest::Client;
use sse_stream::SseByteStream;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let url = std::env::args().nth(1).ok_or("usage: sse_stream URL")?;
    // Three heartbeats.
    let client = Client::builder().read_timeout(Duration::from_secs(45)).build()?;
    let mut last_event_id = None::<String>;
    let mut delay = Duration::ZERO;
    loop {
        tokio::time::sleep(delay).await;
        let mut request = client.get(&url).header("accept", "text/event-stream");
        if let Some(id) = &last_event_id {
            request = request.header("last-event-id", id);
        }
        let response = match request.send().await {
            Ok(response) => response.error_for_status()?,
            Err(error) => {
                eprintln!("{error}; once more");
                continue;
            }
        };
        let mut events = SseByteStream::new(response.bytes_stream());
        while let Some(event) = events.next().await {
            let event = match event {
                Ok(event) => event,
                Err(error) => {
                    eprintln!("{error}; once more");
                    break;
                }
            };
            if let Some(millis) = event.retry {
                delay = Duration::from_millis(millis);
            }
            if event.id.is_some() {
                last_event_id = event.id;
            }
            // It returns all blocks, also those that are no events.
            if let Some(data) = &event.data {
                let id = last_event_id.as_deref().unwrap_or_default();
                print(event.event.as_deref().unwrap_or("message"), data, id);
            }
        }
    }
}
