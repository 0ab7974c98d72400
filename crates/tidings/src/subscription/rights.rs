//! Until when a client may be sent its stream.

use std::pin::Pin;
use std::sync::Arc;
use std::task::Context;

use super::revalidation::{Check, CheckTask, Revalidation};
use crate::client::Client;
use crate::end_reason::EndReason;
use crate::hub::shared::Shared;
use crate::timers::{Timed, TimerSlot};

/// What a subscription says about it.
#[derive(Debug, Default)]
pub(crate) struct RightsOptions {
    /// Milliseconds of the hub's clock.
    pub(super) expires_at: Option<u64>,
    pub(super) check: Option<Check>,
}

/// The limits of an open stream.
#[derive(Debug)]
pub(crate) struct Rights {
    shared: Arc<Shared>,
    expiry: Option<Arc<Expiry>>,
    revalidation: Option<Arc<Revalidation>>,
    /// Of a stream that runs the application itself.
    task: Option<CheckTask>,
}

impl Rights {
    /// `None` without limits.
    pub(super) fn new(
        options: RightsOptions,
        shared: &Arc<Shared>,
        client: &Arc<Client>,
    ) -> Option<Box<Self>> {
        let RightsOptions { expires_at, check } = options;
        if expires_at.is_none() && check.is_none() {
            return None;
        }
        let expiry = expires_at.map(|at| Expiry::start(at, shared, client));
        let revalidation = check.map(|check| Revalidation::start(check, shared, client));
        Some(Box::new(Self { shared: shared.clone(), expiry, revalidation, task: None }))
    }

    /// Runs a check that is due, if `makes` says that the caller may run the application.
    pub(super) fn attend(&mut self, makes: bool, cx: &mut Context<'_>) {
        let Some(revalidation) = &self.revalidation else { return };
        if makes {
            // One that was given up ends at once, and the next one may be due.
            while let Some(task) = self.task.take().or_else(|| revalidation.take_task()) {
                let task = self.task.insert(task);
                if Pin::new(task).poll(cx).is_pending() {
                    break;
                }
                self.task = None;
            }
        }
        revalidation.rest();
    }

    /// The check that is due.
    pub(super) fn take_task(&mut self) -> Option<CheckTask> {
        self.revalidation.as_ref()?.take_task()
    }

    /// Whether nothing may be sent before the check has been made.
    pub(super) fn hold_back(&self) -> bool {
        self.revalidation.as_ref().is_some_and(|revalidation| revalidation.holds_back())
    }
}

impl Drop for Rights {
    fn drop(&mut self) {
        if let Some(expiry) = &self.expiry {
            self.shared.clock.cancel(&expiry.slot);
        }
        if let Some(revalidation) = &self.revalidation {
            revalidation.cancel();
        }
    }
}

/// Ends a stream at its time.
#[derive(Debug)]
struct Expiry {
    client: Arc<Client>,
    slot: TimerSlot,
}

impl Expiry {
    fn start(at: u64, shared: &Shared, client: &Arc<Client>) -> Arc<Self> {
        let this = Arc::new(Self { client: client.clone(), slot: TimerSlot::new() });
        if at <= shared.clock.now() {
            this.fire(at);
        } else {
            shared.clock.schedule(&this, at);
        }
        this
    }
}

impl Timed for Expiry {
    fn timer(&self) -> &TimerSlot {
        &self.slot
    }

    fn fire(&self, _: u64) -> Option<u64> {
        self.client.end(EndReason::Expired);
        None
    }
}
