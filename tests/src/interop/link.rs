//! A network between a client and a hub that breaks where a test says: a TCP proxy.

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio::task::AbortHandle;

/// How a stream is cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cut {
    /// The connection is reset, as when a machine or a network fails.
    Reset,
    /// The response ends in an orderly way, in the middle of an event. Proxies that speak HTTP/1.0 with a server do this
    /// when the server fails: there, the end of the connection is the end of the response.
    End,
}

#[derive(Debug)]
struct LinkState {
    hub: SocketAddr,
    /// Whether requests for streams pass.
    open: watch::Sender<bool>,
    /// Where and how to cut the next stream.
    next_cut: Mutex<Option<(Vec<u8>, Cut)>>,
    cuts: watch::Sender<usize>,
    requests: watch::Sender<usize>,
    heartbeats: watch::Sender<usize>,
}

/// A network. It ends when it is dropped.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    state: Arc<LinkState>,
    accepting: AbortHandle,
}

impl Drop for Link {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Link {
    /// A network that leads to `hub`.
    pub async fn to(hub: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = listener.local_addr().expect("a listener has an address");
        let state = Arc::new(LinkState {
            hub,
            open: watch::Sender::new(true),
            next_cut: Mutex::new(None),
            cuts: watch::Sender::new(0),
            requests: watch::Sender::new(0),
            heartbeats: watch::Sender::new(0),
        });
        let serving = state.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let state = serving.clone();
                // Fails with broken connections, which are the purpose.
                tokio::spawn(async move { carry(client, &state).await });
            }
        });
        Self { addr, state, accepting: accepting.abort_handle() }
    }

    /// The address for the client.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Holds requests for streams from now on.
    pub fn hold(&self) {
        self.state.open.send_replace(false);
    }

    /// Releases held requests.
    pub fn release(&self) {
        self.state.open.send_replace(true);
    }

    /// Cuts a stream after the next `mark` in it.
    pub fn cut_after(&self, mark: &[u8], how: Cut) {
        *self.state.next_cut.lock() = Some((mark.to_vec(), how));
    }

    /// Waits until this many streams were cut.
    pub async fn until_cut(&self, count: usize) {
        let mut cuts = self.state.cuts.subscribe();
        cuts.wait_for(|cuts| *cuts >= count).await.expect("this holds the sender");
    }

    /// How often a stream was asked for.
    pub fn requests(&self) -> usize {
        *self.state.requests.borrow()
    }

    /// Waits until a stream was asked for so many times.
    pub async fn until_requested(&self, count: usize) {
        let mut requests = self.state.requests.subscribe();
        requests.wait_for(|requests| *requests >= count).await.expect("this holds the sender");
    }

    /// Waits until another heartbeat has passed.
    pub async fn until_heartbeat(&self) {
        let mut heartbeats = self.state.heartbeats.subscribe();
        let before = *heartbeats.borrow_and_update();
        heartbeats
            .wait_for(|heartbeats| *heartbeats > before)
            .await
            .expect("this holds the sender");
    }
}

async fn carry(mut client: TcpStream, state: &LinkState) -> io::Result<()> {
    let mut hub = TcpStream::connect(state.hub).await?;
    client.set_nodelay(true)?;
    hub.set_nodelay(true)?;
    let (mut request, mut response) = ([0; 16 * 1024], [0; 64 * 1024]);
    // Bytes since a cut was ordered.
    let mut held = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let request = &request[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                // A request without a body comes in one piece.
                if request.starts_with(b"GET /events") {
                    state.requests.send_modify(|count| *count += 1);
                    let mut open = state.open.subscribe();
                    open.wait_for(|open| *open).await.map_err(io::Error::other)?;
                }
                hub.write_all(request).await?;
            }
            read = hub.read(&mut response) => {
                let response = &response[..read?];
                if response.is_empty() {
                    return Ok(());
                }
                let next_cut = state.next_cut.lock().clone();
                let Some((mark, how)) = next_cut else {
                    client.write_all(response).await?;
                    if is_heartbeat(response) {
                        state.heartbeats.send_modify(|count| *count += 1);
                    }
                    continue;
                };
                held.extend_from_slice(response);
                let Some(start) = held.windows(mark.len()).position(|bytes| bytes == mark) else {
                    continue;
                };
                *state.next_cut.lock() = None;
                held.truncate(start + mark.len());
                drop(hub);
                match how {
                    Cut::Reset => {
                        client.write_all(&held).await?;
                        client.set_zero_linger()?;
                    }
                    Cut::End => client.write_all(&ended(&held)).await?,
                }
                drop(client);
                state.cuts.send_modify(|count| *count += 1);
                return Ok(());
            }
        }
    }
}

/// Whether these bytes of a response are one chunk with a heartbeat.
fn is_heartbeat(bytes: &[u8]) -> bool {
    bytes == b"3\r\n:\n\n\r\n"
}

/// Joins chunks, the last of which was cut off, to a complete one, and ends the response.
///
/// # Panics
///
/// When the bytes are no chunks.
fn ended(mut chunks: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while !chunks.is_empty() {
        let line = chunks.windows(2).position(|bytes| bytes == b"\r\n").expect("a chunk");
        let size = std::str::from_utf8(&chunks[..line]).expect("the size of a chunk");
        let size = usize::from_str_radix(size, 16).expect("the size of a chunk");
        chunks = &chunks[line + 2..];
        let (data, rest) = chunks.split_at(size.min(chunks.len()));
        body.extend_from_slice(data);
        chunks = rest.get(2..).unwrap_or_default();
    }
    [format!("{:x}\r\n", body.len()).as_bytes(), &body, b"\r\n0\r\n\r\n"].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_that_was_cut_off_becomes_the_last() {
        assert_eq!(ended(b"5\r\nabc"), b"3\r\nabc\r\n0\r\n\r\n");
        assert_eq!(ended(b"3\r\n:\n\n\r\n10\r\ndata: a"), b"a\r\n:\n\ndata: a\r\n0\r\n\r\n");
    }
}
