//! Programs that a test needs and Cargo does not install: a browser, a broker, Node.js.
//!
//! If one is missing, the test prints that and passes, so `cargo test` works on a machine that has only Rust. With
//! `TIDINGS_TEST_ALL=1`, which `tests/run` sets, it fails instead: nothing may be skipped then.
//!
//! ```no_run
//! use tidings_testkit::requirements;
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

/// A program that is not installed, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Missing {
    what: String,
    remedy: String,
}

impl Missing {
    /// `what` is a sentence without a full stop, such as "redis-server is not installed". `remedy` is an imperative.
    pub fn new(what: impl Into<String>, remedy: impl Into<String>) -> Self {
        Self { what: what.into(), remedy: remedy.into() }
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)
    }
}

/// The result of `find`; or `None` if something is missing, after printing that to standard error. The test should
/// then return.
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
            // Not `eprintln`, which is captured in tests that pass. In one write, so that the lines of tests that run at
            // the same time do not mix.
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

/// Chromium, or a browser based on it: the one that `CHROMIUM` names, or the first that is found.
///
/// # Errors
///
/// When none is installed.
pub fn chromium() -> Result<PathBuf, Missing> {
    browser(
        "chromium",
        &["chromium", "chromium-browser", "google-chrome", "google-chrome-stable"],
        &["Chromium.app/Contents/MacOS/Chromium", "Google Chrome.app/Contents/MacOS/Google Chrome"],
        "install Debian's package chromium or Homebrew's cask chromium",
    )
}

/// Firefox: the one that `FIREFOX` names, or the first that is found.
///
/// # Errors
///
/// When none is installed.
pub fn firefox() -> Result<PathBuf, Missing> {
    browser(
        "firefox",
        &["firefox", "firefox-esr"],
        &["Firefox.app/Contents/MacOS/firefox"],
        "install Debian's package firefox-esr or Homebrew's cask firefox",
    )
}

fn browser(name: &str, names: &[&str], apps: &[&str], remedy: &str) -> Result<PathBuf, Missing> {
    let variable = name.to_uppercase();
    if let Some(path) = env::var_os(&variable).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            let what = format!("{} does not exist, which {variable} names", path.display());
            Err(Missing::new(
                what,
                format!("set {variable} to the path of a {name}, or to nothing"),
            ))
        };
    }
    let apps = apps.iter().map(|app| Path::new("/Applications").join(app));
    names
        .iter()
        .find_map(on_path)
        .or_else(|| apps.into_iter().find(|path| path.is_file()))
        .ok_or_else(|| {
            let remedy = format!(
                "{remedy}, or set {variable} to the path of one; `tests/run` does it for you"
            );
            Missing::new(format!("{name} is not installed"), remedy)
        })
}

/// Node.js, new enough for the tests.
///
/// # Errors
///
/// When none is installed, or an older version.
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

/// The NATS server.
///
/// # Errors
///
/// When none is installed.
pub fn nats_server() -> Result<PathBuf, Missing> {
    program("nats-server", "nats-server")
}

/// Makes sure that the packages of `folder/package-lock.json` are in `folder/node_modules`, by `npm ci` if need be.
///
/// # Errors
///
/// When they are missing, and npm is too, or failed.
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

/// The packages of the lock file that are not installed, or have another version.
///
/// # Panics
///
/// When the lock file cannot be read, which is a mistake in the repository.
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
        // Those of other systems are not installed.
        .filter(|(_, package)| package["optional"] != true)
        .filter(|(place, package)| {
            let installed = read(&folder.join(place).join("package.json"));
            installed.is_none_or(|installed| installed["version"] != package["version"])
        })
        .map(|(place, _)| place.trim_start_matches("node_modules/").to_owned())
        .collect()
}

/// The program with this name, which is part of `package`.
///
/// # Errors
///
/// When it is not installed.
pub fn program(name: &str, package: &str) -> Result<PathBuf, Missing> {
    // Where Debian has servers, which are not on every `PATH`.
    const PLACES: [&str; 2] = ["/usr/sbin", "/usr/local/sbin"];
    let in_places = || PLACES.iter().map(|place| Path::new(place).join(name));
    on_path(name).or_else(|| in_places().find(|path| path.is_file())).ok_or_else(|| {
        let remedy = format!("install the package {package}; `tests/run` does it for you");
        Missing::new(format!("{name} is not installed"), remedy)
    })
}

/// The library that gives another time to a program that is started with it.
///
/// # Errors
///
/// When it is not installed.
pub fn faketime() -> Result<PathBuf, Missing> {
    const NAME: &str = "faketime/libfaketime.so.1";
    let folders = ["/usr/lib", "/usr/lib64", "/usr/local/lib"].map(PathBuf::from);
    // Debian has a folder for each architecture.
    let below = std::fs::read_dir("/usr/lib").into_iter().flatten().flatten();
    let folders = folders.into_iter().chain(below.map(|entry| entry.path()));
    folders.map(|folder| folder.join(NAME)).find(|path| path.is_file()).ok_or_else(|| {
        let remedy = "install the package faketime; `tests/run` does it for you";
        Missing::new("libfaketime is not installed", remedy)
    })
}

