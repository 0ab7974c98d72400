//! What is around the small examples: where they listen, and the files of all their pages.
//!
//! The files are the looks, `/page.css`, which are light or dark, as the browser prefers; and the script of `tidings-client`,
//! `/tidings.js`. Each framework serves them in its own way, with a feature of its name.

#[cfg(feature = "actix-web")]
pub mod actix_web;
#[cfg(feature = "axum")]
pub mod axum;
#[cfg(feature = "warp")]
pub mod warp;

use std::{env, io};

use tokio::net::TcpListener;

/// The paths of the files, with their types and texts.
#[cfg(any(feature = "actix-web", feature = "axum", feature = "warp"))]
const FILES: [(&str, &str, &str); 2] = [
    ("/page.css", "text/css; charset=utf-8", include_str!("page.css")),
    ("/tidings.js", tidings_client::CONTENT_TYPE, tidings_client::JS),
];

/// Listens at the address that is the program's argument, and says where.
pub async fn listen() -> io::Result<TcpListener> {
    let address = env::args().nth(1).unwrap_or("127.0.0.1:3000".to_owned());
    let listener = TcpListener::bind(address).await?;
    println!("http://{}/", listener.local_addr()?);
    Ok(listener)
}

/// Text within HTML, in an element or in an attribute with double quotes.
pub fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}
