//! The suite that every adapter must pass, on actix-web.

use std::io;
use std::net::TcpListener;

use actix_web::web::{Data, get, head, resource};
use actix_web::{HttpRequest, HttpResponse, HttpServer, Responder};
use tidings_actix_web::{Sse, SseRequest};
use tidings_testkit::adapter::{Adapter, Answer, App, Shutdown};

struct ActixWeb;

impl Adapter for ActixWeb {
    async fn serve(app: App, listener: TcpListener, shutdown: Shutdown) -> io::Result<()> {
        let data = Data::new(app.clone());
        let server = HttpServer::new(move || {
            let all = resource("/{path:.*}").route(get().to(answer)).route(head().to(answer));
            actix_web::App::new().app_data(data.clone()).service(all)
        });
        tidings_actix_web::serve(listener, server.workers(2), app.hub())
            .with_graceful_shutdown(shutdown)
            .shutdown_timeout(App::SHUTDOWN_TIMEOUT)
            .await
    }
}

async fn answer(app: Data<App>, http: HttpRequest, request: SseRequest) -> HttpResponse {
    match app.answer(http.path(), http.uri().query(), request) {
        Answer::Subscription(subscribe) => Sse::from(subscribe).respond_to(&http),
        Answer::Stream(stream) => Sse::from(stream).respond_to(&http),
        Answer::Dropped(subscribe) => {
            drop(Sse::from(subscribe).respond_to(&http));
            HttpResponse::NoContent().finish()
        }
        Answer::NotFound => HttpResponse::NotFound().finish(),
    }
}

tidings_testkit::adapter_suite!(ActixWeb);
