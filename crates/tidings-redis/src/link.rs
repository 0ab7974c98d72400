//! A connection that is made when it is needed, and again when it was lost.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use redis::aio::MultiplexedConnection;
use redis::{Cmd, RedisResult, Value};

use crate::endpoint::Endpoint;
use crate::error::is_link_error;

/// For questions to the server that has a key. Several may be on their way at once.
#[derive(Debug)]
pub(crate) struct Link {
    endpoint: Arc<Endpoint>,
    key: String,
    patience: Duration,
    connection: Mutex<Option<MultiplexedConnection>>,
    /// Held while connecting: questions that come meanwhile need the same connection.
    connecting: tokio::sync::Mutex<()>,
}

impl Link {
    pub(crate) fn new(endpoint: Arc<Endpoint>, key: String, patience: Duration) -> Self {
        Self {
            endpoint,
            key,
            patience,
            connection: Mutex::default(),
            connecting: tokio::sync::Mutex::default(),
        }
    }

    /// Asks once, over the present connection or a new one.
    pub(crate) async fn ask(&self, command: &Cmd) -> RedisResult<Value> {
        let mut connection = self.connection().await?;
        let answer = connection.send_packed_command(command).await;
        let answer = answer.and_then(Value::extract_error);
        if answer.as_ref().is_err_and(is_link_error) {
            self.renew();
        }
        answer
    }

    /// Leaves the present connection, which may lead to the wrong server: the next question goes over a new one.
    pub(crate) fn renew(&self) {
        let left = self.connection.lock().take();
        drop(left);
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let _connecting = self.connecting.lock().await;
        let present = self.connection.lock().clone();
        if let Some(connection) = present {
            return Ok(connection);
        }
        let new = self.endpoint.connect(&self.key, self.patience).await?;
        *self.connection.lock() = Some(new.clone());
        Ok(new)
    }
}
