//! Every server, with a few clients.

use std::io::Write;
use std::process::{Command, Stdio};

/// Runs `tidings-bench check`, and prints what that skips.
#[test]
fn every_server_delivers_each_event_once() {
    let output = Command::new(env!("CARGO_BIN_EXE_tidings-bench"))
        .arg("check")
        .stdin(Stdio::null())
        .output()
        .expect("the program starts");
    let printed = String::from_utf8_lossy(&output.stderr);
    // Not `eprintln`, which is captured if the test passes.
    let _ = std::io::stderr().write_all(&output.stderr);
    assert!(output.status.success(), "{printed}");
    let all = std::env::var_os("TIDINGS_TEST_ALL").is_some_and(|value| value == "1");
    // Only Linux has packages of nginx with nchan.
    assert!(!(all && cfg!(target_os = "linux") && printed.contains("skipped")), "{printed}");
}
