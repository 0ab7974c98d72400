//! Somebody between a client and its server, who breaks the promise once in each connection: what
//! the checker is there to find out.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::{AsyncReadExt, AsyncWriteExt, copy};
use tokio::net::{TcpListener, TcpStream};

/// What is done to one event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meddling {
    Lose,
    /// The connection is cut behind the next one, so that the gap is between two connections.
    LoseAndCut,
    Double,
    /// With the one behind it.
    Swap,
}

pub(crate) struct Meddler {
    addr: SocketAddr,
    times: Arc<AtomicUsize>,
}

impl Meddler {
    pub(crate) async fn start(server: SocketAddr, meddling: Meddling) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let times = Arc::<AtomicUsize>::default();
        let counted = times.clone();
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let times = counted.clone();
                tokio::spawn(async move {
                    let server = TcpStream::connect(server).await.unwrap();
                    let (mut from_client, to_client) = client.into_split();
                    let (from_server, mut to_server) = server.into_split();
                    tokio::select! {
                        _ = copy(&mut from_client, &mut to_server) => {}
                        _ = relay(from_server, to_client, meddling, &times) => {}
                    }
                });
            }
        });
        Self { addr, times }
    }

    pub(crate) fn addr(&self) -> SocketAddr {
        self.addr
    }

    /// Whether the client has received it: it may have been about to go, but not each time.
    pub(crate) fn is_done(&self) -> bool {
        self.times.load(Ordering::SeqCst) >= 5
    }
}

/// Hands on a response without framing, block by block.
async fn relay(
    mut from: impl AsyncReadExt + Unpin,
    mut to: impl AsyncWriteExt + Unpin,
    meddling: Meddling,
    times: &AtomicUsize,
) -> std::io::Result<()> {
    let mut read = Vec::new();
    // The head first.
    while take(&mut read, b"\r\n\r\n", &mut to).await?.is_none() {
        if from.read_buf(&mut read).await? == 0 {
            return Ok(());
        }
    }
    let (mut blocks, mut is_done) = (Vec::new(), false);
    loop {
        while let Some(end) = find(&read, b"\n\n") {
            let block: Vec<u8> = read.drain(..end).collect();
            let is_event = block.starts_with(b"data: ");
            if is_done || !is_event {
                for block in blocks.drain(..).chain([block]) {
                    to.write_all(&block).await?;
                }
                continue;
            }
            blocks.push(block);
            // Two in a row, with nothing between them.
            let [one, other] = &blocks[..] else { continue };
            is_done = true;
            times.fetch_add(1, Ordering::SeqCst);
            let wrong = match meddling {
                Meddling::Lose | Meddling::LoseAndCut => other.clone(),
                Meddling::Double => [&one[..], one, other].concat(),
                Meddling::Swap => [&other[..], one].concat(),
            };
            to.write_all(&wrong).await?;
            if meddling == Meddling::LoseAndCut {
                return to.shutdown().await;
            }
            blocks.clear();
        }
        if from.read_buf(&mut read).await? == 0 {
            return to.shutdown().await;
        }
    }
}

/// Hands on what ends with `mark`, if it is there.
async fn take(
    read: &mut Vec<u8>,
    mark: &[u8],
    to: &mut (impl AsyncWriteExt + Unpin),
) -> std::io::Result<Option<()>> {
    let Some(end) = find(read, mark) else { return Ok(None) };
    let head: Vec<u8> = read.drain(..end).collect();
    to.write_all(&head).await?;
    Ok(Some(()))
}

/// Where the first `mark` ends.
fn find(bytes: &[u8], mark: &[u8]) -> Option<usize> {
    bytes.windows(mark.len()).position(|window| window == mark).map(|at| at + mark.len())
}
