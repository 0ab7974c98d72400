//! The machine of the measurements.

use std::fs;
use std::process::{Command, Stdio};
use std::thread;

use serde::{Deserialize, Serialize};

use crate::cores;

/// The machine, in words.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory: String,
    kernel: String,
    rust: String,
    sharing: String,
}

impl Machine {
    /// This machine. Call it before the load generator is pinned.
    pub(crate) fn here() -> Self {
        let cpuinfo = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let meminfo = fs::read_to_string("/proc/meminfo").unwrap_or_default();
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let kib: f64 = value(&meminfo, "MemTotal")
            .and_then(|value| value.trim_end_matches(" kB").parse().ok())
            .unwrap_or(0.0);
        let rust = Command::new("rustc").arg("--version").stdin(Stdio::null()).output();
        let rust = rust.map(|output| output.stdout).unwrap_or_default();
        let rust = String::from_utf8_lossy(&rust).trim().to_owned();
        Self {
            processor: value(&cpuinfo, "model name").unwrap_or("unknown").to_owned(),
            cores: thread::available_parallelism().map_or(1, usize::from),
            memory: format!("{:.0} GiB", kib / 1024.0 / 1024.0),
            kernel: kernel.trim().split('-').next().unwrap_or_default().to_owned(),
            rust: if rust.is_empty() { "rustc unknown".into() } else { rust },
            sharing: cores::description(),
        }
    }

    /// Everything in a sentence.
    pub(crate) fn sentence(&self) -> String {
        let Self { processor, cores, memory, kernel, rust, sharing } = self;
        format!(
            "{processor}, {cores} cores, {memory}; Linux {kernel}; {rust}, release profile; \
             {sharing}."
        )
    }
}

/// The value of the first line `name : value`.
fn value<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| {
        let (key, value) = line.split_once(':')?;
        (key.trim() == name).then(|| value.trim())
    })
}
