//! A file that is deleted, replaced or cut while it is open: nothing is acknowledged into nothing.
#![cfg(unix)]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails, in its helpers too")]

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::time::Duration;

use tempfile::TempDir;
use tidings::backend::LogErrorKind;
use tidings::{Event, Hub, Link, error::PublishError};
use tidings_redb::RedbLog;
use tidings_testkit::limit::{eventually, within};
use tidings_testkit::log::{Client, publish};

const RETRY: Duration = Duration::from_millis(1_200);
const DELETED: &str = "was deleted or moved while it was open; put it back, or open the log again";

struct Scene {
    folder: TempDir,
    path: PathBuf,
    hub: Hub,
    client: Client,
}

/// What the log said when its file was harmed.
struct Refused {
    scene: Scene,
    kind: LogErrorKind,
    message: String,
}

impl Scene {
    async fn begin() -> Self {
        let folder = TempDir::new().unwrap();
        fs::create_dir(folder.path().join("data")).unwrap();
        let path = folder.path().join("data/events.redb");
        let hub = Hub::builder().build_on(RedbLog::open(&path).unwrap());
        publish(&hub, "a", "before").await;
        let client = Client::expect(&hub, &["a"], None, "fresh").await;
        Self { folder, path, hub, client }
    }

    async fn try_publish(&self) -> Result<(), PublishError> {
        within("an outcome", self.hub.publish("a", Event::new("after"))).await.map(drop)
    }

    /// The next publication is refused, health has the same reason, and streams go on.
    async fn refuses(mut self) -> Refused {
        let error = self.try_publish().await.expect_err("it is refused");
        let error = error.log_error().expect("it is the log's");
        let (kind, message) = (error.kind(), error.to_string());
        let Link::Down { error, since: before } = self.hub.health().link else {
            panic!("it is not ready")
        };
        assert_eq!(error, message);
        assert!(!self.hub.health().is_ready());
        self.hub.publish_ephemeral("a", Event::new("alive")).unwrap();
        assert_eq!(self.client.next().await.unwrap().data(), "alive");
        // It stays refused when the log tries again, which it does every second.
        let hub = &self.hub;
        let down =
            || matches!(hub.health().link, Link::Down { since, .. } if since > before + RETRY);
        eventually("the log tries again", down).await;
        let again = self.try_publish().await.expect_err("it stays refused");
        assert_eq!(again.log_error().unwrap().kind(), kind);
        let start = format!("redb: {}: ", self.path.display());
        let message = message.strip_prefix(&start).expect(&message).to_owned();
        Refused { scene: self, kind, message }
    }
}

fn length(path: &Path) -> u64 {
    fs::metadata(path).unwrap().len()
}

fn cut(path: &Path, length: u64) {
    OpenOptions::new().write(true).open(path).unwrap().set_len(length).unwrap();
}

#[tokio::test]
async fn a_deleted_file_takes_no_event() {
    let scene = Scene::begin().await;
    fs::remove_file(&scene.path).unwrap();
    let Refused { scene, kind, message } = scene.refuses().await;
    assert_eq!((kind, &*message), (LogErrorKind::Unavailable, DELETED));
    // What was there before is still read, and nothing is made in its place.
    let mut client = Client::connect(&scene.hub, &["a"], None);
    client.next().await.unwrap();
    assert!(!scene.path.exists());
    drop(scene.hub);
    assert!(!scene.path.exists());
}

#[tokio::test]
async fn a_replaced_file_takes_no_event() {
    let scene = Scene::begin().await;
    let other = scene.folder.path().join("other");
    drop(RedbLog::open(&other).unwrap());
    let content = fs::read(&other).unwrap();
    fs::rename(&other, &scene.path).unwrap();
    let Refused { scene, kind, message } = scene.refuses().await;
    let expected = "was replaced while it was open; put it back, or open the log again";
    assert_eq!((kind, &*message), (LogErrorKind::Unavailable, expected));
    drop(scene.hub);
    assert!(fs::read(&scene.path).unwrap() == content, "the other file is not touched");
}

#[tokio::test]
async fn a_file_in_a_removed_directory_takes_no_event() {
    let scene = Scene::begin().await;
    fs::remove_dir_all(scene.path.parent().unwrap()).unwrap();
    let Refused { kind, message, .. } = scene.refuses().await;
    assert_eq!((kind, &*message), (LogErrorKind::Unavailable, DELETED));
}

#[tokio::test]
async fn a_cut_file_takes_no_event_however_long_it_is_later() {
    for part in [0, 2] {
        let scene = Scene::begin().await;
        let before = length(&scene.path);
        let after = before.checked_div(part).unwrap_or(0);
        cut(&scene.path, after);
        let cause =
            format!("is damaged: it was cut from {before} to {after} bytes while it was open");
        let Refused { scene, kind, message } = scene.refuses().await;
        assert_eq!((kind, &*message), (LogErrorKind::Corrupt, &*cause));
        cut(&scene.path, before);
        let Refused { kind, message, .. } = scene.refuses().await;
        assert_eq!((kind, &*message), (LogErrorKind::Corrupt, &*cause));
    }
}

#[tokio::test]
async fn health_notices_without_a_publication() {
    let scene = Scene::begin().await;
    eventually("it is ready", || scene.hub.health().is_ready()).await;
    fs::remove_file(&scene.path).unwrap();
    eventually("the link is down", || !scene.hub.health().is_ready()).await;
    assert!(scene.hub.health().to_string().ends_with(DELETED), "{}", scene.hub.health());
}

#[tokio::test]
async fn a_file_that_is_moved_back_goes_on_and_loses_nothing() {
    let mut scene = Scene::begin().await;
    let away = scene.folder.path().join("away");
    fs::rename(&scene.path, &away).unwrap();
    let Refused { scene: refused, message, .. } = scene.refuses().await;
    scene = refused;
    assert_eq!(message, DELETED);
    fs::rename(&away, &scene.path).unwrap();
    eventually("it is ready", || scene.hub.health().is_ready()).await;
    let after = publish(&scene.hub, "a", "after").await;
    let message = scene.client.next().await.unwrap();
    assert_eq!((message.data(), message.last_event_id()), ("after", &*after.id));
    // No refused event has taken a position.
    assert!(after.id.ends_with("-2"), "{}", after.id);
    drop(scene.hub);
    assert_eq!(RedbLog::open(&scene.path).unwrap().stats().last(), 2);
}
