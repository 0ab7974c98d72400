//! The one who publishes: a client that waits for each answer.

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use socket2::{Domain, Socket, Type};

use crate::error::Error;

/// Longer than any answer takes, also under an instrument.
const PATIENCE: Duration = Duration::from_secs(300);

/// A loopback address that no client connects from.
const SPARE: Ipv4Addr = Ipv4Addr::new(127, 0, 0, 200);

/// A connection that requests are sent on, one after the other.
#[derive(Debug)]
pub(crate) struct Publisher {
    addr: SocketAddr,
    /// Whether a burst is one request, or as many as it has events, one behind the other.
    bursts: bool,
    stream: BufReader<TcpStream>,
}

impl Publisher {
    /// Connects. `bursts` says whether the server makes bursts itself.
    ///
    /// # Errors
    ///
    /// When there is no connection to be had.
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
        Ok(Self { addr, bursts, stream: BufReader::new(stream) })
    }

    /// Publishes an event some times to each of some topics. Returns how long that took the
    /// server without the request around it, where it tells.
    ///
    /// # Errors
    ///
    /// When the server does not take it.
    pub(crate) fn publish(
        &mut self,
        topics: &[String],
        count: usize,
        data: &str,
    ) -> Result<Option<Duration>, Error> {
        if self.bursts {
            let topics: String = topics.iter().map(|topic| format!("topic={topic}&")).collect();
            self.send(&format!("POST /publish?{topics}count={count}"), data)?;
            let answer = self.answer()?;
            let answer: serde_json::Value = serde_json::from_str(&answer).map_err(|error| {
                Error::new(format!("the answer {answer:?} is not JSON: {error}"))
            })?;
            return Ok(answer["nanoseconds"].as_u64().map(Duration::from_nanos));
        }
        for topic in topics {
            for _ in 0..count {
                self.send(&format!("POST /publish?topic={topic}"), data)?;
            }
        }
        for _ in 0..topics.len() * count {
            self.answer()?;
        }
        Ok(None)
    }

    /// Asks for the endpoint that has nothing to do with events.
    ///
    /// # Errors
    ///
    /// When there is no answer.
    pub(crate) fn ping(&mut self) -> Result<(), Error> {
        self.send("GET /ping", "")?;
        self.answer().map(drop)
    }

    fn send(&mut self, what: &str, body: &str) -> Result<(), Error> {
        let (addr, length) = (self.addr, body.len());
        let request =
            format!("{what} HTTP/1.1\r\nHost: {addr}\r\nContent-Length: {length}\r\n\r\n{body}");
        Ok(self.stream.get_mut().write_all(request.as_bytes())?)
    }

    fn answer(&mut self) -> Result<String, Error> {
        let mut line = String::new();
        self.stream.read_line(&mut line)?;
        let status = line.trim().to_owned();
        let mut length = 0;
        loop {
            line.clear();
            self.stream.read_line(&mut line)?;
            match line.trim_end().split_once(": ") {
                Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                    length = value.parse().map_err(|_| Error::new("a length is not a number"))?;
                }
                Some(_) => {}
                None if line.is_empty() => return Err(Error::new("the server hung up")),
                None => break,
            }
        }
        let mut body = vec![0; length];
        self.stream.read_exact(&mut body)?;
        let body = String::from_utf8_lossy(&body).into_owned();
        // nchan says "accepted" when nobody listens.
        if status.split(' ').nth(1).is_some_and(|code| code.starts_with('2')) {
            Ok(body)
        } else {
            Err(Error::new(format!("the answer is {status}: {}", body.trim())))
        }
    }
}