/// The Redis server, with `redis-cli`.
///
/// # Errors
///
/// When it is not installed.
pub fn redis_server() -> Result<PathBuf, Missing> {
    program("redis-cli", "redis-server").and_then(|_| program("redis-server", "redis-server"))
}

/// The version that a program prints when it is run with `argument`: the first word that begins with a digit, perhaps
/// after a slash.
pub fn version(program: &Path, argument: &str) -> Option<String> {
    let output = Command::new(program).arg(argument).stdin(Stdio::null()).output().ok()?;
    let answer = [output.stdout, output.stderr].concat();
    version_in(&String::from_utf8_lossy(&answer)).map(str::to_owned)
}

fn version_in(answer: &str) -> Option<&str> {
    answer
        .split_whitespace()
        .map(|word| word.rsplit('/').next().unwrap_or(word))
        .map(|word| word.trim_start_matches("(varnish-").trim_start_matches('v'))
        .find(|word| word.starts_with(|char: char| char.is_ascii_digit()))
}

/// Python in a virtual environment in `folder` with the packages of a `requirements.txt`. Makes it if it does not exist.
///
/// # Errors
///
/// When it does not exist, and cannot be made.
///
/// # Panics
///
/// When `requirements.txt` cannot be read, which is a mistake in the repository.
pub fn python_packages(requirements: &Path, folder: &Path) -> Result<PathBuf, Missing> {
    install_python(requirements, folder, &[])
}

/// The folder of the packages of a `requirements.txt` of which only files are read, so that they may ask for a newer Python
/// than there is. Installs them in `folder` if that has not been done.
///
/// # Errors
///
/// When they are not there, and cannot be installed.
///
/// # Panics
///
/// When `requirements.txt` cannot be read, which is a mistake in the repository.
pub fn python_files(requirements: &Path, folder: &Path) -> Result<PathBuf, Missing> {
    let files = folder.join("files");
    let target = ["--ignore-requires-python".as_ref(), "--target".as_ref(), files.as_os_str()];
    install_python(requirements, folder, &target)?;
    Ok(files)
}

fn install_python(
    requirements: &Path,
    folder: &Path,
    options: &[&OsStr],
) -> Result<PathBuf, Missing> {
    let wanted = std::fs::read_to_string(requirements)
        .unwrap_or_else(|error| panic!("{}: {error}", requirements.display()));
    let python = folder.join("bin/python");
    // Written last.
    let installed = folder.join("installed.txt");
    if python.is_file() && std::fs::read_to_string(&installed).is_ok_and(|text| text == wanted) {
        return Ok(python);
    }
    let remedy = "install Debian's packages python3 and python3-venv or Homebrew's python; \
                  `tests/run` does it for you";
    let system =
        on_path("python3").ok_or_else(|| Missing::new("python3 is not installed", remedy))?;
    let mut make = Command::new(&system);
    make.args(["-m", "venv", "--clear"]).arg(folder);
    let mut install = Command::new(&python);
    install.args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--no-deps"]);
    install.arg("--requirement").arg(requirements).args(options);
    for step in [&mut make, &mut install] {
        let said = match step.stdin(Stdio::null()).output() {
            Ok(output) if output.status.success() => continue,
            Ok(output) => String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into(),
            Err(error) => error.to_string(),
        };
        let what = format!("the packages of {} are not installed", requirements.display());
        return Err(Missing::new(what, format!("{remedy}. It said: {}", said.trim())));
    }
    std::fs::write(&installed, wanted)
        .map_err(|error| Missing::new(format!("{}: {error}", installed.display()), remedy))?;
    Ok(python)
}

/// The program with this name in the folders of `PATH`.
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
    fn a_suite_runs_when_everything_is_installed() {
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
    fn versions_are_found_in_the_output_of_programs() {
        for (answer, version) in [
            ("curl 7.88.1 (x86_64) libcurl/7.88.1", "7.88.1"),
            ("Chromium 140.0.1 built on Debian GNU/Linux 12", "140.0.1"),
            ("nginx version: nginx/1.22.1", "1.22.1"),
            ("v2.8.4 h1:abc", "2.8.4"),
            ("varnishd (varnish-7.1.1 revision 7cee1c)", "7.1.1"),
            ("HAProxy version 2.6.12-1 2026/10/17 - https://haproxy.org/", "2.6.12-1"),
        ] {
            assert_eq!(version_in(answer), Some(version));
        }
        assert_eq!(version_in("no idea"), None);
    }

    #[test]
    fn nothing_is_skipped_when_all_tests_must_run() {
        let message = "browser tests: chromium is not installed; install it".to_owned();
        assert_eq!(decide::<()>("browser tests", Err(missing()), true), Decision::Fail(message));
    }
}
