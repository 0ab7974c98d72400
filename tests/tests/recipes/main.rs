//! What the guide's recipes promise. Their code is shown there as it is here.

/// A page of the guide shows the file.
fn assert_shown(guide: &str, shown: &str) {
    assert!(guide.contains(&format!("```rust\n{shown}```\n")), "the guide should show:\n{shown}");
}

#[cfg(test)]
mod end_for_good {
    include!("end_for_good.rs");

    use std::time::Duration;

    use axum::{Router, http::StatusCode, routing::get};
    use tidings_axum::tidings::END_EVENT;
    use tidings_test::{ManualClock, TestClient};

    #[tokio::test]
    async fn the_end_is_shown_to_whoever_has_not_seen_it_and_then_there_is_nothing_more() {
        let clock = ManualClock::new();
        let hub = Hub::builder().clock(&clock).build();
        let router = Router::new().route("/imports/{import}", get(events)).with_state(hub.clone());
        let connect = || TestClient::get(&router, "/imports/17").connect();

        let mut watching = connect().await;
        let mut cut_off = connect().await;
        hub.publish("import:17", Event::named("row", "1").unwrap()).await.unwrap();
        watching.expect("row").await;
        cut_off.expect("row").await;
        cut_off.disconnect();
        end(&hub, "17").await.unwrap();
        let seen = watching.expect("done").await.id().unwrap().to_owned();
        watching.expect(END_EVENT).await;
        watching.expect_end().await;

        // Whoever has not seen the end gets it.
        cut_off.reconnect().await;
        cut_off.expect("done").await;
        cut_off.expect(END_EVENT).await;
        let mut late = connect().await;
        late.expect("row").await;
        late.expect("done").await;
        late.expect(END_EVENT).await;

        let again = TestClient::get(&router, "/imports/17").last_event_id(seen).connect().await;
        assert_eq!(again.status_code(), StatusCode::NO_CONTENT);
        clock.advance(Duration::from_secs(602));
        connect().await.expect_silence(Duration::ZERO).await;
    }

    #[test]
    fn the_guide_shows_this() {
        let guide = include_str!("../../../docs/guide/end-for-good.md");
        crate::assert_shown(guide, include_str!("end_for_good.rs"));
    }
}

#[cfg(test)]
mod llm_answer {
    include!("llm_answer.rs");

    use axum::{Router, routing::get, routing::post};
    use tidings_axum::tidings::END_EVENT;
    use tidings_test::TestClient;

    fn router(hub: &Hub) -> Router {
        Router::new()
            .route("/answers", post(ask))
            .route("/answers/{id}", get(events))
            .route("/answers/{id}/stop", post(stop))
            .with_state(hub.clone())
    }

    #[tokio::test]
    async fn an_answer_is_whole_for_whoever_comes_late_and_ends_once() {
        let router = router(&Hub::new());
        let asked = TestClient::post(&router, "/answers")
            .header("content-type", "application/json")
            .body("\"why not\"")
            .connect()
            .await;
        // A random number would not survive the browser's JSON.
        let id: String = serde_json::from_str(asked.text()).unwrap();
        let path = format!("/answers/{id}");
        for _ in 0..2 {
            let mut client = TestClient::get(&router, &path).connect().await;
            assert_eq!(client.expect("token").await.data(), "\"why \"");
            assert_eq!(client.expect("token").await.data(), "\"not\"");
            client.expect("done").await;
            client.expect(END_EVENT).await;
            client.expect_end().await;
            let stopped = TestClient::post(&router, &format!("{path}/stop")).connect().await;
            assert_eq!(stopped.status_code(), StatusCode::CONFLICT);
        }
    }

    #[tokio::test]
    async fn a_stopped_answer_says_so_and_takes_no_token() {
        let hub = Hub::new();
        let router = router(&hub);
        let stopped = TestClient::post(&router, "/answers/17/stop").connect().await;
        assert_eq!(stopped.status_code(), StatusCode::NO_CONTENT);
        let refused = answer(&hub, "17", "why not").await.unwrap_err();
        assert!(refused.to_string().contains("finished"), "{refused}");
        let mut client = TestClient::get(&router, "/answers/17").connect().await;
        client.expect("stopped").await;
        client.expect(END_EVENT).await;
    }

    #[test]
    fn the_guide_shows_this() {
        let guide = include_str!("../../../docs/guide/llm-answer.md");
        crate::assert_shown(guide, include_str!("llm_answer.rs"));
    }
}

#[cfg(test)]
mod llm_clients {
    include!("llm_clients.rs");

    use axum::{Router, routing::get};
    use tidings_test::TestClient;

    #[tokio::test]
    async fn an_answer_has_an_end_only_if_it_has_ended() {
        let hub = Hub::new();
        let router =
            Router::new().route("/answers/{id}/chunks", get(chunks)).with_state(hub.clone());
        for answer in ["answer:1", "answer:2"] {
            hub.publish(answer, Event::named("token", "\"why\"").unwrap()).await.unwrap();
        }
        hub.finish("answer:1", Event::named("done", "").unwrap()).await.unwrap();
        let mut whole = TestClient::get(&router, "/answers/1/chunks").connect().await;
        let mut half = TestClient::get(&router, "/answers/2/chunks").connect().await;
        for client in [&mut whole, &mut half] {
            assert_eq!(client.next_message().await.data(), r#"{"delta":"why"}"#);
        }
        assert_eq!(whole.next_message().await.data(), "[DONE]");
        whole.expect_end().await;
        hub.close();
        half.expect_error().await;
    }

    #[test]
    fn the_guide_shows_this() {
        let guide = include_str!("../../../docs/guide/llm-clients.md");
        crate::assert_shown(guide, include_str!("llm_clients.rs"));
    }
}
