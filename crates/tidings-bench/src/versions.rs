//! The versions of what is measured.

use crate::servers::Server;
use crate::servers::nchan::Nchan;

const LOCK: &str = include_str!("../../../Cargo.lock");

/// The packages of a server, with versions.
pub(crate) fn of(server: Server) -> String {
    if server == Server::Nchan {
        return Nchan::find().map(|nchan| nchan.version()).unwrap_or_default();
    }
    let packages = server
        .packages()
        .iter()
        .filter_map(|package| Some(format!("{package} {}", locked(LOCK, package)?)));
    packages.collect::<Vec<_>>().join(", ")
}

/// The version of a package in a lock file; the newest of several.
fn locked<'a>(lock: &'a str, package: &str) -> Option<&'a str> {
    let name = format!("name = \"{package}\"");
    let mut lines = lock.lines();
    let mut version = None;
    while lines.by_ref().any(|line| line == name) {
        version = lines.next()?.strip_prefix("version = \"")?.strip_suffix('"');
    }
    version
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_named_package_is_locked() {
        for server in Server::all() {
            for package in server.packages() {
                assert!(locked(LOCK, package).is_some(), "{package}");
            }
        }
    }
}
