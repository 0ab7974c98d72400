//! A connection that is made when it is needed, and again when it was lost.

use std::sync::Arc;
use std::time::Duration;

use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};
use tokio::sync::Mutex;

use crate::endpoint::Endpoint;
use crate::error::is_link_error;

/// For questions to the server that has a key. Several may be on their way at once.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Arc<Endpoint>,
    key: String,
    patience: Duration,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Link {
    pub(crate) fn new(endpoint: Arc<Endpoint>, key: String, patience: Duration) -> Self {
        Self { endpoint, key, patience, connection: Mutex::default() }
    }

    /// Asks once, over the present connection or a new one.
    pub(crate) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let mut connection = self.connection().await?;
        let answer = connection.send_packed_command(command).await;
        let answer = answer.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(is_link_error) {
            *self.connection.lock().await = None;
        }
        answer
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        // Held while connecting: questions that come meanwhile need the same connection.
        let mut connection = self.connection.lock().await;
        if let Some(connection) = &*connection {
            return Ok(connection.clone());
        }
        let new = self.endpoint.connect(&self.key, self.patience).await?;
        Ok(connection.insert(new).clone())
    }
}
