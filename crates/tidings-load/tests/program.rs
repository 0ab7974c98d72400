//! The program, as users run it.

#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

mod scripted;

use std::process::{Output, Stdio};

use scripted::{Answer, STREAM, Scripted, events};
use serde_json::Value;
use tidings_load::{Load, LoadErrorKind, Plan, Publishing, Target};
use tidings_testkit::limit::{LIMIT, eventually, within};
use tidings_testkit::process::Process;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::Command;

fn program(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_tidings-load"));
    command.args(arguments).stdin(Stdio::null()).kill_on_drop(true);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

async fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    ended(within("the program", program(arguments).output()).await.unwrap())
}

fn ended(output: Output) -> (Option<i32>, String, String) {
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code(), text(output.stdout), text(output.stderr))
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

/// Measures a hub, and publishes to it.
async fn run_at(hub: &Process, arguments: &[&str]) -> (Option<i32>, String, String) {
    let events = format!("http://{}/events?topic=load", hub.addr());
    let publish = format!("http://{}/publish?topic=load", hub.addr());
    run(&[&[events.as_str(), "--publish", &publish], arguments].concat()).await
}

/// How many clients the hub has.
async fn clients_of(hub: &Process) -> u64 {
    let mut stream = TcpStream::connect(hub.addr()).await.unwrap();
    let get = "GET /clients HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    stream.write_all(get.as_bytes()).await.unwrap();
    let mut answer = String::new();
    within("the answer", stream.read_to_string(&mut answer)).await.unwrap();
    json(answer.split_once("\r\n\r\n").unwrap().1)["total"].as_u64().unwrap()
}

async fn has_clients(hub: &Process, clients: u64) {
    let reached = async { while clients_of(hub).await != clients {} };
    tokio::time::timeout(LIMIT, reached).await.expect("the hub has this number of clients");
}

#[tokio::test]
async fn one_command_measures_a_hub_from_end_to_end() {
    let hub = Process::start("hub-axum").await;
    let page = std::env::temp_dir().join(format!("tidings-load-{}.html", std::process::id()));
    let html = page.to_str().unwrap();
    let arguments = ["-c", "40", "--for", "1s", "--rate", "50", "--burst", "2", "--html", html];
    let (code, table, complaints) = run_at(&hub, &arguments).await;
    assert_eq!((code, &*complaints), (Some(0), ""), "{table}");
    for part in ["40 clients", "latency", "first byte", "p99.9", "faults", "own lag"] {
        assert!(table.contains(part), "{part}: {table}");
    }
    assert!(table.lines().all(|line| line.chars().count() <= 100), "{table}");
    let text = std::fs::read_to_string(&page).unwrap();
    std::fs::remove_file(&page).unwrap();
    assert_eq!(text.matches("<svg").count(), 4, "{text}");
    for reference in ["src=", "href=", "url(", "@import", "<script", "<link", "NaN"] {
        assert!(!text.contains(reference), "{reference}");
    }
    // The only addresses in it are the target's, twice.
    assert_eq!(text.matches("://").count(), 2);
}

#[tokio::test]
async fn the_json_has_its_documented_fields() {
    let hub = Process::start("hub-axum").await;
    let arguments = ["-c", "40", "--for", "1s", "--rate", "50", "--size", "1KiB", "--json"];
    let (code, text, complaints) = run_at(&hub, &arguments).await;
    assert_eq!((code, &*complaints), (Some(0), ""), "{text}");
    let report = json(&text);
    assert_eq!(text.lines().count(), 1);
    assert_eq!(report["clients"]["streamed"], 40);
    assert_eq!(report["clean"], true);
    assert_eq!(report["processes"], 1);
    assert_eq!(report["published"]["failed"], 0);
    assert_eq!(report["published"]["received_by"], 40);
    let published = report["published"]["events"].as_u64().unwrap();
    let deliveries = report["deliveries"]["total"].as_u64().unwrap();
    assert!(published > 10 && deliveries > 10 * published, "{text}");
    assert!(report["deliveries"]["bytes"].as_u64().unwrap() > 1000 * deliveries, "{text}");
    for times in ["connect_ms", "first_byte_ms", "latency_ms", "generator_lag_ms"] {
        for field in ["count", "mean", "p50", "p90", "p99", "p999", "max"] {
            assert!(report[times][field].as_f64().unwrap() > 0.0, "{times}.{field}: {text}");
        }
    }
    for verdict in ["missed", "duplicates", "disordered", "foreign", "resets", "unjudged"] {
        assert_eq!(report["verdict"][verdict], 0, "{verdict}");
    }
    let moment = &report["timeline"][1];
    for field in ["at_seconds", "connected", "per_second", "latency_p99_ms", "latency_max_ms"] {
        assert!(moment.get(field).is_some(), "{field}: {moment}");
    }
    assert!(!report["latency_distribution"].as_array().unwrap().is_empty());
}

