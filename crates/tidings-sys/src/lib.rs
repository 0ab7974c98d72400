//! What the kernel knows of a TCP connection's progress.
//!
//! A server of event streams must tell a client that is slow from one that is gone. `TCP_USER_TIMEOUT` cannot: it ends
//! a connection whose client leaves no room in its buffer for some time, even if it has read all the while. The count of
//! acknowledged bytes can.
//!
//! This is the only crate of Tidings with `unsafe` code: one call of `getsockopt`, for which no safe interface exists.
//!
//! ```
//! use std::net::{TcpListener, TcpStream};
//!
//! let listener = TcpListener::bind("127.0.0.1:0")?;
//! let socket = TcpStream::connect(listener.local_addr()?)?;
//! if let Some(progress) = tidings_sys::progress(&socket) {
//!     assert!(!progress.is_outstanding, "nothing was written");
//! }
//! # Ok::<(), std::io::Error>(())
//! ```

#[cfg(unix)]
use std::os::fd::AsFd as AsSocket;
#[cfg(windows)]
use std::os::windows::io::AsSocket;

/// How far the data that was written to a connection has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Progress {
    /// How many bytes the other end's system has acknowledged since the connection was made.
    pub acknowledged: u64,
    /// Whether bytes that were written are not acknowledged yet.
    pub is_outstanding: bool,
    /// Whether some of them are under way. If none is, they wait for the other end, which answers but has no room for them.
    pub is_in_flight: bool,
}

impl Progress {
    /// A progress that a test makes up.
    pub fn new(acknowledged: u64, is_outstanding: bool, is_in_flight: bool) -> Self {
        Self { acknowledged, is_outstanding, is_in_flight }
    }
}

/// The progress of a TCP connection. `None` if the system does not tell: it is not Linux 4.6 or newer, or Android; or
/// the socket is not TCP.
pub fn progress(socket: &impl AsSocket) -> Option<Progress> {
    #[cfg(any(target_os = "android", target_os = "linux"))]
    return linux::progress(socket.as_fd());
    #[cfg(not(any(target_os = "android", target_os = "linux")))]
    {
        let _ = socket;
        None
    }
}

#[cfg(any(target_os = "android", target_os = "linux"))]
mod linux {
    use std::mem::offset_of;
    use std::os::fd::{AsRawFd, BorrowedFd};

    use super::Progress;

    /// The beginning of `struct tcp_info`, in linux/tcp.h: a part of the kernel's stable interface, which grows at its
    /// end only.
    #[repr(C)]
    #[derive(Default)]
    struct TcpInfo {
        state_to_wscale: [u8; 8],
        rto_to_rcv_mss: [u32; 4],
        unacked: u32,
        sacked_to_total_retrans: [u32; 19],
        pacing_rates: [u64; 2],
        bytes_acked: u64,
        bytes_received: u64,
        segs_out: u32,
        segs_in: u32,
        notsent_bytes: u32,
        min_rtt: u32,
    }

    const _: () = {
        assert!(offset_of!(TcpInfo, unacked) == 24);
        assert!(offset_of!(TcpInfo, bytes_acked) == 120);
        assert!(offset_of!(TcpInfo, notsent_bytes) == 144);
    };

    pub(super) fn progress(socket: BorrowedFd<'_>) -> Option<Progress> {
        let mut info = TcpInfo::default();
        let mut length = size_of::<TcpInfo>() as libc::socklen_t;
        // SAFETY: the pointer is to `length` writable bytes, which outlive the call; the kernel writes no more than that.
        // All fields are integers, for which any bytes are a value. The file descriptor is open while it is borrowed.
        let outcome = unsafe {
            libc::getsockopt(
                socket.as_raw_fd(),
                libc::IPPROTO_TCP,
                libc::TCP_INFO,
                (&raw mut info).cast(),
                &raw mut length,
            )
        };
        let is_known = length as usize >= offset_of!(TcpInfo, min_rtt);
        (outcome == 0 && is_known).then_some(Progress {
            acknowledged: info.bytes_acked,
            is_outstanding: info.unacked > 0 || info.notsent_bytes > 0,
            is_in_flight: info.unacked > 0,
        })
    }
}

#[cfg(all(test, any(target_os = "android", target_os = "linux")))]
mod tests {
    use std::io::{Read, Write};
    use std::net::{TcpListener, TcpStream};
    use std::time::{Duration, Instant};

    use super::*;

    /// Looks until it is so.
    fn eventually(socket: &TcpStream, is_so: impl Fn(Progress) -> bool) -> Progress {
        let began = Instant::now();
        loop {
            let progress = progress(socket).unwrap();
            if is_so(progress) {
                return progress;
            }
            assert!(began.elapsed() < Duration::from_secs(10), "{progress:?}");
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_client_that_reads_makes_progress_and_one_that_does_not_makes_none() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let mut server = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (mut client, _) = listener.accept().unwrap();
        let before = progress(&server).unwrap();
        server.write_all(b"hello").unwrap();
        let after = eventually(&server, |progress| !progress.is_outstanding);
        assert_eq!(after.acknowledged - before.acknowledged, 5);

        // More than the buffers of both hold.
        server.set_nonblocking(true).unwrap();
        while server.write(&[0; 64 * 1024]).is_ok() {}
        let full = progress(&server).unwrap();
        assert!(full.is_outstanding);
        // In the end, the client's window is closed.
        eventually(&server, |progress| progress.is_outstanding && !progress.is_in_flight);
        client.read_exact(&mut vec![0; 1024 * 1024]).unwrap();
        eventually(&server, |progress| progress.acknowledged > full.acknowledged);
    }

    #[test]
    fn another_socket_than_tcp_has_none() {
        let (socket, _other) = std::os::unix::net::UnixStream::pair().unwrap();
        assert_eq!(progress(&socket), None);
    }
}
