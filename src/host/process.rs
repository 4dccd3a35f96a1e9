//! Starting and ending processes: the one place where a program is run.
//!
//! Invariants: a child gets a scrubbed environment and a process group of its own, so that it can be ended with all it
//! started; its standard input is a pipe of ours or nothing; no shell sees text of a user.

use std::collections::HashMap;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, PipeWriter, Read, Seek, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::sync::{Mutex, RwLock};
use std::time::Duration;

use crate::host::clock;
use crate::model::invocation::Invocation;

/// How a child ended and what it said.
#[derive(Debug)]
pub struct Output {
    /// `None` when a signal ended it.
    pub code: Option<i32>,
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
}

/// Absolute directories of PATH: a relative one would make the current directory decide what runs.
pub fn search_path() -> OsString {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let sound: Vec<PathBuf> = std::env::split_paths(&path)
        .filter(|p| p.is_absolute())
        .collect();
    let joined = std::env::join_paths(sound).unwrap_or_default();
    if joined.is_empty() {
        return OsString::from("/usr/local/bin:/usr/bin:/bin:/opt/homebrew/bin");
    }
    joined
}

/// Where a program is, if it is installed.
pub fn which(program: &str) -> Option<PathBuf> {
    if program.contains('/') {
        return Some(PathBuf::from(program)).filter(|p| p.is_file());
    }
    std::env::split_paths(&search_path())
        .map(|dir| dir.join(program))
        .find(|p| rustix::fs::access(p, rustix::fs::Access::EXEC_OK).is_ok() && p.is_file())
}

fn environment(extra: &[(String, OsString)]) -> HashMap<OsString, OsString> {
    let mut env = HashMap::new();
    env.insert("PATH".into(), search_path());
    for key in ["HOME", "USER", "LOGNAME", "TMPDIR", "SSH_AUTH_SOCK"] {
        if let Some(value) = std::env::var_os(key) {
            env.insert(key.into(), value);
        }
    }
    env.insert("LC_ALL".into(), "C".into());
    env.insert("TZ".into(), "UTC".into());
    for (key, value) in extra {
        env.insert(key.into(), value.clone());
    }
    env
}

fn expression(what: &Invocation) -> duct::Expression {
    // With its place known it is started without a copy of this process, which costs the more the larger this one is.
    let place = what.program.to_str().and_then(which);
    let program = place.map_or_else(|| what.program.clone(), OsString::from);
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let command = duct::cmd(program, &what.args);
    let command = match &what.dir {
        Some(dir) => command.dir(dir),
        None => command,
    };
    command
        .full_env(environment(&what.env))
        .unchecked()
        .before_spawn(|command| {
            command.process_group(0);
            Ok(())
        })
}

/// Between its fork and its exec a child holds what its parent has open for writing, and a script that is open for writing
/// cannot be started.
static STARTING: RwLock<()> = RwLock::new(());

fn start(what: &duct::Expression) -> io::Result<duct::Handle> {
    let _starting = STARTING
        .read()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    what.start()
}

/// Writes what is to be started later: no child comes into being meanwhile, so nobody keeps it open.
pub fn while_none_starts<T>(write: impl FnOnce() -> T) -> T {
    let _none = STARTING
        .write()
        .unwrap_or_else(std::sync::PoisonError::into_inner);
    write()
}

/// Runs to the end with the given standard input, which may lie in several places, and returns what it said.
pub fn run(what: &Invocation, stdin: &[&[u8]]) -> io::Result<Output> {
    let (child_in, mut pipe) = io::pipe()?;
    let what = expression(what)
        .stdin_file(child_in)
        .stdout_capture()
        .stderr_capture();
    let handle = start(&what)?;
    // It holds the child's end of the pipe, too: while it lives, nobody hears that the child has ended.
    drop(what);
    let out = std::thread::scope(|s| {
        // Who does not want all of it has a reason, and says it.
        s.spawn(move || stdin.iter().try_for_each(|part| pipe.write_all(part)));
        handle.into_output()
    })?;
    Ok(Output {
        code: out.status.code(),
        stdout: out.stdout,
        stderr: out.stderr,
    })
}

/// Puts a program in the place of this one; returns only when that fails.
pub fn replace(what: &Invocation) -> io::Error {
    let mut environment = environment(&what.env);
    for key in ["TERM", "NO_COLOR"] {
        if let Some(value) = std::env::var_os(key) {
            environment.insert(key.into(), value);
        }
    }
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let mut command = std::process::Command::new(&what.program);
    command
        .args(&what.args)
        .env_clear()
        .envs(environment)
        .exec()
}

