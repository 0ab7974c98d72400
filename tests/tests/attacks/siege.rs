//! Attacks at random, while honest clients are served as if there were none.
//!
//! Forty seconds for each hub; `TIDINGS_ATTACKS_SECONDS` sets another time, and `TIDINGS_ATTACKS_SEED` another seed,
//! which repeats the attacks, but not the kernel's timing. `TIDINGS_ATTACKS_CLIENTS` and `TIDINGS_ATTACKS_RATE` set
//! the number of honest clients and of events a second: 1,000 and 100 in release mode, and otherwise 250 and 20.
//! `TIDINGS_ATTACKS_TRANSPORT=body` has the hub send all streams so.

use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::Value;
use tidings_testkit::network::vanish;
use tidings_testkit::wire::Request;
use tidings_tests::on_every_framework;
use tidings_tests::random::Random;
use tokio::io::AsyncWriteExt;
use tokio::runtime::Builder;
use tokio::sync::oneshot::{self, Receiver};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::attacker::{burst, crowd, drip, ends, flood, open, open_narrow, rest, sip};
use crate::http2::{self, PING, PREFACE, SETTINGS, rage};
use crate::junk::STREAM;
use crate::target::{Target, load};
use crate::time::{HALF_HEAD, IDLE, STOPPED_BODY};
use crate::topics::events;

on_every_framework! { "hub";
    honest_clients_lose_nothing_under_attack
}

/// How many more files than honest clients the hub may open: less than the attackers want.
const SPARE_FILES: usize = 1_000;

/// What a hub may need for all of this: 64 MiB of retained events, as much that stalled readers hold, its clients and
/// what its allocator keeps.
const MOST: usize = 256 << 20;

/// How much longer than without attacks the p99 of the latency may be, in release mode and over [`LONG`].
const RATIO: f64 = 2.0;

/// From then on, what else a machine does matters little.
const LONG: Duration = Duration::from_secs(600);

/// The same in any other run, unless it is less than a second: machines that test are shared, so this finds only what stops
/// a hub. The figure is printed.
const ROUGH_RATIO: f64 = 5.0;

/// A stream of the events that attackers have published.
const LARGE: &[u8] = b"GET /events?topic=large HTTP/1.1\r\nhost: a\r\n\r\n";

type Running = Pin<Box<dyn Future<Output = ()> + Send>>;

/// An attack on the hub at this address. It goes on until it is dropped, or the hub has ended it.
type Attack = fn(SocketAddr, Random) -> Running;

