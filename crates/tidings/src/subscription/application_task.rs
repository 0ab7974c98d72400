use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use super::revalidation::CheckTask;
use super::snapshot::SnapshotTask;

/// Code of the application that a stream waits for: it makes a snapshot, or checks whether the client may stay.
///
/// A stream that is polled as a body runs it itself. A transport that serves many streams from one thread takes this task
/// from the stream ([`Subscription::take_application_task`](crate::Subscription::take_application_task)) and has a runtime run
/// it. The task wakes the stream when it has ended, and ends when the stream is dropped or the time for it is over. If it is
/// dropped before, or panics, it has failed.
#[derive(Debug)]
#[must_use = "a stream waits for it"]
pub struct ApplicationTask(Kind);

#[derive(Debug)]
enum Kind {
    Snapshot(SnapshotTask),
    Check(CheckTask),
}

impl From<SnapshotTask> for ApplicationTask {
    fn from(task: SnapshotTask) -> Self {
        Self(Kind::Snapshot(task))
    }
}

impl From<CheckTask> for ApplicationTask {
    fn from(task: CheckTask) -> Self {
        Self(Kind::Check(task))
    }
}

impl Future for ApplicationTask {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        match &mut self.0 {
            Kind::Snapshot(task) => Pin::new(task).poll(cx),
            Kind::Check(task) => Pin::new(task).poll(cx),
        }
    }
}