/// Runs to the end, but not longer than `limit`, and not beyond a wish to stop: then it is ended with all it started.
pub fn run_within(
    what: &Invocation,
    stdin: &[u8],
    stderr: &Path,
    limit: Duration,
) -> io::Result<Output> {
    let mut session = Session::start(what, error_file(stderr)?)?;
    let _ = session.send(stdin);
    let (code, stdout) = session.attended(limit);
    Ok(Output {
        code: code.flatten(),
        stdout,
        stderr: std::fs::read(stderr).unwrap_or_default(),
    })
}

/// Asks a program something that it has to answer soon; no answer in time is an error.
pub fn ask(what: &Invocation, limit: Duration) -> io::Result<Output> {
    let mut said = tempfile::tempfile()?;
    let mut session = Session::start(what, said.try_clone()?)?;
    let (code, stdout) = session.attended(limit);
    let Some(code) = code else {
        if crate::host::signals::stop_wish().is_some() {
            return Err(io::ErrorKind::Interrupted.into());
        }
        let words = format!("no answer within {} s", limit.as_secs_f32());
        return Err(io::Error::new(io::ErrorKind::TimedOut, words));
    };
    let mut stderr = Vec::new();
    said.rewind()?;
    said.read_to_end(&mut stderr)?;
    Ok(Output {
        code,
        stdout,
        stderr,
    })
}

/// Starts this program over in its own place, with one thing more in its environment; goes on when it is there already, or when that
/// fails. For what a library reads before anything of ours runs.
pub fn once_with(key: &str, value: &str) {
    let (None, Some(program)) = (std::env::var_os(key), own_program()) else {
        return;
    };
    #[expect(clippy::disallowed_methods, reason = "this is the door")]
    let mut command = std::process::Command::new(program);
    let _ = command
        .args(std::env::args_os().skip(1))
        .env(key, value)
        .exec();
}

/// This very program, where it lies.
pub fn own_program() -> Option<PathBuf> {
    std::env::current_exe().ok()
}

pub fn user_id() -> u32 {
    rustix::process::getuid().as_raw()
}

/// Asks a process to end by SIGTERM.
pub fn ask_to_end(pid: u32) -> io::Result<()> {
    signal(pid, rustix::process::Signal::TERM)
}

/// Ends a process that does not end when asked.
pub fn kill(pid: u32) -> io::Result<()> {
    signal(pid, rustix::process::Signal::KILL)
}

fn signal(pid: u32, signal: rustix::process::Signal) -> io::Result<()> {
    let pid = i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .ok_or(io::ErrorKind::InvalidInput)?;
    match rustix::process::kill_process(pid, signal) {
        // It has ended by itself, which is what was wanted.
        Ok(()) | Err(rustix::io::Errno::SRCH) => Ok(()),
        Err(e) => Err(e.into()),
    }
}

/// Stops this process and its group, as Ctrl-Z does, until somebody lets it go on.
pub fn suspend_self() {
    let _ = rustix::process::kill_current_process_group(rustix::process::Signal::TSTP);
}

/// This machine's name, without its domain.
pub fn host_name() -> String {
    let name = rustix::system::uname()
        .nodename()
        .to_string_lossy()
        .into_owned();
    name.split('.').next().unwrap_or_default().to_owned()
}

/// The user we run as, for the record.
pub fn user() -> String {
    std::env::var("USER")
        .or_else(|_| std::env::var("LOGNAME"))
        .unwrap_or_else(|_| format!("uid {}", rustix::process::geteuid().as_raw()))
}

/// Whether a process of that number exists.
pub fn is_running(pid: u32) -> bool {
    i32::try_from(pid)
        .ok()
        .and_then(rustix::process::Pid::from_raw)
        .is_some_and(|p| rustix::process::test_kill_process(p) != Err(rustix::io::Errno::SRCH))
}

/// A child that is talked to while it runs.
pub struct Session {
    handle: duct::Handle,
    stdin: Option<PipeWriter>,
    /// Behind a mutex only so that a session may be looked at from several threads.
    chunks: Mutex<Receiver<Vec<u8>>>,
    ended: bool,
}

/// What a wait for output brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    Bytes(Vec<u8>),
    Nothing,
    End,
}

impl Session {
    /// Starts a child; its errors go to a file, so that they outlive us and no pipe of ours can block it.
    pub fn start(what: &Invocation, stderr: File) -> io::Result<Session> {
        let (child_in, stdin) = io::pipe()?;
        let (mut stdout, child_out) = io::pipe()?;
        let what = expression(what)
            .stdin_file(child_in)
            .stdout_file(child_out)
            .stderr_file(stderr);
        let handle = start(&what)?;
        // The expression holds the child's ends of the pipes: while it lives, nobody hears their end.
        drop(what);
        let (send, chunks) = mpsc::sync_channel(64);
        std::thread::spawn(move || {
            let mut buffer = vec![0; 1 << 16];
            while let Ok(n @ 1..) = stdout.read(&mut buffer) {
                if send.send(buffer[..n].to_vec()).is_err() {
                    return;
                }
            }
        });
        Ok(Session {
            handle,
            stdin: Some(stdin),
            chunks: Mutex::new(chunks),
            ended: false,
        })
    }

