//! A network of its own for a test, with nothing but a loopback interface, which the test can make narrow; and clients
//! whose network is gone.

use std::env;
use std::process::{Command, Stdio};

use socket2::{SockFilter, SockRef};
use tokio::net::TcpStream;

use crate::requirements::{Missing, on_path};

/// In the environment of a test that runs in its own network.
const INSIDE: &str = "TIDINGS_TEST_INSIDE";

/// This program again, with the test of this name alone, in a network of its own. `None` if this is there already.
///
/// The interface is down: see [`set_loopback`].
pub fn test_inside(name: &str) -> Option<Command> {
    if env::var_os(INSIDE).is_some() {
        return None;
    }
    let test = env::current_exe().expect("this test's program");
    let mut inside = in_own_network();
    inside.arg(test).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
    Some(inside)
}

/// Changes the interface of a network in which this test is alone: `up`, `mtu 1500`.
///
/// # Panics
///
/// If it cannot be changed so.
pub fn set_loopback(what: &[&str]) {
    let status = Command::new("ip").args(["link", "set", "lo"]).args(what).status();
    assert!(status.is_ok_and(|status| status.success()), "ip link set lo {what:?}");
}

/// Takes the network of a client away: nothing that is sent to it arrives, so its system acknowledges nothing.
///
/// # Panics
///
/// If the system refuses it.
pub fn vanish(client: &TcpStream) {
    /// `BPF_RET | BPF_K`: how many bytes of each packet are kept.
    const KEEP: u16 = 6;
    let nothing = [SockFilter::new(KEEP, 0, 0, 0)];
    SockRef::from(client).attach_filter(&nothing).expect("a filter");
}

/// What a test in a network of its own requires.
///
/// # Errors
///
/// What is missing.
pub fn required() -> Result<(), Missing> {
    let remedy = "run the tests on Linux where user namespaces are allowed, with util-linux and \
                  iproute2; `tests/run` installs these";
    for program in ["unshare", "ip"] {
        on_path(program)
            .ok_or_else(|| Missing::new(format!("{program} is not installed"), remedy))?;
    }
    let allowed = in_own_network().arg("true").stderr(Stdio::null()).status();
    match allowed.is_ok_and(|status| status.success()) {
        true => Ok(()),
        false => Err(Missing::new("this user may not make a network namespace", remedy)),
    }
}

fn in_own_network() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).stdin(Stdio::null());
    command
}
