//! Processes that are killed, that have no room on their disk, and that find a damaged file.
//!
//! The program starts itself as those processes, so it has a `main` of its own.

mod child;
mod damaged;
#[cfg(target_os = "linux")]
mod full;
mod history;
mod killed;

use std::{env, panic, process};

const TESTS: &[(&str, fn())] = &[
    ("an_acknowledged_event_outlives_any_kill", killed::an_acknowledged_event_outlives_any_kill),
    (
        "a_damaged_file_is_a_sentence_and_no_panic",
        damaged::a_damaged_file_is_a_sentence_and_no_panic,
    ),
    (
        "what_redb_panics_on_is_salvaged_in_silence",
        damaged::what_redb_panics_on_is_salvaged_in_silence,
    ),
    #[cfg(target_os = "linux")]
    ("no_room_to_begin_is_a_sentence", full::no_room_to_begin_is_a_sentence),
    #[cfg(target_os = "linux")]
    ("a_full_disk_refuses_events_and_loses_none", full::a_full_disk_refuses_events_and_loses_none),
];

fn main() {
    let arguments: Vec<String> = env::args().skip(1).collect();
    if let [role, path] = &arguments[..] {
        match role.as_str() {
            "publish" => return child::publish(path),
            "fill" => return child::fill(path),
            "open" => return child::open(path),
            "salvage" => return damaged::salvage(path),
            _ => {}
        }
    }
    // As the harness has it: names, or parts of them.
    let names: Vec<_> = arguments.iter().filter(|name| !name.starts_with('-')).collect();
    let mut failed = false;
    for &(name, test) in TESTS {
        if names.is_empty() || names.iter().any(|part| name.contains(part.as_str())) {
            let outcome = panic::catch_unwind(test);
            println!("test {name} ... {}", if outcome.is_ok() { "ok" } else { "FAILED" });
            failed |= outcome.is_err();
        }
    }
    if cfg!(not(target_os = "linux")) {
        println!("skipped: a full disk: only Linux lifts the limit of a process that runs");
    }
    if failed {
        println!("test result: FAILED");
        process::exit(101);
    }
}
