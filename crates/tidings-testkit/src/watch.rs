//! Ends a child process with its parent, even when the parent is killed.

use std::process::Stdio;

use tokio::process::{Child, Command};

/// Reads from a pipe that nobody writes to, until the process at its other end has ended.
const WATCH: &str = r#"read -r _; kill -s KILL -- "$1""#;

/// Kills a child when this process ends for any reason. Must be dropped when the child has ended, because another
/// process may get its id.
#[derive(Debug)]
pub struct Watch {
    _shell: Child,
}

impl Watch {
    /// Watches over a running child. `None` except on Unix, which has the shell.
    pub fn over(child: &Child) -> Option<Self> {
        Self::begin(&child.id()?.to_string())
    }

    /// The same for the process group that a running child leads.
    pub fn over_group(child: &Child) -> Option<Self> {
        Self::begin(&format!("-{}", child.id()?))
    }

    fn begin(target: &str) -> Option<Self> {
        if !cfg!(unix) {
            return None;
        }
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch", target]).stdin(Stdio::piped()).kill_on_drop(true);
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

    use tokio::io::AsyncReadExt;

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

    #[tokio::test]
    async fn a_group_is_killed_with_its_leader() {
        let mut leader = Command::new("sh");
        leader.args(["-c", "sleep 1000 & echo; wait"]).process_group(0).stdout(Stdio::piped());
        let mut leader = leader.kill_on_drop(true).spawn().expect("it starts");
        let mut output = leader.stdout.take().unwrap();
        within("the other process", output.read_u8()).await.unwrap();
        let mut shell = Watch::over_group(&leader).unwrap().end();
        let killed = within("the leader's end", leader.wait()).await.unwrap();
        assert_eq!(killed.signal(), Some(9));
        // Both hold it open.
        within("the group's end", output.read_to_end(&mut Vec::new())).await.unwrap();
        assert!(within("the end of its watch", shell.wait()).await.unwrap().success());
    }
}
