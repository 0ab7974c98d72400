use std::io;

use crate::Io;

/// TLS for a server: there is none without the feature `tls`.
#[derive(Debug, Clone)]
pub enum Tls {}

/// A connection with TLS.
pub type TlsStream<IO> = IO;

impl Tls {
    /// For a server that is built without HTTP/2.
    pub fn do_not_offer_http2(&self) {
        match *self {}
    }

    pub(crate) async fn accept<IO: Io>(&self, _: IO) -> io::Result<TlsStream<IO>> {
        match *self {}
    }
}
