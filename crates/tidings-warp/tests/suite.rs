//! The suite that every adapter must pass, on warp.

use std::io;
use std::net::TcpListener;

use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use tidings_hyper::Server;
use tidings_testkit::adapter::{Adapter, App, Plain, Shutdown};
use tidings_testkit::serving::Serving;
use tidings_testkit::tls::accept;
use tidings_testkit::tls::tokio_rustls::rustls::ServerConfig;
use tidings_warp::{Limits, Sse, SseRequest, Transport};
use warp::filters::BoxedFilter;
use warp::hyper::body::Bytes;
use warp::path::FullPath;
use warp::reply::Response;
use warp::{Filter, Reply};

/// With the direct transport where it is possible, or with the body transport.
struct Warp<const DIRECT: bool>;

impl<const DIRECT: bool> Adapter for Warp<DIRECT> {
    const TASKS_PER_STREAM: Option<usize> = Some(if DIRECT { 0 } else { 1 });

    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        tidings_warp::serve(listener, routes(&app), app.hub())
            .transport(if DIRECT { Transport::Auto } else { Transport::Body })
            .limits(Limits::default().write_timeout(app.write_timeout()))
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }

    async fn serve_tls(app: App, listener: TcpListener, tls: ServerConfig) -> io::Result<()> {
        let mut accepted = accept(tokio::net::TcpListener::from_std(listener)?, tls);
        while let Some((io, _)) = accepted.recv().await {
            // warp listens on TCP only. This is what it does with a connection.
            let service = TowerToHyperService::new(warp::service(routes(&app)));
            tokio::spawn(async move {
                let server = Builder::new(TokioExecutor::new());
                // An error is a client that has left.
                drop(server.serve_connection(TokioIo::new(io), service).await);
            });
        }
        Ok(())
    }
}

fn routes(app: &App) -> BoxedFilter<(Response,)> {
    let app = app.clone();
    let query = warp::query::raw().or(warp::any().map(String::new)).unify();
    warp::get()
        .or(warp::head())
        .unify()
        .map(move || app.clone())
        .and(warp::path::full())
        .and(query)
        .and(tidings_warp::request())
        .map(answer)
        .or(warp::post().and(warp::body::bytes()).map(|body: Bytes| body.to_vec().into_response()))
        .unify()
        .boxed()
}

fn answer(app: App, path: FullPath, query: String, request: SseRequest) -> Response {
    let respond = |sse: Sse, heartbeat| match heartbeat {
        Some(heartbeat) => Sse::heartbeat(sse, heartbeat).into_response(),
        None => sse.into_response(),
    };
    app.answer(path.as_str(), Some(&query), request).into_response(respond, Plain::into_response)
}

mod direct {
    use super::*;

    tidings_testkit::adapter_suite!(Warp<true>);
}

mod body {
    use super::*;

    tidings_testkit::adapter_suite!(Warp<false>);
}

impl<const DIRECT: bool> Serving for Warp<DIRECT> {
    type Server = Server<tokio::net::TcpListener>;

    fn serve(app: App, listener: TcpListener) -> io::Result<tidings_warp::Serve> {
        let listener = tokio::net::TcpListener::from_std(listener)?;
        let transport = if DIRECT { Transport::Auto } else { Transport::Body };
        Ok(tidings_warp::serve(listener, routes(&app), app.hub()).transport(transport))
    }
}

mod serving {
    use super::*;

    mod direct {
        use super::*;

        tidings_testkit::serving_suite!(Warp<true>);
    }

    mod body {
        use super::*;

        tidings_testkit::serving_suite!(Warp<false>);
    }
}