#[tokio::test]
async fn a_run_in_which_nothing_arrives_has_a_fault() {
    let hub = Process::start("hub-axum").await;
    let events = format!("http://{}/events?topic=load", hub.addr());
    let publish = format!("http://{}/publish?topic=laod", hub.addr());
    let arguments = [&*events, "--publish", &*publish, "--rate", "50", "-c", "30", "--for", "2s"];
    for more in [&["--json"][..], &["--json", "--files-per-process", "32"]] {
        let (code, text, complaints) = run(&[&arguments[..], more].concat()).await;
        assert_eq!(code, Some(1), "{text}");
        let complaint = "tidings-load: 30 clients did not have the last event at the end.\n\
                         tidings-load: No client received a published event as it was sent.\n";
        assert_eq!(complaints, complaint);
        let report = json(&text);
        assert_eq!((&report["behind_at_end"], &report["clean"]), (&30.into(), &false.into()));
    }
}

#[tokio::test]
async fn published_events_that_nobody_recognizes_are_a_fault() {
    let hub = Process::start("hub-axum").await;
    let arguments = ["-c", "5", "--for", "1s", "--rate", "50", "--stream-field", "x", "--json"];
    let (code, text, complaints) = run_at(&hub, &arguments).await;
    assert_eq!(code, Some(1), "{text}");
    let complaint = "tidings-load: 5 clients did not have the last event at the end.\n\
                     tidings-load: No client received a published event as it was sent.\n";
    assert_eq!(complaints, complaint);
    let report = json(&text);
    assert_eq!((&report["behind_at_end"], &report["clean"]), (&5.into(), &false.into()));
}

#[tokio::test]
async fn streams_that_end_at_once_are_a_fault_if_events_are_published() {
    let server = Scripted::start(|_| Answer::ends(STREAM)).await;
    let publisher = Scripted::start(|_| Answer::ends("HTTP/1.1 204 No Content\r\n\r\n")).await;
    let arguments = [&*server.url(), "--publish", &*publisher.url(), "-c", "2", "--for", "1s"];
    let (code, _, complaints) = run(&arguments).await;
    assert_eq!(code, Some(1));
    let complaint = "tidings-load: No client received a published event as it was sent.\n";
    assert_eq!(complaints, complaint);
}

#[tokio::test]
async fn a_publication_that_is_never_answered_is_a_fault() {
    let server = Scripted::start(|_| Answer::stays(STREAM)).await;
    let publisher = Scripted::start(|_| Answer::stays("")).await;
    let arguments = [&*server.url(), "--publish", &*publisher.url(), "-c", "2", "--for", "500ms"];
    let (code, _, complaints) = run(&arguments).await;
    assert_eq!(code, Some(1));
    let complaint = "tidings-load: 1 attempts to publish failed: no response until the end.\n\
                     tidings-load: No event was published.\n";
    assert_eq!(complaints, complaint);
}

#[tokio::test]
async fn attempts_to_publish_that_fail_are_named_with_their_reason() {
    let server = Scripted::start(|_| Answer::stays(STREAM)).await;
    let publisher = Scripted::start(|number| match number {
        0 => Answer::ends("HTTP/1.1 204 No Content\r\n\r\n"),
        _ => Answer::ends("HTTP/1.1 429 Too Many Requests\r\ncontent-length: 0\r\n\r\n"),
    })
    .await;
    let arguments = [&*server.url(), "--publish", &*publisher.url(), "-c", "2", "--for", "1s"];
    let (code, text, complaints) = run(&[&arguments[..], &["--json"]].concat()).await;
    assert_eq!(code, Some(1));
    let cause = " attempts to publish failed: the server answers 429.\n";
    assert!(complaints.contains(cause), "{complaints}");
    let published = &json(&text)["published"];
    assert_eq!(published["failures"]["the server answers 429"], published["failed"]);
}

