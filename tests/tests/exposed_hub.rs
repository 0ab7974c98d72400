//! The example hubs where strangers can reach them, and where their log fails.
#![cfg(unix)]

use std::fs;
use std::path::{Path, PathBuf};

use tidings_testkit::limit::{eventually, within};
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Connection, Request};
use tidings_tests::example::{ask, follow, json};
use tidings_tests::on_every_framework;
use tokio::net::{TcpListener, TcpStream};

on_every_framework! { "hub";
    without_a_token_it_listens_on_loopback_only
    without_a_token_pages_of_other_sites_are_refused
    with_a_token_strangers_can_only_read
    a_stranger_is_refused_before_the_body_is_read
    a_log_that_cannot_be_opened_is_one_sentence
    the_log_is_open_before_anybody_connects
    answers_do_not_name_files
    a_damaged_file_can_be_salvaged
}

/// What only those may who have the token.
const GUARDED: [(&str, &str); 8] = [
    ("POST", "/publish?topic=a"),
    ("POST", "/finish?topic=finished"),
    ("GET", "/clients"),
    ("GET", "/cluster"),
    ("GET", "/metrics"),
    ("DELETE", "/clients/0123456789abcdef"),
    ("POST", "/clients/0123456789abcdef/topics?add=a"),
    ("DELETE", "/principals/ada"),
];

/// An empty folder of the test's own.
fn folder(package: &str, name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(package).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).expect("a folder of the test's own");
    folder
}

/// Runs a hub that does not start. Returns what it complains about: one line.
async fn fails(package: &str, arguments: &[&str]) -> String {
    let output = Process::run(package, arguments).await;
    let complaint = String::from_utf8(output.stderr).expect("it is text");
    assert!(!output.status.success(), "{complaint}");
    assert!(output.stdout.is_empty(), "it never listens");
    let start = format!("{package}: ");
    let sentence = complaint.strip_prefix(&start).and_then(|rest| rest.strip_suffix('\n'));
    let sentence = sentence.unwrap_or_else(|| panic!("{complaint:?}"));
    assert!(!sentence.contains('\n'), "{complaint}");
    sentence.to_owned()
}

fn request(method: &str, target: &str, authorization: Option<&str>) -> Request {
    let request = Request::new(method, target).header("content-length", "0");
    match authorization {
        Some(authorization) => request.header("authorization", authorization),
        None => request,
    }
}

async fn without_a_token_it_listens_on_loopback_only(package: &str) {
    for address in ["0.0.0.0:0", "[::]:0"] {
        let complaint = fails(package, &["--listen", address]).await;
        let expected = format!(
            "cannot listen on {address} without a token: anybody could publish and end streams; set --token or \
             TIDINGS_TOKEN"
        );
        assert_eq!(complaint, expected);
    }
}

async fn without_a_token_pages_of_other_sites_are_refused(package: &str) {
    let hub = Process::start_with(package, &["--listen", ANY_PORT]).await;
    for (method, target) in GUARDED {
        let of = |origin: &str| request(method, target, None).header("origin", origin);
        // The last one is the page of a name that was led here.
        for origin in
            ["https://evil.example", "http://localhost:8080", "null", "http://tidings.test"]
        {
            let response = ask(&hub, of(origin)).await;
            assert_eq!(response.status(), 403, "{method} {target} {origin}");
            let expected =
                "origin is not this host, or a public name; pages of others need a token";
            assert_eq!(json(&response)["error"], expected);
        }
        let response = ask(&hub, of("http://localhost:8080").host("localhost:8080")).await;
        // Nobody has this client id.
        let expected = if target.starts_with("/clients/") { 404 } else { 200 };
        assert_eq!(response.status(), expected, "{method} {target}: {}", response.text());
    }
}

async fn with_a_token_strangers_can_only_read(package: &str) {
    let variable = [("TIDINGS_TOKEN", "s3cret")];
    let everywhere = ["--listen", "0.0.0.0:0", "--demo", "false"];
    for hub in [
        Process::start_in(package, &everywhere, &variable).await,
        Process::start_with(package, &["--listen", ANY_PORT, "--token", "s3cret"]).await,
    ] {
        for (method, target) in GUARDED {
            for stranger in [None, Some("Bearer wrong"), Some("s3cret"), Some("Basic s3cret")] {
                let response = ask(&hub, request(method, target, stranger)).await;
                assert_eq!(response.status(), 401, "{method} {target} {stranger:?}");
                assert_eq!(response.header("www-authenticate"), Some("Bearer"));
                let expected = "token is missing or wrong; send `Authorization: Bearer TOKEN`";
                assert_eq!(json(&response)["error"], expected);
            }
            let response = ask(&hub, request(method, target, Some("Bearer s3cret"))).await;
            // Nobody has this client id.
            let expected = if target.starts_with("/clients/") { 404 } else { 200 };
            assert_eq!(response.status(), expected, "{method} {target}: {}", response.text());
        }
        for target in ["/", "/app.js", "/healthz"] {
            assert_eq!(ask(&hub, Request::get(target)).await.status(), 200, "{target}");
        }
        let (mut stream, _) = follow(&hub, Request::get("/events?topic=b")).await;
        let publish =
            Request::post("/publish?topic=b", "x").header("authorization", "Bearer s3cret");
        assert_eq!(ask(&hub, publish).await.status(), 200);
        assert_eq!(stream.next_message().await.data(), "x");
    }
}

