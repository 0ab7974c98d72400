use std::error::Error;
use std::io;
use std::pin::pin;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body::Body;
use tidings_net::{Connections, Listener, Options, Transport};
use tokio::net::TcpStream;
use tokio::sync::{mpsc, watch};

use crate::connection::{self, App, Server};
use crate::handoff::ReturnedConnection;
use crate::writers::Writers;

/// Serves an application, and sends its streams by the direct transport unless the options forbid it.
///
/// The server calls `app` for each request, with the address of the other end and of the client. The client gets the
/// same response as from hyper.
///
/// After `shutdown` resolves, the server ends when all connections have ended: idle ones end at once,
/// others after their response. The caller must end the streams, and should limit the time. If the
/// future is dropped, all connections end at once, but those that have become another protocol's.
///
/// # Errors
///
/// If the listener does not take the limits, or the writer threads cannot be started.
pub async fn serve<L, A, B>(
    mut listener: L,
    app: A,
    options: Options,
    shutdown: impl Future<Output = ()>,
) -> io::Result<()>
where
    L: Listener,
    A: App<L::Addr, B>,
    B: Body<Data = Bytes> + Send + Unpin + 'static,
    B::Error: Into<Box<dyn Error + Send + Sync>>,
{
    #[cfg(not(feature = "http2"))]
    if let Some(tls) = &options.tls {
        tls.do_not_offer_http2();
    }
    listener.prepare(&options.limits)?;
    let connections = Connections::new(&options);
    let writers = Arc::new(match options.transport {
        Transport::Body => Writers::none(),
        _ => Writers::start(options.limits.write_timeout_value(), &options.hubs)?,
    });
    let _stop = writers.stop_on_drop();
    let lobby = Lobby(&connections);
    let (close, closing) = watch::channel(false);
    let (back, mut returned) = mpsc::unbounded_channel();
    let server = Arc::new(Server {
        app: Mutex::new(app),
        writers: writers.clone(),
        closing,
        back,
        connections: connections.clone(),
        tls: options.tls,
    });
    let mut shutdown = pin!(shutdown);
    loop {
        let (io, addr, reception, before) = tokio::select! {
            () = &mut shutdown => break,
            (io, addr, reception) = connections.accept(&mut listener) => {
                (io, addr, reception, Bytes::new())
            }
            Some(ReturnedConnection { socket, pipelined, permit }) = returned.recv() => {
                let returned = TcpStream::from_std(socket).ok().and_then(L::from_tcp);
                let Some((io, addr)) = returned else {
                    continue;
                };
                let reception = connections.readmit(permit, L::socket_addr(&addr));
                (io, addr, reception, pipelined)
            }
        };
        tokio::spawn(connection::begin(io, addr, before, reception, server.clone()));
    }
    drop(listener);
    writers.close();
    close.send_replace(true);
    drop(lobby);
    // Connections that are still served hold a sender. What they return now is closed.
    drop(server);
    while returned.recv().await.is_some() {}
    Ok(())
}

/// Nothing was requested there: its connections end when the server shuts down or is dropped.
struct Lobby<'a>(&'a Connections);

impl Drop for Lobby<'_> {
    fn drop(&mut self) {
        self.0.close_lobby();
    }
}
