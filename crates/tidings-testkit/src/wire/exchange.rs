use std::io;
use std::net::SocketAddr;
use std::panic::Location;

use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;

use super::connection::Connection;
use super::request::Request;
use super::response::{Caller, Response};
use crate::limit::within_at;

impl Connection {
    /// Sends a request and reads the head of its response.
    #[track_caller]
    pub fn send(self, request: &Request) -> impl Future<Output = Response> {
        self.exchange(Location::caller(), request)
    }

    async fn exchange(mut self, caller: Caller, request: &Request) -> Response {
        let written = within_at(caller, "sending", self.socket.write_all(&request.bytes())).await;
        written.unwrap_or_else(|error| panic!("sending: {error}, at {caller}"));
        Response::begin(self, caller, request.is_head()).await
    }

    /// Reads the head of the response to a request that was [written](Self::write), but not a HEAD request.
    #[track_caller]
    pub fn response(self) -> impl Future<Output = Response> {
        Response::begin(self, Location::caller(), false)
    }

    /// Connects, sends a request and reads the head of its response from a server that may end at any moment. There
    /// is no time limit.
    ///
    /// # Errors
    ///
    /// When the connection fails, or ends before the response.
    pub async fn try_send(server: SocketAddr, request: &Request) -> io::Result<Response> {
        let mut connection = Self::of(TcpStream::connect(server).await?);
        connection.socket.write_all(&request.bytes()).await?;
        Response::try_begin(connection, request.is_head()).await
    }
}

impl Response {
    /// Connects, sends a request and reads the head of its response.
    #[track_caller]
    pub fn to(server: SocketAddr, request: Request) -> impl Future<Output = Self> {
        let caller = Location::caller();
        async move {
            let connection = Connection::connect(caller, server, |_| {}).await;
            connection.exchange(caller, &request).await
        }
    }
}
