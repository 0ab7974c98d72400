//! A server that sends what a test tells it to, including faults.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

pub(crate) const STREAM: &str = "HTTP/1.1 200 OK\r\ncontent-type: text/event-stream\r\n\r\n";

/// What the server sends on a connection.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    text: String,
    stays: bool,
}

impl Answer {
    /// Sends this, then ends the connection.
    pub(crate) fn ends(text: impl Into<String>) -> Self {
        Self { text: text.into(), stays: false }
    }

    /// Sends this, then keeps the connection open.
    pub(crate) fn stays(text: impl Into<String>) -> Self {
        Self { text: text.into(), stays: true }
    }
}

/// A server that runs until the test's runtime ends.
#[derive(Debug)]
pub(crate) struct Scripted {
    addr: SocketAddr,
    requests: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    /// Gives each connection the answer to its number, which counts from 0.
    pub(crate) async fn start(answer: impl Fn(usize) -> Answer + Send + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let addr = listener.local_addr().unwrap();
        let requests = Arc::<Mutex<Vec<String>>>::default();
        let heard = requests.clone();
        tokio::spawn(async move {
            for number in 0.. {
                let Ok((stream, _)) = listener.accept().await else { return };
                tokio::spawn(serve(stream, answer(number), heard.clone()));
            }
        });
        Self { addr, requests }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://{}/events", self.addr)
    }

    /// The heads of the requests so far.
    pub(crate) fn requests(&self) -> Vec<String> {
        self.requests.lock().unwrap().clone()
    }
}

async fn serve(mut stream: TcpStream, answer: Answer, heard: Arc<Mutex<Vec<String>>>) {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => head.push(byte),
            Err(_) => return,
        }
    }
    let head = String::from_utf8(head).unwrap();
    // A body that nobody has read would reset the connection.
    let length = head.split_once("Content-Length: ").and_then(|(_, rest)| rest.lines().next());
    let mut body = vec![0; length.map_or(0, |length| length.parse().unwrap())];
    if stream.read_exact(&mut body).await.is_err() {
        return;
    }
    heard.lock().unwrap().push(head);
    if stream.write_all(answer.text.as_bytes()).await.is_ok() && answer.stays {
        // Until the client closes it.
        let _ = stream.read_u8().await;
    }
}

/// Events with these numbers, and matching ids.
pub(crate) fn events(numbers: impl IntoIterator<Item = u64>) -> String {
    numbers.into_iter().map(|n| format!("id: e-{n}\ndata: {{\"n\":{n}}}\n\n")).collect()
}
