use std::env;
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use tempfile::TempDir;
use tidings_testkit::limit::LIMIT;

use crate::child::{self, Process};
use crate::history;

/// The largest file that the process may make, in KiB. redb doubles its file as it grows.
const MAX_KIB: usize = 6_000;

pub(crate) fn a_full_disk_refuses_events_and_loses_none() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("events.redb");
    let mut process = Process::spawn(limited("fill", MAX_KIB, &path));
    assert_eq!(process.line(), "open");
    let mut acknowledged = Vec::new();
    let mut refused = 0;
    while refused < 20 {
        process.tell("20000");
        let line = process.line();
        match line.split_once(' ').expect("two words") {
            ("ok", rest) => acknowledged.push(rest.to_owned()),
            (_, said) => {
                assert!(said.contains("there is no room"), "{said}");
                refused += 1;
            }
        }
        assert!(acknowledged.len() < 1_000, "the disk is never full");
    }
    assert!(acknowledged.len() > 20, "{acknowledged:?}");
    let before = acknowledged.len();
    make_room(&process);
    let since = Instant::now();
    while acknowledged.len() < before + 100 {
        process.tell("20000");
        let line = process.line();
        match line.split_once(' ').expect("two words") {
            ("ok", rest) => acknowledged.push(rest.to_owned()),
            // The log tries again every second.
            _ => assert!(since.elapsed() < LIMIT, "{line}"),
        }
    }
    println!("{before} events until the disk was full, {} when it was not", acknowledged.len());
    process.kill();

    // No acknowledged event is lost, and no other one is in the file.
    let (_, records) = history::read(&path, &["a"]);
    let is: Vec<_> = records.iter().map(|record| record.position.to_string()).collect();
    let should: Vec<_> = acknowledged
        .iter()
        .map(|line| line.rsplit('-').next().expect("an id").to_owned())
        .collect();
    assert_eq!(is, should);
}

pub(crate) fn no_room_to_begin_is_a_sentence() {
    let folder = TempDir::new().expect("a folder");
    let path = folder.path().join("events.redb");
    for kib in [0, 1, 2, 4, 40] {
        let (said, complaints) = child::try_to_open(limited("open", kib, &path));
        let start = format!("redb: {}: there is no room: ", path.display());
        assert!(
            said.starts_with(&start) && said.ends_with("make some, and open it again\n"),
            "{said}"
        );
        assert_eq!((said.lines().count(), &*complaints), (1, ""));
    }
    // With room, what was begun goes on.
    assert_eq!(child::try_to_open(child::role("open", &path)).0, "open\n");
}

/// A process in a role that cannot make a file any larger than this.
fn limited(role: &str, kib: usize, path: &Path) -> Command {
    // `ulimit -f` counts blocks of 512 bytes; the signal would end the process, where a full disk only has the
    // write fail.
    let script = format!("trap '' XFSZ; ulimit -S -f {}; exec \"$0\" {role} \"$1\"", 2 * kib);
    let mut command = Command::new("sh");
    command.args(["-c", &script]).arg(env::current_exe().expect("this program")).arg(path);
    command
}

/// Lifts the limit of a process that runs.
fn make_room(process: &Process) {
    use rustix::process::{Pid, Resource, Rlimit, prlimit};

    let none = Rlimit { current: None, maximum: None };
    let outcome = prlimit(Pid::from_raw(process.id()), Resource::Fsize, none);
    outcome.expect("the limit is below the one that may not be exceeded");
}
