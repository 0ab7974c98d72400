use serde_json::{Value, json};
use tidings::END_EVENT;
use tidings_testkit::process::Process;
use tidings_testkit::wire::{Connection, Ending, Request, Response};
use tidings_tests::example::{ask, follow};

use super::{next, next_json, put, resume, start};

async fn create(server: &Process) -> String {
    let created = ask(server, Request::post("/imports", "")).await;
    assert_eq!(created.status(), 201);
    format!("/imports/{}", created.text())
}

#[tokio::test]
async fn an_import_reports_its_progress_and_ends_with_204() {
    let server = start("file-import").await;
    let import = create(&server).await;
    let events = || Request::get(&format!("{import}/events"));
    let (mut watching, _) = follow(&server, events()).await;
    let rows: String = (0..20_000).map(|row| format!("name {row};{row}.5\n")).collect();
    assert_eq!(ask(&server, put(&import, &rows)).await.status(), 204);

    let (mut seen, mut reports) = (0, 0);
    let end = loop {
        let message = watching.next_message().await;
        match message.event() {
            "progress" => {
                let report: serde_json::Value = message.json().expect("JSON");
                assert_eq!(report["of"], rows.len());
                let rows = report["rows"].as_u64().expect("a number");
                assert!(rows >= seen, "{rows} after {seen}");
                (seen, reports) = (rows, reports + 1);
            }
            _ => break message,
        }
    };
    assert!((1..=100).contains(&reports), "{reports} reports");
    assert_eq!((end.event(), end.data()), ("finished", r#"{"rows":20000}"#));
    next(&mut watching, END_EVENT).await;
    assert_eq!(watching.read_to_end().await, Ending::Whole);

    assert_eq!(resume(&server, events(), &watching).await.status(), 204);
    let (mut late, _) = follow(&server, events()).await;
    assert_eq!(next_json(&mut late, "finished").await, json!({ "rows": 20_000 }));
    next(&mut late, END_EVENT).await;
}

#[tokio::test]
async fn an_import_whose_length_is_not_known_is_reported_by_what_has_come() {
    let server = start("file-import").await;
    let import = create(&server).await;
    let (mut watching, _) = follow(&server, Request::get(&format!("{import}/events"))).await;
    let mut upload = Connection::open(server.addr()).await;
    let head = Request::new("PUT", &import).header("transfer-encoding", "chunked");
    upload.write(&head.bytes()).await;
    let rows = "name;1.25\n".repeat(290_000);
    upload.write(format!("{:x}\r\n{rows}\r\n0\r\n\r\n", rows.len()).as_bytes()).await;
    let mut reports = Vec::new();
    loop {
        let message = watching.next_message().await;
        match message.event() {
            "progress" => reports.push(message.json::<Value>().expect("JSON")),
            "finished" => break,
            _ => {}
        }
    }
    // One for each whole MiB.
    assert_eq!(reports.len(), 2, "{reports:?}");
    assert!(reports.iter().all(|report| report["of"].is_null()), "{reports:?}");
}

#[tokio::test]
async fn an_import_that_is_cut_ends() {
    let server = start("file-import").await;
    let import = create(&server).await;
    let (mut watching, _) = follow(&server, Request::get(&format!("{import}/events"))).await;
    let mut upload = Connection::open(server.addr()).await;
    upload.write(&Request::new("PUT", &import).header("content-length", "1000").bytes()).await;
    upload.write(b"name;1.25\n").await;
    next(&mut watching, "progress").await;
    drop(upload);
    assert_eq!(next_json(&mut watching, "failed").await["row"], 1);
    next(&mut watching, END_EVENT).await;
}

#[tokio::test]
async fn an_import_that_fails_says_where() {
    let server = start("file-import").await;
    let long = "x".repeat(70_000);
    for (rows, row, reason) in [
        (&*long, 1, "it is too long"),
        ("a;1\nb\n", 2, "it has no semicolon"),
        ("a;1\nb;x\n", 2, "\"x\" is not a number"),
        ("a;1\nb;2", 2, "the file ends in the middle of a row"),
    ] {
        let import = create(&server).await;
        ask(&server, put(&import, rows)).await;
        let (mut events, _) = follow(&server, Request::get(&format!("{import}/events"))).await;
        let failed = next_json(&mut events, "failed").await;
        assert_eq!(failed, json!({ "row": row, "reason": reason }), "{rows:?}");
        next(&mut events, END_EVENT).await;
    }
    for unknown in [Request::get("/imports/99/events"), put("/imports/99", "a;1\n")] {
        assert_eq!(Response::to(server.addr(), unknown).await.status(), 404);
    }
}
