//! For actix-web, with the feature `actix-web`.

use actix_web::http::StatusCode;
use actix_web::web::{Bytes, Data, PayloadConfig, ServiceConfig, resource, route};
use actix_web::{HttpRequest, HttpResponse, Responder};
use tidings_actix_web::{Sse, SseRequest};

use crate::{Answer, Console, Request, Response};

/// Adds the routes of the console to an application: see [the crate](crate).
///
/// The console is made once, outside of the closure that makes an application for each worker.
///
/// ```
/// use actix_web::App;
/// use tidings_actix_web::Hub;
/// use tidings_console::Console;
///
/// let hub = Hub::new();
/// let console = Console::new(&hub, "a long random token")?;
/// let app = move || App::new().configure(tidings_console::actix_web::configure(console.clone()));
/// # let _ = app();
/// # Ok::<(), tidings_console::ConsoleError>(())
/// ```
pub fn configure(console: Console) -> impl FnOnce(&mut ServiceConfig) {
    move |config| {
        let paths = [console.path().to_owned(), format!("{}/{{part:.*}}", console.path())];
        let resource = resource(paths)
            .app_data(Data::new(console))
            .app_data(PayloadConfig::new(Request::MAX_BODY_BYTES))
            .route(route().to(respond));
        config.service(resource);
    }
}

async fn respond(
    console: Data<Console>,
    http: HttpRequest,
    sse: SseRequest,
    body: Result<Bytes, actix_web::Error>,
) -> HttpResponse {
    let Ok(body) = body else { return HttpResponse::PayloadTooLarge().finish() };
    let uri = http.uri();
    let mut request = Request::new(http.method().as_str(), uri.path()).query(uri.query());
    for (name, value) in http.headers() {
        request = request.header(name.as_str(), value.as_bytes());
    }
    match console.respond(request.body(&body).resume(sse.into())).await {
        Answer::Response(response) => whole(response),
        Answer::Stream(stream) => Sse::from(stream).respond_to(&http),
    }
}

fn whole(response: Response) -> HttpResponse {
    // The console sets a valid one.
    let status = StatusCode::from_u16(response.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    let mut whole = HttpResponse::build(status);
    for (name, value) in response.headers {
        whole.append_header((name, &*value));
    }
    whole.body(response.body.into_owned())
}
