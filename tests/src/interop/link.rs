//! A network between a client and a hub that breaks where a test wants it to: a TCP proxy.

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
    /// The connection is reset: a machine or a network is gone.
    Reset,
    /// The response comes to its orderly end, in the middle of an event. That is what proxies make
    /// of a server that is gone, when they speak HTTP/1.0 with it: there, the end of the connection
    /// is the end of the response.
    End,
}

#[derive(Debug)]
struct Shared {
    hub: SocketAddr,
    /// Whether streams may begin.
    open: watch::Sender<bool>,
    /// Cut behind these bytes.
    armed: Mutex<Option<(Vec<u8>, Cut)>>,
    cuts: watch::Sender<usize>,
    heartbeats: watch::Sender<usize>,
}

/// A network; it ends when it is dropped.
#[derive(Debug)]
pub struct Link {
    addr: SocketAddr,
    shared: Arc<Shared>,
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
        let shared = Arc::new(Shared {
            hub,
            open: watch::Sender::new(true),
            armed: Mutex::new(None),
            cuts: watch::Sender::new(0),
            heartbeats: watch::Sender::new(0),
        });
        let serving = shared.clone();
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let shared = serving.clone();
                // What ends here with an error are connections that were broken, as is the purpose.
                tokio::spawn(async move { carry(client, &shared).await });
            }
        });
        Self { addr, shared, accepting: accepting.abort_handle() }
    }

    /// Its client's end.
    pub fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// From now on, requests for a stream wait.
    pub fn hold(&self) {
        self.shared.open.send_replace(false);
    }

    /// They wait no longer.
    pub fn release(&self) {
        self.shared.open.send_replace(true);
    }

    /// Cuts a stream behind the next `mark` in it.
    pub fn cut_behind(&self, mark: &[u8], how: Cut) {
        *self.shared.armed.lock() = Some((mark.to_vec(), how));
    }

    /// Waits until it has cut so many streams.
    pub async fn until_cut(&self, count: usize) {
        let mut cuts = self.shared.cuts.subscribe();
        cuts.wait_for(|cuts| *cuts >= count).await.expect("this holds the sender");
    }

    /// Waits until another heartbeat has passed.
    pub async fn until_heartbeat(&self) {
        let mut heartbeats = self.shared.heartbeats.subscribe();
        let before = *heartbeats.borrow_and_update();
        heartbeats
            .wait_for(|heartbeats| *heartbeats > before)
            .await
            .expect("this holds the sender");
    }
}

async fn carry(mut client: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut hub = TcpStream::connect(shared.hub).await?;
    client.set_nodelay(true)?;
    hub.set_nodelay(true)?;
    let (mut request, mut response) = ([0; 16 * 1024], [0; 64 * 1024]);
    // What came since a cut was ordered.
    let mut held = Vec::new();
    loop {
        tokio::select! {
            read = client.read(&mut request) => {
                let request = &request[..read?];
                if request.is_empty() {
                    return Ok(());
                }
                // Without a body, so in one piece.
                if request.starts_with(b"GET /events") {
                    let mut open = shared.open.subscribe();
                    open.wait_for(|open| *open).await.map_err(io::Error::other)?;
                }
                hub.write_all(request).await?;
            }
            read = hub.read(&mut response) => {
                let response = &response[..read?];
                if response.is_empty() {
                    return Ok(());
                }
                let armed = shared.armed.lock().clone();
                let Some((mark, how)) = armed else {
                    client.write_all(response).await?;
                    if is_heartbeat(response) {
                        shared.heartbeats.send_modify(|count| *count += 1);
                    }
                    continue;
                };
                held.extend_from_slice(response);
                let Some(start) = held.windows(mark.len()).position(|bytes| bytes == mark) else {
                    continue;
                };
                *shared.armed.lock() = None;
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
                shared.cuts.send_modify(|count| *count += 1);
                return Ok(());
            }
        }
    }
}

/// Whether these bytes of a response are a heartbeat in a chunk of its own.
fn is_heartbeat(bytes: &[u8]) -> bool {
    bytes == b"3\r\n:\n\n\r\n"
}

/// Chunks, the last of which was cut off, as chunks that are whole, and the end of the response.
///
/// # Panics
///
/// When they are no chunks.
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
