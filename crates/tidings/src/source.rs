use std::fmt;
use std::sync::Arc;

use crate::backend::IdempotencyKey;
use crate::error::{FieldError, PublishError, PublishErrorCause};
use crate::event::Event;
use crate::hub::Hub;
use crate::hub::publish::Publish;
use crate::topic::Topic;

/// Publishes on behalf of somebody whose publications are counted: see [`Hub::source`].
///
/// Its methods are those of [`Hub`], and fail with
/// [`TooManyPublications`](crate::error::PublishErrorKind::TooManyPublications) when the source has published more than it may.
/// Topics are finished with the hub itself, which counts for no source.
#[derive(Debug, Clone)]
pub struct Source {
    hub: Hub,
    name: Arc<str>,
}

impl Source {
    pub(crate) fn new(hub: Hub, name: impl fmt::Display) -> Self {
        Self { hub, name: name.to_string().into() }
    }

    /// As [`Hub::publish`].
    ///
    /// # Errors
    ///
    /// As there, and when the source has published too much.
    pub fn publish<T>(&self, topic: T, event: Event) -> Publish
    where
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        match self.admit() {
            Ok(()) => self.hub.publish(topic, event),
            Err(error) => Publish::refused(self.hub.shared(), error),
        }
    }

    /// As [`Hub::publish_once`]. A publication that is tried again counts again.
    ///
    /// # Errors
    ///
    /// As there, and when the source has published too much.
    pub fn publish_once<K, T>(&self, key: K, topic: T, event: Event) -> Publish
    where
        K: TryInto<IdempotencyKey>,
        K::Error: Into<FieldError>,
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        match self.admit() {
            Ok(()) => self.hub.publish_once(key, topic, event),
            Err(error) => Publish::refused(self.hub.shared(), error),
        }
    }

    /// As [`Hub::publish_ephemeral`].
    ///
    /// # Errors
    ///
    /// As there, and when the source has published too much.
    pub fn publish_ephemeral<T>(&self, topic: T, event: Event) -> Result<usize, PublishError>
    where
        T: TryInto<Topic>,
        T::Error: Into<FieldError>,
    {
        match self.admit() {
            Ok(()) => self.hub.publish_ephemeral(topic, event),
            Err(error) => Err(self.hub.shared().refused(error)),
        }
    }

    fn admit(&self) -> Result<(), PublishError> {
        match self.hub.shared().admit(&self.name) {
            true => Ok(()),
            false => Err(PublishErrorCause::TooManyPublications.into()),
        }
    }
}
