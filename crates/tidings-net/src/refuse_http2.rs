use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, sink};
use tokio::time::timeout;

/// Tells a client that has begun with HTTP/2 to use HTTP/1.1: for a server that is built without HTTP/2.
///
/// The client gets GOAWAY with HTTP_1_1_REQUIRED (RFC 9113, section 7).
pub async fn refuse_http2(mut io: impl AsyncRead + AsyncWrite + Unpin) {
    // The frames of a server that has no settings and has handled no stream.
    const SETTINGS: [u8; 9] = [0, 0, 0, 4, 0, 0, 0, 0, 0];
    const GOAWAY: [u8; 17] = [0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xd];
    // If it is gone already, it need not be told.
    if io.write_all(&[&SETTINGS[..], &GOAWAY].concat()).await.is_err()
        || io.shutdown().await.is_err()
    {
        return;
    }
    // What is left unread would reset the connection, and the client might not see the frames.
    let mut unread = io.take(64 * 1024);
    let _ = timeout(Duration::from_secs(1), tokio::io::copy(&mut unread, &mut sink())).await;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reception::HTTP2_PREFACE;

    #[tokio::test]
    async fn a_client_of_http2_is_told_to_use_http1() {
        let (mut client, server) = tokio::io::duplex(1024);
        client.write_all(HTTP2_PREFACE).await.unwrap();
        let told = async {
            let mut frames = Vec::new();
            client.read_to_end(&mut frames).await.unwrap();
            drop(client);
            frames
        };
        let (frames, ()) = tokio::join!(told, refuse_http2(server));
        let (settings, goaway) = frames.split_at(9);
        assert_eq!(settings, [0, 0, 0, 4, 0, 0, 0, 0, 0]);
        assert_eq!((goaway[3], goaway.last()), (7, Some(&0xd)), "HTTP_1_1_REQUIRED");
    }
}
