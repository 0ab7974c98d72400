use async_nats::HeaderMap;
use async_nats::header::NATS_MESSAGE_ID;
use async_nats::jetstream::message::StreamMessage;
use bytes::Bytes;

/// An event that was handed on, to find out later whether the stream still has it at its position.
#[derive(Debug)]
pub(super) struct Witness {
    pub(super) sequence: u64,
    id: Option<String>,
    payload: Bytes,
}

impl Witness {
    pub(super) fn new(sequence: u64, headers: Option<&HeaderMap>, payload: &Bytes) -> Self {
        let id = headers.and_then(id).map(str::to_owned);
        // A copy, because the payload is a slice of a much larger buffer.
        let payload = Bytes::copy_from_slice(payload);
        Self { sequence, id, payload }
    }

    pub(super) fn is(&self, stored: &StreamMessage) -> bool {
        id(&stored.headers) == self.id.as_deref() && stored.payload == self.payload
    }
}

fn id(headers: &HeaderMap) -> Option<&str> {
    headers.get(NATS_MESSAGE_ID).map(|id| id.as_str())
}
