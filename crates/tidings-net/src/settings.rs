use std::io;
use std::time::Duration;

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

use socket2::{SockRef, TcpKeepalive};

/// The options of a socket, or of a listener, whose connections inherit them.
///
/// | option | default | purpose |
/// |---|---|---|
/// | `TCP_NODELAY` | on | events leave at once |
/// | `TCP_NOTSENT_LOWAT` | 64 KiB | little waits in the kernel for a slow client, and the server sees its progress: without this option, a write may wait until the client has read a third of some megabytes |
/// | [`keepalive`](Self::keepalive) | after 30 s, every 10 s, 3 times | a client that has vanished is found within a minute |
/// | [`write_timeout`](Self::write_timeout) | 30 s | a stalled client is disconnected: `TCP_USER_TIMEOUT` (RFC 5482) where the system has it |
///
/// On Linux, connections inherit all of them from their listener; on other systems at least
/// `TCP_NODELAY` and keep-alive. `TCP_USER_TIMEOUT` and `TCP_NOTSENT_LOWAT` are set on Linux and
/// Android only; `WriteLimit` limits stalled writes on every platform.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub struct SocketSettings {
    keepalive: Option<Duration>,
    write_timeout: Option<Duration>,
}

/// How many unsent bytes may wait in the kernel. A stalled write goes on when half of them were sent:
/// with the default time limit, a client must read about 1 KiB a second.
#[cfg(any(target_os = "android", target_os = "linux"))]
const NOT_SENT: u32 = 64 * 1024;

impl SocketSettings {
    /// Sets how long a connection may be idle before the system probes its peer. It repeats the probe
    /// every 10 seconds, and ends the connection when three probes have failed. `None` for no probes.
    /// Default: 30 seconds. Systems count whole seconds.
    pub fn keepalive(mut self, idle: impl Into<Option<Duration>>) -> Self {
        self.keepalive = idle.into();
        self
    }

    /// Sets how long written bytes may stay unacknowledged, or wait for a client whose buffers are
    /// full, before the connection ends. `None` for the system's limit. Default: 30 seconds.
    pub fn write_timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.write_timeout = timeout.into();
        self
    }

    /// How long a connection may be stalled before it ends.
    pub fn write_timeout_value(&self) -> Option<Duration> {
        self.write_timeout
    }

    /// Sets the options on a socket or listener of `std`, tokio or socket2.
    ///
    /// # Errors
    ///
    /// If the system refuses one, for instance because the socket is not TCP.
    pub fn apply(&self, socket: &impl AsSocket) -> io::Result<()> {
        let socket = SockRef::from(socket);
        socket.set_tcp_nodelay(true)?;
        if let Some(idle) = self.keepalive {
            let keepalive = TcpKeepalive::new().with_time(idle.max(Duration::from_secs(1)));
            #[cfg(not(target_os = "openbsd"))]
            let keepalive = keepalive.with_interval(Duration::from_secs(10));
            #[cfg(not(any(target_os = "openbsd", windows)))]
            let keepalive = keepalive.with_retries(3);
            socket.set_tcp_keepalive(&keepalive)?;
        }
        #[cfg(any(target_os = "android", target_os = "linux"))]
        {
            socket.set_tcp_user_timeout(self.write_timeout)?;
            socket.set_tcp_notsent_lowat(NOT_SENT)?;
        }
        Ok(())
    }
}

impl Default for SocketSettings {
    fn default() -> Self {
        Self {
            keepalive: Some(Duration::from_secs(30)),
            write_timeout: Some(Duration::from_secs(30)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{TcpListener, TcpStream};

    #[test]
    #[cfg(target_os = "linux")]
    fn connections_inherit_the_settings_of_their_listener() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let settings = SocketSettings::default().write_timeout(Duration::from_secs(7));
        settings.apply(&listener).unwrap();
        let _client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (connection, _) = listener.accept().unwrap();
        let socket = SockRef::from(&connection);
        assert!(socket.tcp_nodelay().unwrap());
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_keepalive_time().unwrap(), Duration::from_secs(30));
        assert_eq!(socket.tcp_user_timeout().unwrap(), Some(Duration::from_secs(7)));
        assert_eq!(socket.tcp_notsent_lowat().unwrap(), NOT_SENT);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn none_leaves_keepalive_and_write_timeout_to_the_system() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let socket = SockRef::from(&listener);
        SocketSettings::default().keepalive(None).apply(&listener).unwrap();
        assert!(!socket.keepalive().unwrap());
        assert!(socket.tcp_user_timeout().unwrap().is_some());
        SocketSettings::default().write_timeout(None).apply(&listener).unwrap();
        assert!(socket.keepalive().unwrap());
        assert_eq!(socket.tcp_user_timeout().unwrap(), None);
    }
}
