use tidings::{Hub, ServerEvent};

/// The hubs of a server.
#[derive(Debug, Clone, Default)]
pub struct Hubs(Vec<Hub>);

impl Hubs {
    /// No hubs.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a hub.
    pub fn add(&mut self, hub: &Hub) {
        self.0.push(hub.clone());
    }

    /// Closes all hubs, which ends their streams after the last published event.
    pub fn close(&self) {
        self.0.iter().for_each(Hub::close);
    }

    /// Counts an event in the metrics of all hubs.
    pub fn report(&self, event: ServerEvent) {
        self.0.iter().for_each(|hub| hub.report(event));
    }
}