#[tokio::test]
async fn several_processes_share_the_clients() {
    let hub = Process::start("hub-axum").await;
    let arguments =
        ["-c", "100", "--for", "2s", "--rate", "50", "--files-per-process", "50", "--json"];
    let storm = ["--storm", "700ms", "--sources", "3"];
    let (code, text, complaints) = run_at(&hub, &[&arguments[..], &storm].concat()).await;
    assert_eq!((code, &*complaints), (Some(0), ""), "{text}");
    let report = json(&text);
    assert_eq!((&report["processes"], &report["clients"]["streamed"]), (&3.into(), &100.into()));
    // A process that starts early may have one more.
    assert!(report["connections"]["closed_by_storm"].as_u64() >= Some(200), "{text}");
    let count = |field: &str| report["deliveries"][field].as_u64().unwrap();
    let timed = report["latency_ms"]["count"].as_u64().unwrap();
    assert_eq!(count("total"), timed + count("replayed"));
    assert_eq!(report["verdict"]["judged_by_id"].as_u64(), Some(count("total")));
    has_clients(&hub, 0).await;
}

#[tokio::test]
async fn workers_end_with_the_process_that_started_them() {
    let hub = Process::start("hub-axum").await;
    let events = format!("http://{}/events?topic=load", hub.addr());
    let arguments = [&events, "-c", "60", "--for", "1h", "--files-per-process", "50"];
    let mut child = program(&arguments).spawn().unwrap();
    has_clients(&hub, 60).await;
    child.kill().await.unwrap();
    has_clients(&hub, 0).await;
}

#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_worker_that_is_killed_ends_the_run() {
    use rustix::process::{Pid, Signal, kill_process};

    let hub = Process::start("hub-axum").await;
    let events = format!("http://{}/events?topic=load", hub.addr());
    let arguments = [&*events, "-c", "60", "--for", "1h", "--files-per-process", "50"];
    let child = program(&arguments).spawn().unwrap();
    has_clients(&hub, 60).await;
    let id = child.id().unwrap();
    let workers = std::fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap();
    let worker = workers.split_whitespace().next().unwrap().parse().unwrap();
    kill_process(Pid::from_raw(worker).unwrap(), Signal::KILL).unwrap();
    let output = within("the end", child.wait_with_output()).await.unwrap();
    let (code, _, complaints) = ended(output);
    assert_eq!(code, Some(1), "{complaints}");
    assert_eq!(complaints, "tidings-load: a worker process has ended: signal: 9 (SIGKILL)\n");
}

#[tokio::test]
async fn a_program_that_does_not_work_is_no_worker() {
    let server = Scripted::start(|_| Answer::stays(STREAM)).await;
    let plan = Plan::new(Target::parse(&server.url()).unwrap(), 2);
    // The workers are this test, which does not know their argument.
    let load = Load::new(plan).clients_per_process(1).run_for(LIMIT * 60);
    let error = within("the end", load.run()).await.unwrap_err();
    assert_eq!(error.kind(), LoadErrorKind::System, "{error}");
}

#[tokio::test]
async fn a_worker_starts_no_load() {
    let mut command = program(&["http://127.0.0.1:1/"]);
    let output = command.env("TIDINGS_LOAD_WORKER", "1").output();
    let (code, _, complaints) = ended(within("the program", output).await.unwrap());
    assert_eq!(code, Some(1));
    assert!(complaints.starts_with("tidings-load: this process is a worker"), "{complaints}");
}

#[cfg(unix)]
#[tokio::test]
async fn ctrl_c_ends_early_with_what_was_measured() {
    use rustix::process::{Pid, Signal, kill_process};

    let server = Scripted::start(|number| match number {
        0 => Answer::ends(format!("{STREAM}retry: 1\n\n")),
        _ => Answer::stays(STREAM),
    })
    .await;
    // The second client would begin after half an hour.
    let arguments = [&*server.url(), "-c", "2", "--ramp", "1h", "--for", "2h", "--json"];
    let child = program(&arguments).spawn().unwrap();
    // A client that comes back has read its first stream.
    eventually("the second request", || server.requests().len() == 2).await;
    let id = Pid::from_raw(child.id().unwrap().try_into().unwrap()).unwrap();
    kill_process(id, Signal::INT).unwrap();
    let output = within("the end", child.wait_with_output()).await.unwrap();
    let (code, text, complaints) = ended(output);
    assert_eq!((code, &*complaints), (Some(0), ""), "{text}");
    let report = json(&text);
    assert_eq!((&report["interrupted"], &report["clients"]["streamed"]), (&true.into(), &1.into()));
}

