//! Datastar's script for pages.

use std::path::{Path, PathBuf};

use crate::requirements::{self, Missing};

const REQUIREMENTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/datastar/requirements.txt");

/// The path of the script, which is installed in `folder`.
///
/// # Errors
///
/// When it is not there, and cannot be installed.
pub fn script(folder: &Path) -> Result<PathBuf, Missing> {
    let files = requirements::python_files(Path::new(REQUIREMENTS), folder)?;
    Ok(files.join("starhtml/static/js/datastar-core.js"))
}
