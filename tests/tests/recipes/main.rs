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

    fn router(app: &App) -> Router {
        Router::new()
            .route("/answers", post(ask))
            .route("/answers/{id}", get(events))
            .route("/answers/{id}/stop", post(stop))
            .with_state(app.clone())
    }

    #[tokio::test]
    async fn an_answer_is_whole_for_whoever_comes_late_and_ends_once() {
        let app = App::default();
        let router = router(&app);
        let asked = TestClient::post(&router, "/answers")
            .header("content-type", "application/json")
            .body("\"why not\"")
            .connect()
            .await;
        let path = format!("/answers/{}", asked.text());
        for _ in 0..2 {
            let mut client = TestClient::get(&router, &path).connect().await;
            assert_eq!(client.expect("token").await.data(), "\"why \"");
            assert_eq!(client.expect("token").await.data(), "\"not\"");
            client.expect("done").await;
            client.expect(END_EVENT).await;
            let stopped = TestClient::post(&router, &format!("{path}/stop")).connect().await;
            assert_eq!(stopped.status_code(), StatusCode::NO_CONTENT);
            client.expect_end().await;
        }
    }

    #[tokio::test]
    async fn a_stopped_answer_says_that_it_is_done() {
        let app = App::default();
        let (stop, stopped) = oneshot::channel();
        drop(stop);
        answer(&app.hub, 17, "why not", stopped).await.unwrap();
        let mut client = TestClient::get(router(&app), "/answers/17").connect().await;
        client.expect("done").await;
    }

    #[test]
    fn the_guide_shows_this() {
        let guide = include_str!("../../../docs/guide/llm-answer.md");
        crate::assert_shown(guide, include_str!("llm_answer.rs"));
    }
}
