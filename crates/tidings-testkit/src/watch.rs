//! What ends a process with the one that has started it, also when that one is killed.

use std::process::Stdio;

use tokio::process::{Child, Command};

/// Reads what nobody writes. That ends with the process that holds the other end of the pipe.
const WATCH: &str = r#"read -r _; kill -9 "$1""#;

/// Kills a child when this process is gone, whatever it was that ended it. To be dropped when the child has
/// ended, whose number may then be another process's.
#[derive(Debug)]
pub struct Watch {
    _shell: Child,
}

impl Watch {
    /// Watches over a child that runs. `None` where there is no such shell: elsewhere than on Unix.
    pub fn over(child: &Child) -> Option<Self> {
        let id = child.id().filter(|_| cfg!(unix))?.to_string();
        let mut command = Command::new("sh");
        command.args(["-c", WATCH, "watch", &id]).stdin(Stdio::piped()).kill_on_drop(true);
        command.stdout(Stdio::null()).stderr(Stdio::null());
        // What ends the others, Ctrl-C for instance, does not reach it.
        #[cfg(unix)]
        command.process_group(0);
        Some(Self { _shell: command.spawn().expect("a shell starts") })
    }

    /// What happens when this process ends.
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
    async fn a_child_is_killed_when_the_pipe_ends_and_left_alone_when_the_watch_does() {
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
