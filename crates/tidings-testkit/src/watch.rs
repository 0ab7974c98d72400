//! Ends a child process with its parent, even when the parent is killed.

use std::process::Stdio;

use tokio::process::{Child, Command};

/// Reads from a pipe that nobody writes to, until the process at its other end has ended.
const WATCH: &str = r#"read -r _; kill -9 "$1""#;

/// Kills a child when this process ends for any reason. Must be dropped when the child has ended, because another
/// process may get its id.
#[derive(Debug)]
pub struct Watch {
    _shell: Child,
}

impl Watch {
    /// Watches over a running child. `None` except on Unix, which has the shell.
    pub fn over(child: &Child) -> Option<Self> {
        let id = child.id().filter(|_| cfg!(unix))?.to_string();
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch", &id]).stdin(Stdio::piped()).kill_on_drop(true);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // Signals to the test's process group, such as Ctrl-C, do not reach it.
        #[cfg(unix)]
        command.process_group(0);
        Some(Self { _shell: command.spawn().expect("a shell starts") })
    }

    /// Simulates the end of this process.
    #[cfg(test)]
    fn end(mut self) -> Child {
        drop(self._shell.stdin.take());
        self._shell
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;

    use super::*;
    use crate::limit::within;

    fn sleep() -> Child {
        Command::new("sleep").arg("1000").kill_on_drop(true).spawn().expect("it starts")
    }

    #[tokio::test]
    async fn a_child_is_killed_when_the_pipe_ends_but_not_when_the_watch_is_dropped() {
        let (mut one, mut other) = (sleep(), sleep());
        let [watch, dropped] = [&one, &other].map(|child| Watch::over(child).unwrap());
        drop(dropped);
        let mut shell = watch.end();
        let killed = within("the child's end", one.wait()).await.unwrap();
        assert_eq!(killed.signal(), Some(9));
        assert!(within("the end of its watch", shell.wait()).await.unwrap().success());
        assert!(other.try_wait().unwrap().is_none());
    }
}
