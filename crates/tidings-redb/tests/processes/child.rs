//! The processes, and how they are run.

use std::env;
use std::io::{self, BufRead, BufReader, Lines, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::mpsc::{self, Receiver};
use std::thread;
use std::time::Duration;

use tidings::{Event, Hub};
use tidings_redb::RedbLog;
use tidings_testkit::log::Client;

pub(crate) const TOPICS: [&str; 3] = ["a", "b", "c"];
pub(crate) const PUBLISHERS: usize = 8;

/// A process that is killed when it is dropped. It ends by itself when the test does, however that ends.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Process {
    /// Starts this program once more, in a role.
    pub(crate) fn start(role: &str, path: &Path) -> Self {
        Self::spawn(self::role(role, path))
    }

    pub(crate) fn spawn(mut command: Command) -> Self {
        let command = command.stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdin = child.stdin.take().expect("it is piped");
        let stdout: Lines<BufReader<ChildStdout>> =
            BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (send, lines) = mpsc::channel();
        thread::spawn(move || stdout.map_while(Result::ok).try_for_each(|line| send.send(line)));
        Self { child, stdin, lines }
    }

    #[cfg(target_os = "linux")]
    pub(crate) fn id(&self) -> i32 {
        i32::try_from(self.child.id()).expect("ids are small")
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").expect("it listens");
    }

    /// The next line of its output.
    pub(crate) fn line(&self) -> String {
        self.lines.recv_timeout(Duration::from_secs(30)).expect("a line within half a minute")
    }

    /// Kills it, and returns the lines that it had written.
    pub(crate) fn kill(mut self) -> Vec<String> {
        self.child.kill().expect("it is ours to kill");
        self.child.wait().expect("it is our child");
        // Complete when the reading thread has seen the end.
        self.lines.iter().collect()
    }
}

/// This program, in a role.
pub(crate) fn role(role: &str, path: &Path) -> Command {
    let mut command = Command::new(env::current_exe().expect("this program"));
    command.arg(role).arg(path);
    command
}

/// What a process that opens a log says, and what it complains about.
pub(crate) fn try_to_open(mut command: Command) -> (String, String) {
    let output = command.stdin(Stdio::null()).output().expect("it starts");
    let text = |bytes| String::from_utf8(bytes).expect("it is text");
    (text(output.stdout), text(output.stderr))
}

/// Opens a log, and prints the error.
pub(crate) fn open(path: &str) {
    match RedbLog::open(path) {
        Ok(_) => println!("open"),
        Err(error) => println!("{error}"),
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Ends this process when the test closes the pipe, or ends.
fn end_with_the_test() {
    thread::spawn(|| {
        let _ = io::stdin().lock().read_to_end(&mut Vec::new());
        std::process::exit(0);
    });
}

/// Publishes from several threads until it is killed, each counting, and prints what is acknowledged. A line of input
/// has the number at which each of them begins; the first of each may have been published before.
pub(crate) fn publish(path: &str) {
    let mut line = String::new();
    io::stdin().lock().read_line(&mut line).expect("a line");
    end_with_the_test();
    let hub = Hub::builder().build_on(RedbLog::open(path).expect("the log opens"));
    let begins = line.split_whitespace().map(|n| n.parse::<usize>().expect("a number"));
    let publishers: Vec<_> = begins
        .enumerate()
        .map(|(publisher, begin)| {
            let hub = hub.clone();
            thread::spawn(move || {
                for n in begin.. {
                    let data = format!("{publisher}.{n}");
                    let topic = TOPICS[(publisher + n) % TOPICS.len()];
                    let event = Event::new(&*data);
                    let outcome = hub.publish_once(data.clone(), topic, event).wait();
                    let published = outcome.expect("it is published");
                    println!("{} {data} {}", published.id(), published.is_duplicate());
                }
            })
        })
        .collect();
    for publisher in publishers {
        publisher.join().expect("it never ends");
    }
}

/// Publishes an event for each line of input, which is its size in bytes, and prints the outcome. A client is connected
/// all the time.
pub(crate) fn fill(path: &str) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build();
    runtime.expect("a runtime").block_on(async {
        let hub = Hub::builder().build_on(RedbLog::open(path).expect("the log opens"));
        let mut client = Client::expect(&hub, &["a"], None, "fresh").await;
        println!("open");
        let events = io::stdin().lock().lines().map_while(Result::ok);
        for (n, bytes) in events.enumerate() {
            let bytes: usize = bytes.parse().expect("a number");
            let event = Event::new(format!("{n} {}", "x".repeat(bytes)));
            let outcome = hub.publish("a", event).await;
            if outcome.is_err() {
                hub.publish_ephemeral("a", Event::new("alive")).expect("it needs no room");
            }
            let message = client.next().await.expect("the stream goes on");
            match outcome {
                Ok(published) => {
                    assert_eq!(message.last_event_id(), published.id().as_str());
                    println!("ok {n} {}", published.id());
                }
                Err(error) => {
                    assert_eq!(message.data(), "alive");
                    println!("error {n} {error}");
                }
            }
        }
    });
}
