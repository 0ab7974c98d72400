//! The floor: one thread, epoll and write(2). It knows just enough HTTP to be measured.

use std::collections::{HashMap, VecDeque};
use std::io::{self, Read, Write};
use std::net::TcpListener;
use std::rc::Rc;

use mio::event::Event;
use mio::net::TcpStream;
use mio::{Events, Interest, Poll, Token};
use slab::Slab;

use super::query::{Query, timed};

const LISTENER: Token = Token(usize::MAX);
const HEAD: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\
Cache-Control: no-cache\r\n\r\n";

struct Connection {
    stream: TcpStream,
    /// What is only there for the few: those that have not sent their request yet, and those
    /// whose socket is full.
    rest: Option<Box<Rest>>,
}

#[derive(Default)]
struct Rest {
    request: Vec<u8>,
    /// Frames, and how much of the first one is written.
    unwritten: VecDeque<(Rc<[u8]>, usize)>,
}

struct Floor {
    poll: Poll,
    connections: Slab<Connection>,
    topics: HashMap<String, Vec<usize>>,
}

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let mut listener = mio::net::TcpListener::from_std(listener);
    let poll = Poll::new()?;
    poll.registry().register(&mut listener, LISTENER, Interest::READABLE)?;
    let mut floor = Floor { poll, connections: Slab::new(), topics: HashMap::new() };
    let mut events = Events::with_capacity(1024);
    loop {
        match floor.poll.poll(&mut events, None) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            outcome => outcome?,
        }
        for event in &events {
            if event.token() == LISTENER {
                floor.accept(&listener)?;
            } else {
                floor.serve(event);
            }
        }
    }
}

impl Floor {
    fn accept(&mut self, listener: &mio::net::TcpListener) -> io::Result<()> {
        loop {
            let mut stream = match listener.accept() {
                Ok((stream, _)) => stream,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            };
            stream.set_nodelay(true)?;
            let entry = self.connections.vacant_entry();
            let interest = Interest::READABLE | Interest::WRITABLE;
            self.poll.registry().register(&mut stream, Token(entry.key()), interest)?;
            entry.insert(Connection { stream, rest: None });
        }
    }

    fn serve(&mut self, event: &Event) {
        let key = event.token().0;
        let Some(connection) = self.connections.get_mut(key) else { return };
        if event.is_writable() && connection.flush().is_err() {
            return self.remove(key);
        }
        if event.is_readable() {
            loop {
                match self.connections.get_mut(key).map_or(Ok(None), Connection::request) {
                    Ok(Some(request)) => self.answer(key, &request),
                    Ok(None) => break,
                    Err(_) => return self.remove(key),
                }
            }
        }
    }

    fn answer(&mut self, key: usize, request: &Request) {
        match request.path.as_str() {
            "/events" => {
                if self.write(key, &HEAD.into()).is_ok() {
                    for topic in &request.query.topics {
                        self.topics.entry(topic.clone()).or_default().push(key);
                    }
                }
            }
            "/publish" => {
                let answer = timed(|| self.publish(request));
                self.respond(key, &answer);
            }
            _ => self.respond(key, "pong"),
        }
    }

    fn respond(&mut self, key: usize, body: &str) {
        let length = body.len();
        let response = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}");
        if self.write(key, &response.into_bytes().into()).is_err() {
            self.remove(key);
        }
    }

    /// All events of a burst are one frame, and one write to each socket.
    fn publish(&mut self, request: &Request) {
        let mut frame = Vec::new();
        for _ in 0..request.query.count {
            frame.extend_from_slice(b"data: ");
            frame.extend_from_slice(&request.body);
            frame.extend_from_slice(b"\n\n");
        }
        let frame = frame.into();
        for topic in &request.query.topics {
            let Some(mut clients) = self.topics.remove(topic) else { continue };
            clients.retain(|key| self.write(*key, &frame).is_ok());
            self.topics.insert(topic.clone(), clients);
        }
    }

    fn write(&mut self, key: usize, bytes: &Rc<[u8]>) -> io::Result<()> {
        let gone = || io::Error::from(io::ErrorKind::NotConnected);
        self.connections.get_mut(key).ok_or_else(gone)?.write(bytes)
    }

    fn remove(&mut self, key: usize) {
        if self.connections.try_remove(key).is_some() {
            // It happens when a measurement is over, so it may take its time.
            for clients in self.topics.values_mut() {
                clients.retain(|client| *client != key);
            }
        }
    }
}

struct Request {
    path: String,
    query: Query,
    body: Vec<u8>,
}

impl Connection {
    /// The next request, when it is there as a whole.
    fn request(&mut self) -> io::Result<Option<Request>> {
        let rest = self.rest.get_or_insert_default();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => rest.request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let request = take_request(&mut rest.request);
        if rest.request.is_empty() && rest.unwritten.is_empty() {
            self.rest = None;
        }
        Ok(request)
    }

    fn write(&mut self, bytes: &Rc<[u8]>) -> io::Result<()> {
        let written = match &self.rest {
            Some(rest) if !rest.unwritten.is_empty() => 0,
            _ => some_or_none(self.stream.write(bytes))?,
        };
        if written < bytes.len() {
            self.rest.get_or_insert_default().unwritten.push_back((bytes.clone(), written));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(rest) = &mut self.rest else { return Ok(()) };
        while let Some((frame, written)) = rest.unwritten.front_mut() {
            *written += some_or_none(self.stream.write(&frame[*written..]))?;
            if *written < frame.len() {
                return Ok(());
            }
            rest.unwritten.pop_front();
        }
        if rest.request.is_empty() {
            self.rest = None;
        }
        Ok(())
    }
}

/// A full socket takes nothing.
fn some_or_none(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

/// Takes a whole request out of what was read.
fn take_request(read: &mut Vec<u8>) -> Option<Request> {
    let head_len = memchr::memmem::find(read, b"\r\n\r\n")? + 4;
    let head = String::from_utf8_lossy(&read[..head_len]).into_owned();
    let body_len = head
        .lines()
        .filter_map(|line| line.split_once(": "))
        .find(|(name, _)| name.eq_ignore_ascii_case("content-length"))
        .and_then(|(_, value)| value.parse().ok())
        .unwrap_or(0);
    if read.len() < head_len + body_len {
        return None;
    }
    let body = read[head_len..head_len + body_len].to_vec();
    read.drain(..head_len + body_len);
    let target = head.split(' ').nth(1).unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    Some(Request { path: path.to_owned(), query: Query::parse(query), body })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_when_its_body_is_there() {
        let mut read = b"POST /publish?topic=a HTTP/1.1\r\ncontent-length: 3\r\n\r\nab".to_vec();
        assert!(take_request(&mut read).is_none());
        read.extend_from_slice(b"cGET");
        let request = take_request(&mut read).expect("it is whole");
        assert_eq!((request.path.as_str(), &request.body[..]), ("/publish", &b"abc"[..]));
        assert_eq!(read, b"GET");
    }
}
