//! The suite that every adapter must pass, on axum.

use std::future::pending;
use std::io;
use std::net::{SocketAddr, TcpListener};

use axum::Router;
use axum::extract::State;
use axum::http::Uri;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use axum::serve::Listener;
use tidings_axum::{Limits, Sse, SseRequest, Transport};
use tidings_hyper::Server;
use tidings_testkit::adapter::{Adapter, App, Plain, Shutdown};
use tidings_testkit::serving::Serving;
use tidings_testkit::tls::accept;
use tidings_testkit::tls::tokio_rustls::rustls::ServerConfig;
use tidings_testkit::tls::tokio_rustls::server::TlsStream;
use tokio::net::TcpStream;
use tokio::sync::mpsc::Receiver;

/// With the direct transport where it is possible, or with the body transport.
struct Axum<const DIRECT: bool>;

impl<const DIRECT: bool> Adapter for Axum<DIRECT> {
    const TASKS_PER_STREAM: Option<usize> = Some(if DIRECT { 0 } else { 1 });

    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tidings_axum::serve(listener, router(&app), app.hub())
            .transport(if DIRECT { Transport::Auto } else { Transport::Body })
            .limits(Limits::default().write_timeout(app.write_timeout()))
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }

    async fn serve_tls(app: App, listener: TcpListener, tls: ServerConfig) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let listener = Tls { addr: listener.local_addr()?, accepted: accept(listener, tls) };
        axum::serve(listener, router(&app)).await
    }
}

/// To axum, TLS is a listener like any other.
struct Tls {
    addr: SocketAddr,
    accepted: Receiver<(TlsStream<TcpStream>, SocketAddr)>,
}

impl Listener for Tls {
    type Io = TlsStream<TcpStream>;
    type Addr = SocketAddr;

    async fn accept(&mut self) -> (Self::Io, SocketAddr) {
        match self.accepted.recv().await {
            Some(connection) => connection,
            None => pending().await,
        }
    }

    fn local_addr(&self) -> io::Result<SocketAddr> {
        Ok(self.addr)
    }
}

fn router(app: &App) -> Router {
    Router::new().route("/{*path}", get(answer).post(echo)).with_state(app.clone())
}

async fn answer(State(app): State<App>, uri: Uri, request: SseRequest) -> Response {
    let respond = |sse: Sse, heartbeat| match heartbeat {
        Some(heartbeat) => Sse::heartbeat(sse, heartbeat).into_response(),
        None => sse.into_response(),
    };
    app.answer(uri.path(), uri.query(), request).into_response(respond, Plain::into_response)
}

async fn echo(body: String) -> String {
    body
}

mod direct {
    use super::*;

    tidings_testkit::adapter_suite!(Axum<true>);
}

mod body {
    use super::*;

    tidings_testkit::adapter_suite!(Axum<false>);
}

impl<const DIRECT: bool> Serving for Axum<DIRECT> {
    type Server = Server<tidings_axum::Listener<tokio::net::TcpListener>>;

    fn serve(app: App, listener: TcpListener) -> io::Result<tidings_axum::Serve> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let transport = if DIRECT { Transport::Auto } else { Transport::Body };
        Ok(tidings_axum::serve(listener, router(&app), app.hub()).transport(transport))
    }
}

mod serving {
    use super::*;

    mod direct {
        use super::*;

        tidings_testkit::serving_suite!(Axum<true>);
    }

    mod body {
        use super::*;

        tidings_testkit::serving_suite!(Axum<false>);
    }
}
