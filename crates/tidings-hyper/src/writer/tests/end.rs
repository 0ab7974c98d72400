//! What becomes of the bodies of streams, and of a server that waits, when streams or their writer end.

use super::*;
use std::sync::mpsc::{Receiver, Sender, channel};

/// Says farewell by a task, as guards of applications do.
struct Farewell(Sender<()>);

impl Drop for Farewell {
    fn drop(&mut self) {
        let sender = self.0.clone();
        drop(tokio::spawn(async move { sender.send(()) }));
    }
}

fn hear(farewells: &Receiver<()>, count: usize) {
    for _ in 0..count {
        farewells.recv_timeout(LIMIT).expect("a farewell comes in time");
    }
}

#[test]
fn what_bodies_keep_may_spawn_a_task_when_a_stream_or_the_writer_ends() {
    let hub = Hub::new();
    let runtime = Runtime::new().unwrap();
    let inbox = start::<Farewell>(9, None, Hubs::default(), runtime.handle().clone()).unwrap();
    let desk = Desk::new(None);
    let (sender, farewells) = channel();
    let serve = || {
        let (mut client, socket) = desk.connect();
        let stream = desk.stream_with(socket, hub.subscribe(["a"]), Farewell(sender.clone()));
        inbox.send(Message::Serve(Box::new(stream)));
        read_until(&mut client, "fresh");
        client
    };
    drop(serve());
    hear(&farewells, 1);
    let mut clients = [(); 3].map(|()| serve());
    inbox.send(Message::Stop);
    hear(&farewells, 3);
    for client in &mut clients {
        assert_eq!(client.read(&mut [0; 64]).expect("its end comes in time"), 0);
    }
}

#[test]
fn a_writer_that_fails_does_not_keep_a_server_that_shuts_down() {
    let hub = Hub::new();
    let runtime = Runtime::new().unwrap();
    let inbox = start::<()>(10, None, Hubs::default(), runtime.handle().clone()).unwrap();
    let mut desk = Desk::new(None);
    let mut returned = std::mem::replace(&mut desk.returned, unbounded_channel().1);
    let (mut client, socket) = desk.connect();
    inbox.send(Message::Serve(Box::new(desk.stream(socket, hub.subscribe(["a"])))));
    read_until(&mut client, "fresh");
    drop(desk);
    inbox.send(Message::Close);
    inbox.send(Message::Panic);
    let end = async { tokio::time::timeout(LIMIT, returned.recv()).await };
    assert!(runtime.block_on(end).expect("the writer lets the server end in time").is_none());
    inbox.send(Message::Stop);
}
