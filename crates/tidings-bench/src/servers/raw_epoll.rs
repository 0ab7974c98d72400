//! The floor: one thread, epoll and write(2), with just enough HTTP to be measured.

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
    /// Only for a connection whose request is not complete, or whose socket is full.
    unfinished: Option<Box<Unfinished>>,
}

#[derive(Default)]
struct Unfinished {
    request: Vec<u8>,
    /// Frames, each with the number of bytes that are written.
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
            entry.insert(Connection { stream, unfinished: None });
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
            // Clients leave only after a measurement, so this may be slow.
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
    /// The next request, once it is complete.
    fn request(&mut self) -> io::Result<Option<Request>> {
        let unfinished = self.unfinished.get_or_insert_default();
        let mut buffer = [0; 4096];
        loop {
            match self.stream.read(&mut buffer) {
                Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Ok(length) => unfinished.request.extend_from_slice(&buffer[..length]),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) => return Err(error),
            }
        }
        let request = take_request(&mut unfinished.request)?;
        if unfinished.request.is_empty() && unfinished.unwritten.is_empty() {
            self.unfinished = None;
        }
        Ok(request)
    }

    fn write(&mut self, bytes: &Rc<[u8]>) -> io::Result<()> {
        let written = match &self.unfinished {
            Some(unfinished) if !unfinished.unwritten.is_empty() => 0,
            _ => bytes_written(self.stream.write(bytes))?,
        };
        if written < bytes.len() {
            self.unfinished.get_or_insert_default().unwritten.push_back((bytes.clone(), written));
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        let Some(unfinished) = &mut self.unfinished else { return Ok(()) };
        while let Some((frame, written)) = unfinished.unwritten.front_mut() {
            *written += bytes_written(self.stream.write(&frame[*written..]))?;
            if *written < frame.len() {
                return Ok(());
            }
            unfinished.unwritten.pop_front();
        }
        if unfinished.request.is_empty() {
            self.unfinished = None;
        }
        Ok(())
    }
}

/// The number of bytes that were written: 0 if the socket is full.
fn bytes_written(written: io::Result<usize>) -> io::Result<usize> {
    match written {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(0),
        outcome => outcome,
    }
}

/// Takes a whole request out of what was read; `None` if it is not complete.
fn take_request(read: &mut Vec<u8>) -> io::Result<Option<Request>> {
    let mut headers = [httparse::EMPTY_HEADER; 32];
    let mut head = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head_len) = head.parse(read).map_err(io::Error::other)? else {
        return Ok(None);
    };
    let mut headers = head.headers.iter();
    let length = headers.find(|header| header.name.eq_ignore_ascii_case("content-length"));
    let length = length.and_then(|header| std::str::from_utf8(header.value).ok()?.parse().ok());
    let end = head_len + length.unwrap_or(0);
    let target = head.path.unwrap_or_default();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let Some(body) = read.get(head_len..end) else { return Ok(None) };
    let request = Request { path: path.into(), query: Query::parse(query), body: body.into() };
    read.drain(..end);
    Ok(Some(request))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_request_is_taken_when_its_body_is_complete() {
        let mut read = b"POST /publish?topic=a HTTP/1.1\r\ncontent-length: 3\r\n\r\nab".to_vec();
        assert!(take_request(&mut read).expect("it is HTTP").is_none());
        read.extend_from_slice(b"cGET");
        let request = take_request(&mut read).expect("it is HTTP").expect("it is complete");
        assert_eq!((request.path.as_str(), &request.body[..]), ("/publish", &b"abc"[..]));
        assert_eq!(read, b"GET");
    }
}
