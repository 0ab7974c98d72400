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
    present: Mutex<Present>,
    /// Held while connecting: questions that come meanwhile need the same connection.
    connecting: tokio::sync::Mutex<()>,
}

/// What questions go over.
#[derive(Debug, Default)]
struct Present {
    connection: Option<MultiplexedConnection>,
    /// How often one was left.
    renewals: u64,
}

impl Link {
    pub(crate) fn new(endpoint: Arc<Endpoint>, key: String, patience: Duration) -> Self {
        Self {
            endpoint,
            key,
            patience,
            present: Mutex::default(),
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

    /// Leaves the present connection, or the one that is being made, which may lead to the wrong server: the next
    /// question goes over a new one.
    pub(crate) fn renew(&self) {
        let mut present = self.present.lock();
        present.renewals += 1;
        let left = present.connection.take();
        drop(present);
        drop(left);
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let _connecting = self.connecting.lock().await;
        let renewals = {
            let present = self.present.lock();
            if let Some(connection) = &present.connection {
                return Ok(connection.clone());
            }
            present.renewals
        };
        let new = self.endpoint.connect(&self.key, self.patience).await?;
        let mut present = self.present.lock();
        if present.renewals == renewals {
            present.connection = Some(new.clone());
        }
        Ok(new)
    }
}

#[cfg(test)]
mod tests {
    use redis::cmd;
    use tidings_testkit::limit::within;
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::{TcpListener, TcpStream};

    use super::*;

    /// Answers each command with OK, until the client is gone.
    async fn serve(mut client: TcpStream) {
        let mut buffer = [0; 1_024];
        while let Ok(read @ 1..) = client.read(&mut buffer).await {
            // Commands begin with one, and have no other.
            let commands = buffer[..read].iter().filter(|byte| **byte == b'*').count();
            if client.write_all(&b"+OK\r\n".repeat(commands)).await.is_err() {
                return;
            }
        }
    }

    #[tokio::test]
    async fn a_connection_that_was_left_while_it_was_made_is_not_kept() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("redis://{}/", listener.local_addr().unwrap());
        let patience = Duration::from_secs(5);
        let endpoint = Endpoint::parse(&url, patience).unwrap();
        let link = Link::new(Arc::new(endpoint), String::new(), patience);
        let ping = cmd("PING");
        let asked_over_new = async |is_left: bool| {
            let accepted = async {
                let (client, _) = listener.accept().await.unwrap();
                if is_left {
                    // What the client has said first is not answered yet.
                    link.renew();
                }
                tokio::spawn(serve(client));
            };
            let (answer, ()) = tokio::join!(link.ask(&ping), accepted);
            answer.unwrap();
        };
        within("a connection", asked_over_new(true)).await;
        within("another connection", asked_over_new(false)).await;
        // Nobody would accept a third.
        within("an answer over the same", link.ask(&ping)).await.unwrap();
    }
}
