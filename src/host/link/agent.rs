//! A session of the agent script, which stays for as long as a run needs the lock of a host.
//!
//! Invariant: the lock is let go when the session ends, in whatever way it ends.

use std::time::Duration;

use crate::host::process::{Heard, Session};
use crate::host::{clock, shell};
use crate::tool::remote;

/// An open session of the agent script: while it lives, the lock is held.
pub struct Agent {
    pub(super) session: Session,
    pub(super) nonce: String,
    pub(super) heard: Vec<u8>,
    /// Dropped first: its thread holds a copy of the pipe whose end tells the script that we are done.
    pub(super) beat: Option<std::sync::mpsc::Sender<()>>,
    /// When this session made the connection: the shell goes over it, and it ends with its last session.
    pub(super) shell: Option<shell::Place>,
    /// What the login shell printed before our script began.
    pub noise: Vec<u8>,
}

impl Agent {
    pub fn nonce(&self) -> &str {
        &self.nonce
    }

    /// Asks for the host's clock; returns (its nanoseconds, ours before, ours after).
    pub fn clock(&mut self) -> Option<(i128, i128, i128)> {
        let before = clock::now_ns();
        self.session.send(b"clock\n").ok()?;
        let mark = format!("{} CLOCK ", self.nonce);
        let until = clock::monotonic() + Duration::from_secs(10);
        self.heard.clear();
        while clock::monotonic() < until {
            match self.session.hear(Duration::from_millis(50)) {
                Heard::Bytes(b) => self.heard.extend_from_slice(&b),
                Heard::Nothing => {}
                Heard::End => return None,
            }
            if let Some(at) = remote::find(&self.heard, mark.as_bytes()) {
                let rest = &self.heard[at + mark.len()..];
                if let Some(end) = rest.iter().position(|b| *b == b'\n') {
                    let theirs = crate::tool::facts::seconds(&rest[..end])?;
                    return Some((theirs, before, clock::now_ns()));
                }
            }
        }
        None
    }

    /// Whether the session (and with it the lock) still stands.
    pub fn is_open(&mut self) -> bool {
        self.session.wait(Duration::ZERO).is_none()
    }

    /// Says goodbye without waiting for the answer; dropping waits. With two agents both can end at once.
    pub fn dismiss(&mut self) {
        self.beat = None;
        if let Some(shell) = &self.shell {
            shell.close();
        }
        self.session.close_stdin();
    }
}

impl Drop for Agent {
    /// Lets the lock go and waits for that, so that the next run does not meet a lock that is on its way out.
    fn drop(&mut self) {
        self.dismiss();
        self.session.wait(Duration::from_secs(8));
    }
}

/// A line every five seconds, for as long as the returned sender lives.
pub(super) fn beat(session: &Session) -> Option<std::sync::mpsc::Sender<()>> {
    use std::io::Write;
    let mut pipe = session.clone_stdin()?;
    let (keep, gone) = std::sync::mpsc::channel::<()>();
    std::thread::spawn(move || {
        while let Err(std::sync::mpsc::RecvTimeoutError::Timeout) =
            gone.recv_timeout(Duration::from_secs(5))
        {
            if pipe.write_all(b"beat\n").is_err() {
                return;
            }
        }
    });
    Some(keep)
}
