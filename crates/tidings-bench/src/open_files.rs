//! Each client is an open file.

/// Lets this process, and those that it starts, open as many files as the system allows.
#[cfg(target_os = "linux")]
pub(crate) fn raise_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};

    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    // Connections will fail if it was needed.
    let _ = setrlimit(Resource::Nofile, limit);
}

/// Lets this process, and those that it starts, open as many files as the system allows.
#[cfg(not(target_os = "linux"))]
pub(crate) fn raise_limit() {}
