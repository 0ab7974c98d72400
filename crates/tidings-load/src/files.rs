//! How many files, and so connections, a process may have open.

use crate::{LoadError, LoadErrorKind};

/// Files that a process needs in addition to its clients' sockets.
const OTHERS: usize = 64;
/// The assumption for systems that have no such limit to read.
#[cfg(not(unix))]
const ASSUMED: usize = 16_000;

/// How many connections one process can have.
pub(crate) fn clients_per_process() -> usize {
    raise_open_file_limit().saturating_sub(OTHERS).max(1)
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

/// Raises the number of files that this process may open as far as the system allows, and returns
/// it. Each client is an open file.
#[must_use = "the limit may be lower than necessary"]
pub fn raise_open_file_limit() -> usize {
    #[cfg(unix)]
    {
        use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

        let limit = getrlimit(Resource::Nofile);
        // What counts is the limit afterwards.
        let _ = setrlimit(Resource::Nofile, Rlimit { current: limit.maximum, ..limit });
        let limit = getrlimit(Resource::Nofile).current;
        // `None` is unlimited; above a million the ports are the limit.
        limit.map_or(1_000_000, |limit| usize::try_from(limit).unwrap_or(usize::MAX))
    }
    #[cfg(not(unix))]
    ASSUMED
}