#[tokio::test]
async fn bad_arguments_end_with_one_sentence_and_2() {
    let url = "http://127.0.0.1:1/";
    for (arguments, cause) in [
        (&[][..], "<URL>"),
        (&["127.0.0.1:3000"], "url: must begin with http://"),
        (&["https://127.0.0.1/"], "url: https is not supported, only http:// is"),
        (&[url, "--clients", "0"], "clients: must be at least 1"),
        (&[url, "--for", "10"], "must be a time with its unit"),
        (&[url, "--for", "0s"], "for: must be greater than 0"),
        (&[url, "--ramp", "20s"], "ramp: must be shorter than the whole run"),
        (&[url, "--connect-rate", "1"], "connect-rate: all clients must connect before the end"),
        (&[url, "--stalled", "60%", "--slow", "60%"], "must not exceed 100% together"),
        (&[url, "--header", "nonsense"], "must be a name and its value"),
        (&[url, "--rate", "5"], "--publish"),
        (&[url, "--publish", "x"], "url: must begin with http://"),
        (&[url, "--publish", url, "--rate", "1e-300"], "rate: must be between 0.000001 and"),
        (&[url, "--publish", url, "--size", "9MiB"], "size: must not exceed 8 MiB"),
        (&[url, "--expect", "x"], "expect: must be a field and its text"),
        (&[url, "--clint", "5"], "--clint"),
    ] {
        let (code, out, complaints) = run(arguments).await;
        assert_eq!((code, &*out), (Some(2), ""), "{arguments:?}: {complaints}");
        assert_eq!(complaints.lines().count(), 1, "{complaints}");
        assert!(
            complaints.starts_with("tidings-load: ") && complaints.contains(cause),
            "{complaints}"
        );
    }
}

#[tokio::test]
async fn a_server_that_does_not_stream_ends_the_run_with_one_sentence_and_1() {
    let server =
        Scripted::start(|_| Answer::ends("HTTP/1.1 403 Forbidden\r\ncontent-length: 0\r\n\r\n"))
            .await;
    let url = server.url();
    for more in [&[][..], &["--files-per-process", "40"]] {
        let arguments = [&[&*url, "-c", "60", "--for", "5s"], more].concat();
        let (code, out, complaints) = run(&arguments).await;
        assert_eq!((code, &*out), (Some(1), ""));
        assert_eq!(complaints, format!("tidings-load: {url}: the server answers 403\n"));
    }
    let (code, _, complaints) = run(&["http://127.0.0.1:1/x"]).await;
    assert_eq!(code, Some(1));
    assert_eq!(complaints, "tidings-load: http://127.0.0.1:1/x: connection refused\n");
}

#[tokio::test]
async fn a_publisher_that_is_refused_ends_the_run() {
    let hub = Process::start("hub-axum").await;
    let events = format!("http://{}/events?topic=load", hub.addr());
    let publish = format!("http://{}/nowhere", hub.addr());
    let (code, _, complaints) = run(&[&events, "--publish", &publish]).await;
    assert_eq!(code, Some(1));
    let cause = format!("{publish}: the publisher fails: the server answers 404");
    assert_eq!(complaints, format!("tidings-load: {cause}\n"));
}

#[tokio::test]
async fn a_publisher_without_a_server_is_unreachable() {
    let server = Scripted::start(|_| Answer::stays(STREAM)).await;
    let free = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let publish = format!("http://{free}/");
    let publishing = Publishing::new(Target::parse(&publish).unwrap());
    let load = Load::new(Plan::new(Target::parse(&server.url()).unwrap(), 1)).publish(publishing);
    let error = within("the end", load.run()).await.unwrap_err();
    assert_eq!(error.kind(), LoadErrorKind::Unreachable);
    assert_eq!(error.to_string(), format!("{publish}: the publisher fails: connection refused"));
}

#[tokio::test]
async fn clients_that_the_server_refuses_are_reported() {
    // The last time in two processes.
    for (refused, more) in [(3, &[][..]), (0, &[][..]), (0, &["--files-per-process", "21"][..])] {
        let server = Scripted::start(move |number| match number == refused {
            true => Answer::ends("HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n"),
            false => Answer::stays(STREAM),
        })
        .await;
        let url = server.url();
        let arguments = [&[&*url, "-c", "10", "--for", "1s"], more].concat();
        let (code, _, complaints) = run(&arguments).await;
        assert_eq!(code, Some(1));
        let complaint = "tidings-load: 1 of 10 clients gave up: the server answers 503.\n";
        assert_eq!(complaints, complaint, "{refused} {more:?}");
    }
}

