use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body::Body;
use tidings_net::{SocketSettings, Transport};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use crate::connection::{self, App, ServerHandle};
use crate::handoff::ReturnedConnection;
use crate::io::Io;
use crate::writers::Writers;

/// Serves an application, and sends its streams by the direct transport unless `transport` forbids
/// it.
///
/// The server calls `app` for each request, with the address of the other end. The client gets the
/// same response as from hyper.
///
/// After `shutdown` resolves, the server ends when all connections have ended: idle ones end at once,
/// others after their response. The caller must end the streams, and should limit the time. If the
/// future is dropped, direct streams end at once, and other connections go on in the runtime.
///
/// # Errors
///
/// If the listener does not take the `settings`, or the writer threads cannot be started.
pub async fn serve<A, B>(
    listener: TcpListener,
    app: A,
    settings: SocketSettings,
    transport: Transport,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    A: App<B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    settings.apply(&listener)?;
    let write_timeout = settings.write_timeout_value();
    let writers = Arc::new(match transport {
        Transport::Body => Writers::none(),
        _ => Writers::start(write_timeout)?,
    });
    let _stop = writers.stop_on_drop();
    let (close, closing) = watch::channel(false);
    let (back, mut returned) = mpsc::unbounded_channel();
    let server = ServerHandle { writers: writers.clone(), closing, back, write_timeout };
    let mut shutdown = pin!(shutdown);
    loop {
        let io = tokio::select! {
            () = &mut shutdown => break,
            accepted = accept(&listener) => {
                // Where connections inherit the listener's settings, this repeats them. It fails
                // if the connection is gone already, which its task will notice.
                let _ = settings.apply(&accepted);
                Io::new(accepted, Bytes::new())
            }
            Some(ReturnedConnection { socket, pipelined }) = returned.recv() => {
                match TcpStream::from_std(socket) {
                    Ok(socket) => Io::new(socket, pipelined),
                    Err(_) => continue,
                }
            }
        };
        // Without an address, the connection is gone already.
        if let Ok(peer) = io.peer_addr() {
            tokio::spawn(connection::begin(io, peer, app.clone(), server.clone()));
        }
    }
    drop(listener);
    writers.close();
    close.send_replace(true);
    // Connections that are still served hold a sender. What they return now is closed.
    drop(server);
    while returned.recv().await.is_some() {}
    Ok(())
}

/// The next connection.
async fn accept(listener: &TcpListener) -> TcpStream {
    /// How long to wait when there are no files, or no memory, left for a connection.
    const PAUSE: Duration = Duration::from_millis(100);

    loop {
        match listener.accept().await {
            Ok((socket, _)) => return socket,
            Err(error) if is_of_the_connection(&error) => {}
            Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// Whether accepting has failed because of that one connection.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};

    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}
