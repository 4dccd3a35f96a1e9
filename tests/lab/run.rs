//! Runs of the built binary: bounded in time, in an environment that holds nothing of the user's.

use std::io::Read;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use std::os::unix::process::ExitStatusExt as _;

use rustix::process::Signal;

use super::procs;

const WATCHDOG: Duration = Duration::from_secs(120);
const PATIENCE: Duration = Duration::from_secs(60);

/// What a finished run left.
#[derive(Debug, Clone)]
pub struct Output {
    /// Exit code; of a run ended by a signal, 128 + its number, as a shell would say.
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Output {
    /// Standard output as the one JSON document it must be.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout)
            .unwrap_or_else(|e| panic!("standard output is not one JSON document: {e}\n{self}"))
    }

    /// Fails with everything the run said unless it ended with `code`.
    #[track_caller]
    pub fn expect(self, code: i32) -> Output {
        assert_eq!(self.code, code, "unexpected exit code\n{self}");
        self
    }
}

impl std::fmt::Display for Output {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "exit {}\n--- stdout\n{}\n--- stderr\n{}",
            self.code, self.stdout, self.stderr
        )
    }
}

/// A run under way. Dropped unfinished, it is killed.
#[derive(Debug)]
pub struct Running {
    child: Child,
    stdout: Stream,
    stderr: Stream,
    what: String,
}

impl Running {
    pub(super) fn start(mut command: Command) -> Running {
        let what = format!("{command:?}");
        let mut child = command
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap_or_else(|e| panic!("{what} does not start: {e}"));
        let stdout = Stream::follow(child.stdout.take().unwrap());
        let stderr = Stream::follow(child.stderr.take().unwrap());
        Running {
            child,
            stdout,
            stderr,
            what,
        }
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The processes it has started, and theirs.
    pub fn children(&self) -> Vec<procs::Proc> {
        procs::descendants(self.child.id())
    }

    /// Sends a signal to the program itself, not to its children.
    pub fn signal(&self, signal: Signal) {
        procs::signal(self.child.id(), signal);
    }

    /// `kill -9` of the program itself.
    pub fn kill(&self) {
        self.signal(Signal::KILL);
    }

    /// `kill -9` of every descendant that runs this program; tells how many there were.
    pub fn kill_program(&self, name: &str) -> usize {
        let running = self.children();
        let hit = running.iter().filter(|p| p.program() == name);
        hit.inspect(|p| procs::signal(p.pid, Signal::KILL)).count()
    }

    pub fn finished(&mut self) -> bool {
        self.child.try_wait().unwrap().is_some()
    }

    /// What it has said so far, both streams, standard output first.
    pub fn so_far(&self) -> (String, String) {
        (self.stdout.text(), self.stderr.text())
    }

    /// What its threads wait for in the kernel, and which children it has (Linux only).
    fn waits(&self) -> String {
        let tasks = std::fs::read_dir(format!("/proc/{}/task", self.pid()));
        let thread = |at: std::path::PathBuf| {
            let read = |name| std::fs::read_to_string(at.join(name)).unwrap_or_default();
            let all = [read("comm"), read("wchan"), read("syscall")];
            all.map(|t| t.trim().to_owned()).join(" ")
        };
        let threads = tasks.into_iter().flatten().flatten();
        let children = self.children().into_iter();
        threads
            .map(|t| thread(t.path()))
            .chain(children.map(|c| format!("{} of {}: {}", c.pid, c.parent, c.command)))
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Waits for its end, at most as long as the watchdog allows.
    #[track_caller]
    pub fn wait(mut self) -> Output {
        let deadline = Instant::now() + WATCHDOG;
        let status = loop {
            if let Some(status) = self.child.try_wait().unwrap() {
                break status;
            }
            if Instant::now() > deadline {
                let (out, err) = self.so_far();
                let waits = self.waits();
                panic!(
                    "{} runs longer than {WATCHDOG:?}\n{waits}\n--- stdout\n{out}\n--- stderr\n{err}",
                    self.what
                );
            }
            thread::sleep(Duration::from_millis(3));
        };
        Output {
            code: code_of(status),
            stdout: self.stdout.finish(),
            stderr: self.stderr.finish(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn code_of(status: ExitStatus) -> i32 {
    status
        .code()
        .unwrap_or_else(|| 128 + status.signal().unwrap_or(0))
}

/// One output stream, read as it comes.
#[derive(Debug)]
struct Stream {
    bytes: Arc<Mutex<Vec<u8>>>,
    reader: Option<JoinHandle<()>>,
}

impl Stream {
    fn follow(mut source: impl Read + Send + 'static) -> Stream {
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&bytes);
        let reader = thread::spawn(move || {
            let mut chunk = [0; 8192];
            while let Ok(n @ 1..) = source.read(&mut chunk) {
                sink.lock().unwrap().extend_from_slice(&chunk[..n]);
            }
        });
        Stream {
            bytes,
            reader: Some(reader),
        }
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.bytes.lock().unwrap()).into_owned()
    }

    /// All of it. An orphan that still holds the pipe is not waited for longer than two seconds.
    fn finish(&mut self) -> String {
        if let Some(reader) = self.reader.take() {
            let deadline = Instant::now() + Duration::from_secs(2);
            while !reader.is_finished() && Instant::now() < deadline {
                thread::sleep(Duration::from_millis(1));
            }
        }
        self.text()
    }
}

/// Looks again and again until `done` says so; fails after a minute, naming what it waited for.
#[track_caller]
pub fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !done() {
        assert!(Instant::now() < deadline, "waited in vain until {what}");
        thread::sleep(Duration::from_millis(3));
    }
}