/// An attack by its name.
macro_rules! attacks {
    ($($name:literal: |$addr:ident, $random:ident| $attack:expr;)+) => {
        const ATTACKS: &[(&str, Attack)] =
            &[$(($name, |$addr, #[allow(unused_mut, reason = "not all decide")] mut $random| Box::pin(async move { $attack }))),+];
    };
}

attacks! {
    "silent connections": |addr, random| ends(crowd(addr, 1 + random.below(2_000), b"").await).await;
    "half heads": |addr, random| ends(crowd(addr, 1 + random.below(1_000), HALF_HEAD).await).await;
    "a byte now and then": |addr, random| {
        let mut dripping = JoinSet::new();
        for socket in crowd(addr, 1 + random.below(200), HALF_HEAD).await {
            dripping.spawn(drip(socket, b'x', Duration::from_millis(random.logarithmic(500) as u64)));
        }
        while dripping.join_next().await.is_some() {}
    };
    "half a preface": |addr, random| ends(crowd(addr, 1 + random.below(1_000), b"PRI * HT").await).await;
    "a preface": |addr, random| ends(crowd(addr, 1 + random.below(500), PREFACE).await).await;
    "idle connections": |addr, random| ends(crowd(addr, 1 + random.below(1_000), IDLE).await).await;
    "idle connections of HTTP/2": |addr, random| {
        let frames = [PREFACE, SETTINGS].concat();
        ends(crowd(addr, 1 + random.below(500), &frames).await).await;
    };
    "bodies that stop": |addr, random| ends(crowd(addr, 1 + random.below(200), STOPPED_BODY).await).await;
    "large heads": |addr, random| {
        let head = [HALF_HEAD, &vec![b'x'; random.below(350 * 1024)]].concat();
        ends(crowd(addr, 1 + random.below(100), &head).await).await;
    };
    "a burst of connections": |addr, random| drop(burst(addr, random.below(3_000)).await);
    "streams that vanish": |addr, random| {
        for _ in 0..random.logarithmic(500) {
            let socket = open(addr, STREAM).await;
            if random.one_in(2) {
                let _ = socket.map(|socket| socket.set_zero_linger());
            }
        }
    };
    "stalled readers of large events": |addr, random| {
        let mut stalled = Vec::new();
        for _ in 0..random.below(60) {
            stalled.extend(open_narrow(addr, LARGE).await);
            publish(addr, "large", 900_000).await;
        }
        std::future::pending::<()>().await;
    };
    "slow readers of large events": |addr, random| {
        let mut reading = JoinSet::new();
        for _ in 0..1 + random.below(60) {
            if let Ok(socket) = open_narrow(addr, LARGE).await {
                reading.spawn(sip(socket, Duration::from_millis(random.logarithmic(500) as u64)));
            }
        }
        for _ in 0..random.below(20) {
            publish(addr, "large", 900_000).await;
        }
        while reading.join_next().await.is_some() {}
    };
    "clients that vanish": |addr, random| {
        let vanished = crowd(addr, 1 + random.below(50), LARGE).await;
        vanished.iter().for_each(vanish);
        for _ in 0..random.below(20) {
            publish(addr, "large", 900_000).await;
        }
        std::future::pending::<()>().await;
    };
    "small windows of HTTP/2": |addr, random| {
        let first = [PREFACE, &http2::narrow_window(200)].concat();
        let Ok(mut socket) = open(addr, &first).await else { return };
        for n in 0..random.below(60) {
            let request = http2::get(2 * n as u32 + 1, "/events?topic=large");
            if socket.write_all(&request).await.is_err() {
                return;
            }
            publish(addr, "large", 900_000).await;
        }
        drop(rest(socket).await);
    };
    "large windows of HTTP/2 that are not read": |addr, random| {
        let streams = 1 + random.below(250) as u32;
        let gets = (0..streams).flat_map(|n| http2::get(2 * n + 1, "/events?topic=large&history=all"));
        let frames = [PREFACE.to_vec(), http2::wide_windows(), gets.collect()].concat();
        let _socket = open_narrow(addr, &frames).await;
        publish(addr, "large", 900_000).await;
        std::future::pending::<()>().await;
    };
    "many topics": |addr, random| {
        let first = random.below(1_000_000);
        let topics = (first..first + random.logarithmic(6_000)).map(|n| n % 1_000_000);
        ends(crowd(addr, 1, &events(topics, "history=all").bytes()).await).await;
    };
    "many patterns": |addr, random| {
        let seed = random.below(1_000);
        let count = random.logarithmic(4_500);
        let request = events((0..count).map(|n| format!("small/*{seed}{n}*")), "history=all").bytes();
        let mut held = Vec::new();
        for _ in 0..random.below(20) {
            held.extend(open(addr, &request).await);
        }
        ends(held).await;
    };
    "patterns that match late": |addr, random| {
        let request = events((0..60).map(|n| format!("*{}b{n}", "a".repeat(100))), "").bytes();
        let held = crowd(addr, 1 + random.below(40), &request).await;
        for _ in 0..random.logarithmic(50) {
            publish(addr, &"a".repeat(250), 10).await;
        }
        ends(held).await;
    };
    "small topics": |addr, random| {
        for _ in 0..random.logarithmic(3_000) {
            publish(addr, &format!("small/{}", random.below(10_000_000)), 1).await;
        }
    };
    "junk on a stream": |addr, random| {
        if let Ok(socket) = open(addr, STREAM).await {
            flood(socket, &vec![b'x'; random.logarithmic(65_536)], usize::MAX).await;
        }
    };
    "pipelined bytes and a close": |addr, random| {
        let junk = vec![b'G'; random.logarithmic(60_000)];
        let sockets = crowd(addr, 1 + random.below(200), &[STREAM, &junk].concat()).await;
        sleep(Duration::from_millis(random.logarithmic(500) as u64)).await;
        drop(sockets);
    };
    "rapid resets": |addr, random| {
        if let Ok(socket) = open(addr, &[PREFACE, SETTINGS].concat()).await {
            flood(socket, &http2::rapid_resets(random.logarithmic(10_000) as u32), 1).await;
        }
    };
    "endless continuation": |addr, _random| {
        rage(addr, &http2::endless_headers(1), &http2::continuation(), Duration::from_micros(10)).await;
    };
    "header bombs": |addr, random| {
        if let Ok(socket) = open(addr, &[PREFACE, SETTINGS].concat()).await {
            flood(socket, &http2::bombs(random.logarithmic(50) as u32), 1).await;
        }
    };
    "empty data": |addr, _random| {
        rage(addr, &http2::post(1), &http2::empty_data(1).repeat(100), Duration::from_micros(100)).await;
    };
    "a thousand streams": |addr, random| {
        let streams = (0..1_000).flat_map(|n| http2::get(2 * n + 1, "/events?topic=many"));
        let frames = [PREFACE, SETTINGS].concat().into_iter().chain(streams).collect::<Vec<_>>();
        ends(crowd(addr, random.logarithmic(3), &frames).await).await;
    };
    "settings": |addr, _random| rage(addr, b"", &SETTINGS.repeat(100), Duration::from_micros(100)).await;
    "pings": |addr, _random| rage(addr, b"", &PING.repeat(100), Duration::from_micros(100)).await;
    "websockets": |addr, random| {
        let request = b"GET /events?topic=a HTTP/1.1\r\nhost: a\r\nconnection: Upgrade\r\nupgrade: websocket\r\n\
                        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n\x81\x05hello";
        ends(crowd(addr, 1 + random.below(100), request).await).await;
    };
    "noise": |addr, random| {
        for _ in 0..random.logarithmic(200) {
            let noise: Vec<u8> = (0..random.logarithmic(4_096)).map(|_| random.below(256) as u8).collect();
            drop(open(addr, &noise).await);
        }
    };
}

/// The application publishes what the attackers' streams stall on.
async fn publish(addr: SocketAddr, topic: &str, size: usize) {
    let request = Request::post(&format!("/publish?topic={topic}"), vec![b'x'; size]);
    let request = request.header("connection", "close");
    if let Ok(socket) = open(addr, &request.bytes()).await {
        drop(rest(socket).await);
    }
}

fn variable<T: std::str::FromStr>(name: &str, default: T) -> T {
    let value = std::env::var(name).ok();
    value.map_or(default, |value| value.parse().unwrap_or_else(|_| panic!("{name} is invalid")))
}

async fn honest_clients_lose_nothing_under_attack(package: &str) {
    let seconds: u64 = variable("TIDINGS_ATTACKS_SECONDS", 40);
    let seed: u64 = variable("TIDINGS_ATTACKS_SEED", 1);
    let (clients, rate) = if cfg!(debug_assertions) { (250, 20) } else { (1_000, 100) };
    let clients: usize = variable("TIDINGS_ATTACKS_CLIENTS", clients);
    let rate: u32 = variable("TIDINGS_ATTACKS_RATE", rate);
    let transport: String = variable("TIDINGS_ATTACKS_TRANSPORT", "auto".to_owned());

    let files = (clients + SPARE_FILES) as u32;
    let target = Arc::new(Target::start_with_files(package, &transport, files).await);
    let addr = target.addr();
    let calm = Duration::from_secs((seconds / 5).max(5));
    let under_attack = Duration::from_secs(seconds) - calm;
    let without = honest(addr, clients, rate, calm).await;
    target.let_go(0).await;

    let besieging = aside(besiege(target.clone(), seed, under_attack));
    let with = honest(addr, clients, rate, under_attack).await;
    let memory = besieging.await.expect("no attacker fails");
    println!(
        "{package}: memory in MiB over time: {:?}",
        memory.iter().map(|bytes| bytes >> 20).collect::<Vec<_>>()
    );

    let [before, after] =
        [&without, &with].map(|report| report["latency_ms"]["p99"].as_f64().expect("a p99"));
    let ratio = after / before;
    println!(
        "{package}: seed {seed}: p99 {before} ms without, {after} ms with attacks: {ratio:.2} times"
    );
    let what = format!("{package}: TIDINGS_ATTACKS_SEED={seed}");
    assert_eq!(with["clean"], true, "{what}: {with}");
    assert_eq!(with["connections"]["broken"], 0, "{what}: {with}");
    assert_eq!(with["connections"]["ended_by_server"], 0, "{what}: {with}");
    assert_eq!(with["published"]["failed"], 0, "{what}: {with}");
    assert!(with["deliveries"]["total"].as_u64() > Some(0), "{what}: {with}");
    let most = memory.iter().max().expect("it was measured");
    assert!(*most < MOST, "{what}: {most} bytes");
    // Everything that the attacks did ends with them.
    target.let_go(0).await;
    target.closed_all_but(0).await;
    let is_long = !cfg!(debug_assertions) && Duration::from_secs(seconds) >= LONG;
    let (early, late) = (&memory[..memory.len() / 2], &memory[memory.len() * 3 / 4..]);
    let grows = late.iter().max() > early.iter().map(|bytes| bytes * 2).max().as_ref();
    assert!(!(is_long && grows), "{what}: {memory:?} bytes");
    let is_fair = match is_long {
        true => ratio <= RATIO,
        false => ratio < ROUGH_RATIO || after < 1_000.0,
    };
    assert!(is_fair, "{what}: {after} ms, {ratio} times the latency");
}

/// What honest clients report after some time.
async fn honest(addr: SocketAddr, clients: usize, rate: u32, time: Duration) -> Value {
    let publish = format!("http://{addr}/publish?topic=honest");
    let (clients, rate) = (clients.to_string(), rate.to_string());
    let arguments = ["--clients", &clients, "--ramp", "2s", "--publish", &publish, "--rate", &rate];
    load(addr, "honest", &arguments, time).await
}

/// Runs on a thread that takes only the processor time that others leave: real attackers have machines of their own. So a
/// hub that needs all there is is attacked less.
fn aside<T: Send + 'static>(work: impl Future<Output = T> + Send + 'static) -> Receiver<T> {
    let (done, result) = oneshot::channel();
    std::thread::spawn(move || {
        #[cfg(target_os = "linux")]
        rustix::process::nice(19).expect("a lower priority is allowed");
        let runtime = Builder::new_current_thread().enable_all().build().expect("a runtime");
        let _ = done.send(runtime.block_on(work));
    });
    result
}

/// Attacks at random for some time, up to three at once. Returns the hub's memory over time.
async fn besiege(target: Arc<Target>, seed: u64, time: Duration) -> Vec<usize> {
    let (began, mut random) = (Instant::now(), Random::new(seed, 0));
    let (mut attacks, mut memory) = (JoinSet::new(), vec![target.memory()]);
    let each = time / 12;
    for number in 1.. {
        if began.elapsed() >= time {
            break;
        }
        while attacks.len() >= 3 {
            let _ = attacks.join_next().await;
        }
        if began.elapsed() >= each * memory.len() as u32 {
            memory.push(target.memory());
        }
        let (name, attack) = ATTACKS[random.below(ATTACKS.len())];
        let lasts = Duration::from_millis(random.logarithmic(3_000) as u64);
        println!("{:.1} s: {name} for {lasts:?}", began.elapsed().as_secs_f64());
        let running = attack(target.addr(), Random::new(seed, number));
        attacks.spawn(async move { drop(timeout(lasts, running).await) });
    }
    attacks.shutdown().await;
    memory.push(target.memory());
    memory
}
