//! Streams of a topic that are sent different events of it.

use std::time::Duration;

use futures_util::future::join_all;
use tidings::{Event, Hub, Retention};

use super::Adapter;
use super::resume::cut_after_every_byte;
use super::site::Site;
use crate::checker::{Entry, Visit, check};
use crate::wire::Request;

const ROLES: [&str; 3] = ["admin", "editor", "nobody"];

fn publish(site: &Site, role: &str, data: &str) -> Entry {
    let event = Event::new(data).with_attribute("role", role).expect("a name");
    let published = site.hub.publish("a", event).wait().expect("an event is published");
    Entry { id: published.id().to_string(), topic: role.to_owned(), data: data.to_owned() }
}

pub async fn streams_of_different_roles_come_and_go_and_lose_nothing<A: Adapter>() {
    let retention = Retention::default().events(100_000).bytes(1 << 28);
    let site = Site::with::<A>(Hub::builder().retention(retention).max_retained_bytes(1 << 28));
    let mut published = Vec::new();
    let mut visits: Vec<Vec<Visit>> = vec![Vec::new(); 12];
    let role = |number: usize| ROLES[number % 3];
    for round in 0..6 {
        let clients = visits.iter().enumerate().map(|(number, visits)| {
            let request = Request::get(&format!("/events?topic=a&role={}", role(number)));
            let last = visits.last().and_then(|visit| visit.messages.last());
            let claimed = last.map(|message| message.last_event_id().to_owned());
            let site = &site;
            async move {
                let request = match &claimed {
                    Some(id) => request.header("Last-Event-ID", id),
                    None => request,
                };
                let mut response = site.send(request).await;
                response.read_messages(1).await;
                (claimed, response)
            }
        });
        let clients = join_all(clients).await;
        // A part of them is there when most of it is published, and reads it later: it is more than a live window.
        for n in 0..[50, 900][round % 2] {
            let data = format!("{round} {n} {}", "x".repeat(n % 300));
            // Nobody is sent every fourth.
            published.push(publish(&site, ["admin", "editor", "guest", "admin"][n % 4], &data));
        }
        let reading = clients.into_iter().zip(&mut visits).enumerate();
        join_all(reading.map(async |(number, ((claimed, mut response), visits))| {
            let all = published.iter().filter(|entry| entry.topic == role(number)).count();
            let before: usize = visits.iter().map(|visit| visit.messages.len() - 1).sum();
            // Every other client leaves some for the next time, and all have everything in the end.
            let left = if round < 5 && number % 2 == 0 { (all - before) / 3 } else { 0 };
            response.read_messages(1 + all - before - left).await;
            visits.push(Visit::of(claimed.as_deref(), &response));
        }))
        .await;
    }
    for (number, visits) in visits.iter().enumerate() {
        let summary = check(&published, &[role(number)], visits).expect("all as promised");
        let all = published.iter().filter(|entry| entry.topic == role(number)).count();
        assert_eq!((summary.events, summary.resets, summary.resumed), (all, 0, 5));
    }
}

pub async fn a_cut_after_every_byte_loses_and_doubles_nothing<A: Adapter>() {
    // None of its events has the attribute.
    cut_after_every_byte::<A>("/events?topic=a&topic=b&history=all&role=!nobody", &["a", "b"])
        .await;
}

pub async fn a_stream_from_which_all_is_hidden_sends_its_position<A: Adapter>() {
    let site = Site::with::<A>(Hub::builder().heartbeat(Duration::from_millis(100)));
    let mut hidden = site.follow("/events?topic=a&role=nobody").await;
    let mut shown = site.follow("/events?topic=a&role=admin").await;
    let last = publish(&site, "admin", "secret");
    let id = format!("\nid: {}\n\n", last.id);
    let has = |raw: &[u8]| raw.windows(id.len()).any(|window| window == id.as_bytes());
    hidden.read_until("its position", |response| has(response.body())).await;
    assert_eq!(shown.next_message().await.data(), "secret");
    assert_eq!(hidden.messages().len(), 1, "the status");
    let body = String::from_utf8_lossy(hidden.body()).into_owned();
    assert!(!body.contains("secret") && !body.contains("admin"), "{body}");
    let request = Request::get("/events?topic=a&role=nobody").header("Last-Event-ID", &last.id);
    let mut back = site.send(request).await;
    let status = &back.read_messages(1).await[0];
    assert!(status.data().contains("resumed"), "{}", status.data());
}
