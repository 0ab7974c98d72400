//! The publisher: a client that waits for each response.

use std::io::{self, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};
use tidings_load::Response;

use crate::error::Error;

/// Longer than any response takes, even under callgrind.
const PATIENCE: Duration = Duration::from_secs(300);

/// A loopback address that no client connects from.
const SPARE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 200);

/// A connection for one request after the other.
#[derive(Debug)]
pub(crate) struct Publisher {
    addr: SocketAddr,
    /// Whether a burst is one request, or one for each event.
    bursts: bool,
    stream: TcpStream,
    /// What was read of the next response.
    unread: Vec<u8>,
}

impl Publisher {
    /// Connects. `bursts` says whether the server makes bursts itself.
    pub(crate) fn connect(addr: SocketAddr, bursts: bool) -> Result<Self, Error> {
        let stream = match TcpStream::connect(addr) {
            // The clients have used up the ports of the usual address.
            Err(error) if error.kind() == io::ErrorKind::AddrNotAvailable => {
                let socket = Socket::new(Domain::for_address(addr), Type::STREAM, None)?;
                socket.bind(&SocketAddr::from((SPARE, 0)).into())?;
                socket.connect(&addr.into())?;
                socket.into()
            }
            outcome => outcome?,
        };
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        Ok(Self { addr, bursts, stream, unread: Vec::new() })
    }

    /// Publishes an event `count` times to each of the topics. Returns how long that took the
    /// server without the request around it, if the server reports it.
    pub(crate) fn publish(
        &mut self,
        topics: &[String],
        count: usize,
        data: &str,
    ) -> Result<Option<Duration>, Error> {
        if self.bursts {
            let topics: String = topics.iter().map(|topic| format!("topic={topic}&")).collect();
            self.send(&format!("POST /publish?{topics}count={count}"), data)?;
            let body = self.response()?;
            let answer: serde_json::Value = serde_json::from_str(&body).map_err(|error| {
                Error::new(format!("the response {body:?} is not JSON: {error}"))
            })?;
            return Ok(answer["nanoseconds"].as_u64().map(Duration::from_nanos));
        }
        for topic in topics {
            for _ in 0..count {
                self.send(&format!("POST /publish?topic={topic}"), data)?;
            }
        }
        for _ in 0..topics.len() * count {
            self.response()?;
        }
        Ok(None)
    }

    /// Requests the endpoint that has nothing to do with events.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        self.send("GET /ping", "")?;
        self.response().map(drop)
    }

    fn send(&mut self, what: &str, body: &str) -> Result<(), Error> {
        let (addr, length) = (self.addr, body.len());
        let request =
            format!("{what} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n\r\n{body}");
        Ok(self.stream.write_all(request.as_bytes())?)
    }

    fn response(&mut self) -> Result<String, Error> {
        let mut response = Response::new();
        let mut body = Vec::new();
        let mut buffer = [0; 4096];
        loop {
            let mut bytes = &*self.unread;
            while !response.is_complete() {
                match response.next_data(&mut bytes) {
                    Ok(Some(data)) => body.extend_from_slice(data),
                    Ok(None) => break,
                    Err(error) => return Err(Error::new(error.to_string())),
                }
            }
            self.unread = bytes.to_vec();
            if response.is_complete() {
                break;
            }
            match self.stream.read(&mut buffer)? {
                0 => return Err(Error::new("the server closed the publisher's connection")),
                length => self.unread.extend_from_slice(&buffer[..length]),
            }
        }
        let body = String::from_utf8_lossy(&body).into_owned();
        let status = response.head().map_or(0, |head| head.status);
        // nchan answers 202 if a topic has no subscribers.
        match status {
            200..300 => Ok(body),
            _ => Err(Error::new(format!("the response is {status}: {}", body.trim()))),
        }
    }
}
