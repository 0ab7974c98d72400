//! actix-web-lab's `Sse` with a broadcaster as in actix's examples: a bounded channel for each client,
//! and a publication that waits until each has room.

use std::collections::HashMap;
use std::io;
use std::net::TcpListener;
use std::time::{Duration, Instant};

use actix_web::rt::System;
use actix_web::web::{self, Data};
use actix_web::{App, HttpRequest, HttpServer, Responder};
use actix_web_lab::sse::{self, Sse};
use futures_util::future;
use parking_lot::Mutex;
use tokio::sync::mpsc::{self, Receiver, Sender};

use super::query::{Query, answer};

/// The room in a client's channel.
const CAPACITY: usize = 10;

/// The clients of each topic.
#[derive(Default)]
struct Broadcaster(Mutex<HashMap<String, Vec<Sender<sse::Event>>>>);

impl Broadcaster {
    fn subscribe(&self, topics: &[String]) -> Receiver<sse::Event> {
        let (sender, receiver) = mpsc::channel(CAPACITY);
        let mut clients = self.0.lock();
        for topic in topics {
            clients.entry(topic.clone()).or_default().push(sender.clone());
        }
        receiver
    }

    async fn publish(&self, topic: &str, message: &str) {
        let clients = self.0.lock().get(topic).cloned().unwrap_or_default();
        let event = sse::Event::Data(sse::Data::new(message));
        // It fails for clients that have left.
        let _ = future::join_all(clients.iter().map(|client| client.send(event.clone()))).await;
    }

    /// Forgets clients that have left.
    fn sweep(&self) {
        for clients in self.0.lock().values_mut() {
            clients.retain(|client| !client.is_closed());
        }
    }
}

pub(super) fn serve(listener: TcpListener) -> io::Result<()> {
    let broadcaster = Data::new(Broadcaster::default());
    let clients = broadcaster.clone();
    let server = HttpServer::new(move || {
        App::new()
            .app_data(clients.clone())
            .route("/events", web::get().to(events))
            .route("/publish", web::post().to(publish))
            .route("/ping", web::get().to(async || "pong"))
    });
    System::new().block_on(async {
        actix_web::rt::spawn(async move {
            loop {
                actix_web::rt::time::sleep(Duration::from_secs(10)).await;
                broadcaster.sweep();
            }
        });
        server.workers(1).listen(listener)?.run().await
    })
}

async fn events(broadcaster: Data<Broadcaster>, request: HttpRequest) -> impl Responder {
    let query = Query::parse(request.query_string());
    Sse::from_infallible_receiver(broadcaster.subscribe(&query.topics))
        .with_keep_alive(Duration::from_secs(15))
}

async fn publish(broadcaster: Data<Broadcaster>, request: HttpRequest, body: String) -> String {
    let query = Query::parse(request.query_string());
    let began = Instant::now();
    for topic in query.publications() {
        broadcaster.publish(topic, &body).await;
    }
    answer(began.elapsed())
}
