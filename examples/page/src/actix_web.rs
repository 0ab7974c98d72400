//! On actix-web.

use std::future::ready;

use actix_web::HttpResponse;
use actix_web::web::{self, ServiceConfig};

/// The files of all pages, for `App::configure`.
pub fn files(app: &mut ServiceConfig) {
    for (path, content_type, text) in super::FILES {
        let file = move || ready(HttpResponse::Ok().content_type(content_type).body(text));
        app.route(path, web::get().to(file));
    }
}
