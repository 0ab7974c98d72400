//! What a test needs that Cargo does not bring: a browser, a broker, Node.js.
//!
//! Where it is missing, the test says so and passes, so that `cargo test` works on a machine that
//! has only Rust. With `TIDINGS_TEST_ALL=1`, as set by `tests/run`, it fails instead: there,
//! nothing may be skipped.
//!
//! ```no_run
//! use tidings_tests::requirements;
//!
//! let needs = requirements::met("browser tests", || requirements::chromium());
//! let Some(chromium) = needs else { return };
//! ```

use std::env;
use std::ffi::OsStr;
use std::fmt;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde_json::Value;

/// Something that is not there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    what: String,
    remedy: String,
}

impl Missing {
    /// `what` is a sentence without its full stop, such as "redis-server is not installed";
    /// `remedy` says what to do, in the imperative.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// What `find` found; or `None` if something is missing, which is told on standard error. The
/// test should then return.
///
/// # Panics
///
/// When something is missing and `TIDINGS_TEST_ALL` is 1.
#[track_caller]
pub fn met<T>(suite: &str, find: impl FnOnce() -> Result<T, Missing>) -> Option<T> {
    let all = env::var_os("TIDINGS_TEST_ALL").is_some_and(|value| value == "1");
    match decide(suite, find(), all) {
        Decision::Run(found) => Some(found),
        Decision::Skip(notice) => {
            // Not `eprintln`: the notices of tests that pass would be captured. In one write, so
            // that the lines of tests that run at the same time do not mix.
            let _ = std::io::stderr().write_all(notice.as_bytes());
            None
        }
        Decision::Fail(message) => panic!("{message}"),
    }
}

#[derive(Debug, PartialEq, Eq)]
enum Decision<T> {
    Run(T),
    Skip(String),
    Fail(String),
}

fn decide<T>(suite: &str, found: Result<T, Missing>, all: bool) -> Decision<T> {
    match found {
        Ok(found) => Decision::Run(found),
        Err(missing) if all => Decision::Fail(format!("{suite}: {missing}; {}", missing.remedy)),
        Err(missing) => Decision::Skip(format!("skipped: {suite}: {missing}\n")),
    }
}

/// Chromium, or a browser that is made of it: the one that `CHROMIUM` names, or the first that is
/// found.
///
/// # Errors
///
/// When there is none.
pub fn chromium() -> Result<PathBuf, Missing> {
    if let Some(path) = env::var_os("CHROMIUM").filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            let what = format!("there is no {}, which CHROMIUM names", path.display());
            Err(Missing::new(what, "set CHROMIUM to the path of a Chromium, or to nothing"))
        };
    }
    const NAMES: [&str; 4] =
        ["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"];
    const PLACES: [&str; 3] = [
        "/usr/bin/chromium",
        "/Applications/Chromium.app/Contents/MacOS/Chromium",
        "/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
    ];
    NAMES
        .into_iter()
        .find_map(on_path)
        .or_else(|| PLACES.into_iter().map(PathBuf::from).find(|path| path.is_file()))
        .ok_or_else(|| {
            let remedy = "install Debian's package chromium or Homebrew's cask chromium, or set \
                          CHROMIUM to the path of one; `tests/run` does it for you";
            Missing::new("chromium is not installed", remedy)
        })
}

/// Node.js, new enough for our tests.
///
/// # Errors
///
/// When there is none, or an older one.
pub fn node() -> Result<PathBuf, Missing> {
    const OLDEST: u32 = 20;
    let remedy = format!("install Node.js {OLDEST} or newer; `tests/run` does it for you");
    let node = on_path("node").ok_or_else(|| Missing::new("node is not installed", &*remedy))?;
    let version = Command::new(&node)
        .arg("--version")
        .output()
        .map_err(|error| Missing::new(format!("node does not run: {error}"), &*remedy))?;
    let version = String::from_utf8_lossy(&version.stdout).trim().to_owned();
    let major = version.trim_start_matches('v').split('.').next().and_then(|n| n.parse().ok());
    match major {
        Some(OLDEST..) => Ok(node),
        _ => Err(Missing::new(format!("node {version} is older than {OLDEST}"), remedy)),
    }
}

/// The packages of `folder/package-lock.json`, in `folder/node_modules`. If they are not there,
/// `npm ci` is run.
///
/// # Errors
///
/// When they are not there, and npm isn't either, or failed.
pub fn npm_packages(folder: &Path) -> Result<(), Missing> {
    let absent = match absent_packages(folder) {
        absent if absent.is_empty() => return Ok(()),
        absent => absent.join(", "),
    };
    let remedy = format!("run `npm ci` in {}; `tests/run` does it for you", folder.display());
    let npm = on_path("npm")
        .ok_or_else(|| Missing::new(format!("{absent} and npm are not installed"), &*remedy))?;
    let installed = Command::new(npm).arg("ci").current_dir(folder).stdin(Stdio::null()).output();
    match installed {
        Ok(output) if output.status.success() && absent_packages(folder).is_empty() => Ok(()),
        Ok(output) => {
            let said = String::from_utf8_lossy(&output.stderr);
            let remedy = format!("{remedy}. It said: {}", said.trim());
            Err(Missing::new(format!("{absent} is not installed, and `npm ci` failed"), remedy))
        }
        Err(error) => {
            let what = format!("{absent} is not installed, and npm does not run: {error}");
            Err(Missing::new(what, remedy))
        }
    }
}

/// The packages of the lock file that are not installed, or in another version.
///
/// # Panics
///
/// When there is no readable lock file: that is a mistake in the repository, not in the machine.
fn absent_packages(folder: &Path) -> Vec<String> {
    let read =
        |path: &Path| -> Option<Value> { serde_json::from_slice(&std::fs::read(path).ok()?).ok() };
    let lock = read(&folder.join("package-lock.json"))
        .unwrap_or_else(|| panic!("{}: has no readable package-lock.json", folder.display()));
    let packages = lock["packages"].as_object().expect("a lock file lists packages");
    packages
        .iter()
        // The empty key is the folder itself.
        .filter(|(place, _)| !place.is_empty())
        .filter(|(place, package)| {
            let installed = read(&folder.join(place).join("package.json"));
            installed.is_none_or(|installed| installed["version"] != package["version"])
        })
        .map(|(place, _)| place.trim_start_matches("node_modules/").to_owned())
        .collect()
}

/// The program of this name, from the folders of `PATH`.
pub fn on_path(name: impl AsRef<OsStr>) -> Option<PathBuf> {
    let name = name.as_ref();
    env::split_paths(&env::var_os("PATH")?)
        .map(|folder| folder.join(name))
        .find(|path| path.is_file())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing() -> Missing {
        Missing::new("chromium is not installed", "install it")
    }

    #[test]
    fn a_suite_runs_when_everything_is_there() {
        for all in [false, true] {
            assert_eq!(decide("browser tests", Ok(1), all), Decision::Run(1));
        }
    }

    #[test]
    fn a_suite_is_skipped_with_a_notice() {
        let notice = "skipped: browser tests: chromium is not installed\n".to_owned();
        assert_eq!(decide::<()>("browser tests", Err(missing()), false), Decision::Skip(notice));
    }

    #[test]
    fn nothing_is_skipped_where_all_is_wanted() {
        let message = "browser tests: chromium is not installed; install it".to_owned();
        assert_eq!(decide::<()>("browser tests", Err(missing()), true), Decision::Fail(message));
    }
}
