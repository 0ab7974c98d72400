//! Clients whose network is gone. They are in a network of their own, which the test can take away.
#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "a panic is how a test fails")]

mod site;

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use site::Site;
use tidings::Hub;
use tidings_net::Limits;
use tidings_testkit::limit::eventually;
use tidings_testkit::requirements::{self, Missing, on_path};

/// In the environment of the test that runs in its own network.
const INSIDE: &str = "TIDINGS_INSIDE";

/// A program in a network that has nothing but a loopback interface.
fn in_own_network() -> Command {
    let mut command = Command::new("unshare");
    command.args(["--map-root-user", "--net"]).stdin(Stdio::null());
    command
}

fn own_network() -> Result<(), Missing> {
    let remedy =
        "run the tests on Linux with util-linux and iproute2, where user namespaces are allowed";
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

fn set_network(up_or_down: &str) {
    let status = Command::new("ip").args(["link", "set", "lo", up_or_down]).status().unwrap();
    assert!(status.success());
}

#[tokio::test]
async fn a_client_that_has_vanished_is_ended_though_the_kernel_takes_all_events() {
    if std::env::var_os(INSIDE).is_none() {
        let Some(()) = requirements::met("vanished clients", own_network) else {
            return;
        };
        let mut inside = in_own_network();
        let test = std::env::current_exe().unwrap();
        let name = "a_client_that_has_vanished_is_ended_though_the_kernel_takes_all_events";
        inside.arg(test).args(["--exact", name, "--nocapture"]).env(INSIDE, "1");
        assert!(inside.status().unwrap().success(), "see above");
        return;
    }
    let limits = Limits::default().write_timeout(TIMEOUT);
    set_network("up");
    vanish(Site::with(Hub::new(), limits.clone()).await).await;
    set_network("up");
    vanish(Site::with_bodies(limits).await).await;
}

const TIMEOUT: Duration = Duration::from_millis(800);

async fn vanish(site: Site) {
    let mut clients = [site.follow("/events/a").await, site.follow("/events/b").await];
    let first = site.publish("a", "it is there");
    assert_eq!(clients[0].next_message().await.last_event_id(), first);
    set_network("down");
    let began = Instant::now();
    site.publish("a", "a few bytes");
    eventually("only one is left", || site.hub.clients().count() == 1).await;
    assert!(began.elapsed() >= TIMEOUT, "after {:?}", began.elapsed());
    assert_eq!(site.hub.clients().list()[0].topics[0].as_str(), "b", "nothing was sent to it");
    assert_eq!(site.hub.metrics().connections_timed_out, 1);
}