#[tokio::test]
async fn a_client_that_is_refused_when_it_comes_back_has_lost_its_stream() {
    for (status, code, lost, finished) in
        [("503 Service Unavailable", 1, 1, 0), ("204 No Content", 0, 0, 1)]
    {
        let server = Scripted::start(move |number| match number {
            0 => Answer::ends(format!("{STREAM}retry: 1\n\n")),
            _ => Answer::ends(format!("HTTP/1.1 {status}\r\n\r\n")),
        })
        .await;
        let (ended, text, complaints) =
            run(&[&*server.url(), "-c", "1", "--for", "1s", "--json"]).await;
        assert_eq!(ended, Some(code), "{complaints}");
        let clients = &json(&text)["clients"];
        assert_eq!((&clients["streamed"], &clients["waiting"]), (&1.into(), &0.into()));
        assert_eq!((&clients["lost"], &clients["finished"]), (&lost.into(), &finished.into()));
        let lines = match lost {
            0 => "",
            _ => {
                "tidings-load: 1 of 1 clients gave up: the server answers 503.\n\
                 tidings-load: 1 of 1 clients lost their stream.\n"
            }
        };
        assert_eq!(complaints, lines);
    }
}

#[tokio::test]
async fn faults_end_with_1_unless_they_are_tolerated() {
    let spoilt = format!("{STREAM}{}", events([1, 2, 4, 4, 7, 6]));
    let server = Scripted::start(move |_| Answer::stays(spoilt.clone())).await;
    let arguments = [&*server.url(), "-c", "2", "--for", "500ms", "--json"];
    let (code, text, complaints) = run(&arguments).await;
    assert_eq!(code, Some(1), "{complaints}");
    let verdict = &json(&text)["verdict"];
    assert_eq!((&verdict["missed"], &verdict["duplicates"]), (&4.into(), &2.into()), "{text}");
    assert_eq!(verdict["disordered"], 2);
    assert_eq!(complaints.lines().count(), 3, "{complaints}");
    let (code, ..) = run(&[&arguments[..], &["--tolerate"]].concat()).await;
    assert_eq!(code, Some(0));
}

#[tokio::test]
async fn evicted_stalled_clients_are_counted() {
    for (stays, evicted) in [(true, 0), (false, 5)] {
        let body = format!("{STREAM}{}", events(1..10));
        let server = Scripted::start(move |_| match stays {
            true => Answer::stays(body.clone()),
            false => Answer::ends(body.clone()),
        })
        .await;
        let arguments =
            [&*server.url(), "-c", "5", "--stalled", "100%", "--for", "500ms", "--json"];
        let (code, text, complaints) = run(&arguments).await;
        assert_eq!(code, Some(0), "{complaints}");
        let clients = &json(&text)["clients"];
        assert_eq!(
            (&clients["stalled"], &clients["stalled_evicted"]),
            (&5.into(), &evicted.into())
        );
    }
}

#[tokio::test]
async fn what_comes_after_the_end_of_the_run_is_not_in_the_rate() {
    let hub = Process::start("hub-axum").await;
    // Stalled clients check their connections for more than a second: another run publishes.
    let events = format!("http://{}/events?topic=load", hub.addr());
    let arguments = [&*events, "-c", "4", "--stalled", "25%", "--for", "1s", "--json"];
    let publisher = ["-c", "1", "--for", "4s", "--rate", "200"];
    let (measured, _) = tokio::join!(run(&arguments), run_at(&hub, &publisher));
    let (code, text, complaints) = measured;
    assert_eq!(code, Some(0), "{complaints}");
    let report = json(&text);
    let of = |field: &str| report["deliveries"][field].as_f64().unwrap();
    let in_time = of("per_second") * report["seconds"].as_f64().unwrap();
    assert!(of("total") > 0.0 && in_time < 0.75 * of("total"), "{text}");
}

#[tokio::test]
async fn headers_are_sent_with_every_request() {
    let server = Scripted::start(|_| Answer::stays(STREAM)).await;
    let url = server.url();
    let arguments =
        [&*url, "-c", "2", "--for", "500ms", "--header", "Authorization: Bearer a", "-H", "X-Y: z"];
    let (code, ..) = run(&arguments).await;
    assert_eq!(code, Some(0));
    let requests = server.requests();
    assert_eq!(requests.len(), 2);
    for request in requests {
        assert!(request.contains("\r\nAuthorization: Bearer a\r\nX-Y: z\r\n"), "{request}");
    }
}
