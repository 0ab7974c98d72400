//! The minimal examples run.

use tidings_testkit::limit::eventually;
use tidings_testkit::process::{ANY_PORT, Process};
use tidings_testkit::wire::{Request, Response};

tidings_tests::on_every_framework! { "minimal";
    it_publishes_an_event_every_second
}

async fn it_publishes_an_event_every_second(package: &str) {
    let server = Process::start_with(package, &[ANY_PORT]).await;
    assert_eq!(server.greeting(), format!("http://{}/", server.addr()));
    let page = Response::to(server.addr(), Request::get("/")).await;
    assert_eq!(page.status(), 200);
    let mut stream = Response::to(server.addr(), Request::get("/events")).await;
    assert_eq!(stream.status(), 200);
    let _status = stream.next_message().await;
    let first: u64 = stream.next_message().await.data().parse().expect("a number");
    let last_event_id = stream.last_event_id().to_owned();
    stream.reset();

    let request = Request::get("/events").header("last-event-id", last_event_id);
    let mut stream = Response::to(server.addr(), request).await;
    let status = stream.next_message().await;
    assert!(status.data().contains("resumed"), "{}", status.data());
    assert_eq!(stream.next_message().await.data(), (first + 1).to_string());
}

#[cfg(unix)]
#[tokio::test]
async fn the_one_with_tls_reads_its_certificate_again() {
    use rustix::process::Signal;
    use tidings_testkit::limit::within;
    use tidings_testkit::tls::Certificate;
    use tidings_testkit::wire::Connection;

    let folder = tempfile::tempdir().unwrap();
    let files = ["certificate.pem", "key.pem"].map(|name| folder.path().join(name));
    let write = |certificate: &Certificate| {
        for (file, pem) in files.iter().zip(certificate.pem()) {
            std::fs::write(file, pem).unwrap();
        }
    };
    let (old, new) = (Certificate::new(), Certificate::new());
    write(&old);
    let paths = files.each_ref().map(|file| file.to_str().unwrap());
    let server = Process::start_with("minimal-tls", &[ANY_PORT, paths[0], paths[1]]).await;
    let connection = Connection::open_tls(server.addr(), old.client(&[])).await;
    let mut stream = connection.send(&Request::get("/events")).await;
    let _status = stream.next_message().await;

    std::fs::write(&files[0], "no certificate").unwrap();
    server.signal(Signal::HUP);
    eventually("its complaint", || server.complaints().contains("the old certificate stays")).await;
    write(&new);
    server.signal(Signal::HUP);
    within("the new certificate", async {
        while !Connection::accepts_tls(server.addr(), new.client(&[])).await {}
    })
    .await;
    // What was open stays open.
    stream.next_message().await;
    stream.next_message().await;
}
