//! The suite that every adapter must pass, on actix-web.

use std::io;
use std::net::TcpListener;

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, ServiceConfig, get, head, post, resource};
use actix_web::{HttpRequest, HttpResponse, Responder};
use tidings_actix_web::{Limits, Sse, SseRequest, serve};
use tidings_testkit::adapter::{Adapter, App, Plain, Shutdown};
use tidings_testkit::serving::Serving;
use tidings_testkit::tls::tokio_rustls::rustls::ServerConfig;

struct ActixWeb;

/// What makes the application. A macro, since the type of actix-web's application cannot be named.
macro_rules! factory {
    ($app:expr) => {{
        let data = Data::new($app.clone());
        move || actix_web::App::new().app_data(data.clone()).configure(routes)
    }};
}

fn routes(config: &mut ServiceConfig) {
    let resource = resource("/{path:.*}").route(get().to(answer)).route(head().to(answer));
    config.service(resource.route(post().to(async |body: Bytes| body)));
}

impl Adapter for ActixWeb {
    // actix-http keeps them in a hash map.
    const HEADERS_IN_ORDER: bool = false;
    const TASKS_PER_STREAM: Option<usize> = None;

    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        serve(listener, factory!(app), app.hub())
            .workers(2)
            .limits(Limits::default().write_timeout(app.write_timeout()))
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }

    async fn serve_tls(app: App, listener: TcpListener, tls: ServerConfig) -> io::Result<()> {
        serve(listener, factory!(app), app.hub()).workers(2).tls(tls).disable_signals().await
    }
}

async fn answer(app: Data<App>, http: HttpRequest, request: SseRequest) -> HttpResponse {
    let respond = |sse: Sse, heartbeat| match heartbeat {
        Some(heartbeat) => Sse::heartbeat(sse, heartbeat).respond_to(&http),
        None => sse.respond_to(&http),
    };
    app.answer(http.path(), http.uri().query(), request).into_response(respond, plain)
}

/// In actix-web's own types, which are older.
fn plain(response: Plain) -> HttpResponse {
    let status = StatusCode::from_u16(response.status().as_u16()).expect("a status");
    let mut builder = HttpResponse::build(status);
    for (name, value) in response.headers() {
        builder.insert_header((name.as_str(), value.as_bytes()));
    }
    builder.body(response.into_body())
}

tidings_testkit::adapter_suite!(ActixWeb);

impl Serving for ActixWeb {
    type Server = tidings_actix::Server<TcpListener>;

    fn serve(app: App, listener: TcpListener) -> io::Result<tidings_actix_web::Serve> {
        Ok(serve(listener, factory!(app), app.hub()).workers(2))
    }
}

mod serving {
    use super::*;

    tidings_testkit::serving_suite!(ActixWeb);
}
