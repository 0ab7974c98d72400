//! The suite that every adapter must pass, on actix-web.

use std::io;
use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::web::{Data, ServiceConfig, get, head, resource};
use actix_web::{HttpRequest, HttpResponse, HttpServer, Responder};
use tidings_actix_web::{Limits, Sse, SseRequest, serve, serve_with};
use tidings_testkit::adapter::{Adapter, App, Shutdown};
use tidings_testkit::tls::tokio_rustls::rustls::ServerConfig;

struct ActixWeb;

/// The application on two workers. A macro, since the type of actix-web's application cannot be named.
macro_rules! server {
    ($app:expr) => {{
        let data = Data::new($app.clone());
        HttpServer::new(move || actix_web::App::new().app_data(data.clone()).configure(routes))
            .workers(2)
    }};
}

fn routes(config: &mut ServiceConfig) {
    config.service(resource("/{path:.*}").route(get().to(answer)).route(head().to(answer)));
}

impl Adapter for ActixWeb {
    // Over HTTP/2, it notices a cancelled stream when it writes to it.
    const CANCELS_AT_ONCE: bool = false;
    const TASKS_PER_STREAM: Option<usize> = None;

    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        serve(listener, server!(app), app.hub())
            .limits(Limits::default().write_timeout(app.write_timeout()))
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }

    async fn serve_h2c(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        serve_with(listener, server!(app), app.hub(), HttpServer::listen_auto_h2c)
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }

    async fn serve_tls(app: App, listener: TcpListener, tls: ServerConfig) -> io::Result<()> {
        serve_with(listener, server!(app), app.hub(), |server, listener| {
            server.listen_rustls_0_23(listener, tls)
        })
        .await
    }
}

async fn answer(app: Data<App>, http: HttpRequest, request: SseRequest) -> HttpResponse {
    let status = |status| HttpResponse::new(StatusCode::from_u16(status).expect("a status"));
    let respond = |sse: Sse| sse.respond_to(&http);
    app.answer(http.path(), http.uri().query(), request).into_response(respond, status)
}

tidings_testkit::adapter_suite!(ActixWeb);
