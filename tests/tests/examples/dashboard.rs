use tidings_testkit::wire::Request;
use tidings_tests::example::{ask, follow};

use super::{next_json, start};

#[tokio::test]
async fn every_request_is_in_one_sample() {
    let server = start("dashboard").await;
    let (mut events, _) = follow(&server, Request::get("/events")).await;
    for _ in 0..3 {
        assert_eq!(ask(&server, Request::get("/work")).await.status(), 204);
    }
    assert_eq!(ask(&server, Request::get("/fail")).await.status(), 500);
    let (mut requests, mut failed) = (0, 0);
    loop {
        let sample = next_json(&mut events, "sample").await;
        requests += sample["requests"].as_u64().expect("a number");
        failed += sample["failed"].as_u64().expect("a number");
        if sample["watching"] == 1 && requests >= 4 {
            break;
        }
    }
    assert_eq!((requests, failed), (4, 1));
    // A page that is opened gets what was.
    let (mut late, _) = follow(&server, Request::get("/events")).await;
    let mut seen = 0;
    while seen < 4 {
        seen += next_json(&mut late, "sample").await["requests"].as_u64().expect("a number");
    }
    assert_eq!(seen, 4);
}