    pub fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match &mut self.stdin {
            Some(pipe) => pipe.write_all(bytes).and_then(|()| pipe.flush()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }

    /// The pipe itself, for a thread that keeps the child informed.
    pub fn clone_stdin(&self) -> Option<PipeWriter> {
        self.stdin.as_ref()?.try_clone().ok()
    }

    pub fn close_stdin(&mut self) {
        self.stdin = None;
    }

    pub fn hear(&mut self, patience: Duration) -> Heard {
        if self.ended {
            return Heard::End;
        }
        let chunks = match self.chunks.get_mut() {
            Ok(chunks) => chunks,
            Err(poisoned) => poisoned.into_inner(),
        };
        match chunks.recv_timeout(patience) {
            Ok(bytes) => Heard::Bytes(bytes),
            Err(RecvTimeoutError::Timeout) => Heard::Nothing,
            Err(RecvTimeoutError::Disconnected) => {
                self.ended = true;
                Heard::End
            }
        }
    }

    /// Waits for the end at most so long; the exit code (`Some(None)`: a signal), or `None` when it still runs.
    pub fn wait(&mut self, patience: Duration) -> Option<Option<i32>> {
        let until = clock::monotonic() + patience;
        loop {
            match self.handle.try_wait() {
                Ok(Some(out)) => return Some(out.status.code()),
                Ok(None) if clock::monotonic() < until => clock::sleep(Duration::from_millis(1)),
                Ok(None) => return None,
                Err(_) => return Some(None),
            }
        }
    }

    /// What it says until it ends, and its exit code as [`Self::wait`] has it; `None`: it was ended, because it took too long or
    /// somebody wishes to stop.
    fn attended(&mut self, limit: Duration) -> (Option<Option<i32>>, Vec<u8>) {
        self.close_stdin();
        let until = clock::monotonic() + limit;
        let mut stdout = Vec::new();
        loop {
            match self.hear(Duration::from_millis(100)) {
                Heard::Bytes(bytes) => stdout.extend_from_slice(&bytes),
                Heard::End => {
                    if let Some(code) = self.wait(Duration::from_millis(200)) {
                        return (Some(code), stdout);
                    }
                }
                Heard::Nothing => {}
            }
            if clock::monotonic() > until || crate::host::signals::stop_wish().is_some() {
                self.end(Duration::from_millis(500));
                return (None, stdout);
            }
        }
    }

    /// Ends the child and everything it started: TERM, then KILL to its process group.
    pub fn end(&mut self, patience: Duration) {
        self.close_stdin();
        if self.wait(Duration::ZERO).is_some() {
            return;
        }
        self.signal(rustix::process::Signal::TERM);
        if self.wait(patience).is_none() {
            self.signal(rustix::process::Signal::KILL);
            self.wait(Duration::from_secs(5));
        }
    }

    /// Ends it and everything it started, without asking: what must not run code of its own on its way out.
    pub fn kill(&mut self) {
        self.close_stdin();
        if self.wait(Duration::ZERO).is_none() {
            self.signal(rustix::process::Signal::KILL);
            self.wait(Duration::from_secs(5));
        }
    }

    fn signal(&self, signal: rustix::process::Signal) {
        for pid in self.handle.pids() {
            let pid = i32::try_from(pid)
                .ok()
                .and_then(rustix::process::Pid::from_raw);
            if let Some(pid) = pid {
                let _ = rustix::process::kill_process_group(pid, signal);
            }
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        self.end(Duration::from_secs(3));
    }
}

/// A file for the errors of a child, private; they go behind what it holds.
pub fn error_file(path: &Path) -> io::Result<File> {
    use std::os::unix::fs::OpenOptionsExt;
    File::options()
        .read(true)
        .append(true)
        .create(true)
        .mode(0o600)
        .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
        .open(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(script: &str, limit: Duration) -> io::Result<Output> {
        let what = Invocation::new("/bin/sh").args(["-c", script]);
        ask(&what, limit)
    }

    #[test]
    fn who_is_asked_answers_in_time_or_is_ended() {
        let out = asked("echo a; echo b >&2; exit 3", Duration::from_secs(60)).unwrap();
        assert_eq!(out.code, Some(3));
        assert_eq!((&*out.stdout, &*out.stderr), (&b"a\n"[..], &b"b\n"[..]));
        let hangs = asked("sleep 600; echo late", Duration::from_millis(200));
        let why = hangs.unwrap_err();
        assert_eq!(why.kind(), io::ErrorKind::TimedOut);
        assert_eq!(why.to_string(), "no answer within 0.2 s");
    }
}