async fn a_stranger_is_refused_before_the_body_is_read(package: &str) {
    let arguments = ["--listen", ANY_PORT, "--token", "s3cret"];
    let hub = Process::start_with(package, &arguments).await;
    let head = Request::new("POST", "/publish?topic=a").header("content-length", "1000000");
    let mut connection = Connection::open(hub.addr()).await;
    connection.write(&head.bytes()).await;
    assert_eq!(connection.response().await.status(), 401);
}

async fn a_log_that_cannot_be_opened_is_one_sentence(package: &str) {
    let folder = folder(package, "opening");
    let damaged = folder.join("damaged.redb");
    let log = |path: &Path| format!("redb:{}", path.display());
    // The log is opened first: otherwise they would complain about the address, which is in use.
    let listener = TcpListener::bind(ANY_PORT).await.expect("a free port");
    let address = listener.local_addr().expect("it listens").to_string();
    let arguments = ["--listen", ANY_PORT, "--log", &log(&damaged)];
    let mut hub = Process::start_with(package, &arguments).await;
    let taken = fails(package, &["--listen", &address, "--log", &log(&damaged)]).await;
    assert!(taken.ends_with("; close it there, or choose another path"), "{taken}");
    hub.kill().await;

    let image = fs::read(&damaged).expect("a file of the test's own");
    fs::write(&damaged, &image[..image.len() / 2]).expect("a file of the test's own");
    let foreign = folder.join("letter");
    fs::write(&foreign, "Dear Ada").expect("a file of the test's own");
    for (path, way_out) in [
        (&damaged, "open it with `salvage` to keep the events before the damage"),
        (&foreign, "is not a log; choose another path"),
        (&folder, "name a file in it"),
        (&folder.join("no/such/directory"), "make its directory first"),
    ] {
        let complaint = fails(package, &["--listen", &address, "--log", &log(path)]).await;
        let start = format!("cannot open the log: redb: {}: ", path.display());
        assert!(complaint.starts_with(&start) && complaint.ends_with(way_out), "{complaint}");
    }
}

async fn the_log_is_open_before_anybody_connects(package: &str) {
    // A server that says nothing: the hub waits for its log.
    let server = TcpListener::bind(ANY_PORT).await.expect("a free port");
    let log = format!("redis://{}/", server.local_addr().expect("it listens"));
    let free = TcpListener::bind(ANY_PORT).await.expect("a free port");
    let address = free.local_addr().expect("it listens");
    drop(free);
    let (listen, package_) = (address.to_string(), package.to_owned());
    let hub =
        tokio::spawn(async move { fails(&package_, &["--listen", &listen, "--log", &log]).await });
    let (silent, _) = within("the hub asks its log", server.accept()).await.expect("it connects");
    assert!(TcpStream::connect(address).await.is_err(), "it listens before it has a log");
    drop((silent, server));
    let complaint = hub.await.expect("it does not panic");
    assert!(complaint.starts_with("cannot open the log: redis: "), "{complaint}");
}

async fn answers_do_not_name_files(package: &str) {
    let folder = folder(package, "answers");
    let path = folder.join("events.redb");
    let log = format!("redb:{}", path.display());
    let hub = Process::start_with(package, &["--listen", ANY_PORT, "--log", &log]).await;
    let (mut stream, _) = follow(&hub, Request::get("/events?topic=a")).await;
    let publish = || ask(&hub, Request::post("/publish?topic=a", "x"));
    assert_eq!(publish().await.status(), 200);
    assert_eq!(stream.next_message().await.data(), "x");

    fs::rename(&path, folder.join("away")).expect("a file of the test's own");
    let refused = publish().await;
    assert_eq!(refused.status(), 503);
    assert_eq!(json(&refused)["error"], "log does not accept events at the moment");
    let health = ask(&hub, Request::get("/healthz")).await;
    assert_eq!(health.status(), 503);
    assert!(health.text().starts_with("log link is down for "), "{}", health.text());
    let folder_name = folder.to_str().expect("it is text");
    for target in ["/healthz", "/clients", "/cluster", "/metrics", "/events", "/publish", "/x"] {
        let answer = ask(&hub, Request::get(target)).await;
        assert!(!answer.text().contains(folder_name), "{target}: {}", answer.text());
        assert!(!answer.text().contains("redb"), "{target}: {}", answer.text());
    }
    // Its operator learns it.
    let failed = format!("log has failed: redb: {}: was deleted or moved", path.display());
    eventually("the cause is printed", || hub.complaints().contains(&failed)).await;

    fs::rename(folder.join("away"), &path).expect("a file of the test's own");
    within("it is published", async { while publish().await.status() != 200 {} }).await;
    assert_eq!(stream.next_message().await.data(), "x");
    eventually("that is printed, too", || hub.complaints().contains("log works again\n")).await;
    assert_eq!(hub.complaints().lines().count(), 2, "{}", hub.complaints());
}

async fn a_damaged_file_can_be_salvaged(package: &str) {
    let path = folder(package, "salvage").join("events.redb");
    let log = format!("redb:{}", path.display());
    let arguments = ["--listen", ANY_PORT, "--log", &log];
    Process::start_with(package, &arguments).await.kill().await;
    let image = fs::read(&path).expect("a file of the test's own");
    fs::write(&path, &image[..image.len() / 2]).expect("a file of the test's own");
    let complaint = fails(package, &arguments).await;
    assert!(complaint.contains("; open it with `salvage` to "), "{complaint}");

    let arguments = [&arguments[..], &["--salvage"]].concat();
    let hub = Process::start_with(package, &arguments).await;
    assert_eq!(ask(&hub, Request::post("/publish?topic=a", "x")).await.status(), 200);
    let damaged = fs::read(path.with_extension("redb.damaged")).expect("it is kept");
    assert!(damaged == image[..image.len() / 2]);
}
