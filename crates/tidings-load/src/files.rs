//! How many files, and so connections, a process may have open.

use crate::{LoadError, LoadErrorKind};

/// Files that a process needs in addition to its clients' sockets.
const OTHERS: usize = 64;
/// The assumption for systems that have no such limit to read.
#[cfg(not(unix))]
const ASSUMED: usize = 16_000;

/// How many connections one process can have.
pub(crate) fn clients_per_process() -> usize {
    raise().saturating_sub(OTHERS).max(1)
}

/// Checks that the process can have this number of connections.
pub(crate) fn allow(sockets: usize) -> Result<(), LoadError> {
    let most = clients_per_process();
    if sockets <= most {
        return Ok(());
    }
    let message =
        format!("clients: the limit of open files allows {most} connections in one process");
    Err(LoadError::new(LoadErrorKind::System, message))
}

/// Raises the limit of this process as far as the system allows, and returns it.
#[cfg(unix)]
fn raise() -> usize {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    if limit.current != limit.maximum {
        let raised = rustix::process::Rlimit { current: limit.maximum, ..limit };
        if setrlimit(Resource::Nofile, raised).is_ok() {
            limit = getrlimit(Resource::Nofile);
        }
    }
    // `None` is unlimited; above a million the ports are the limit.
    limit.current.map_or(1_000_000, |current| usize::try_from(current).unwrap_or(usize::MAX))
}

#[cfg(not(unix))]
fn raise() -> usize {
    ASSUMED
}
