//! A link to a host: the way to run our scripts there, and to start the engine's far half.
//!
//! Invariants: all work on a peer goes over one ssh connection; a local peer is driven by the same scripts. A reply is
//! only believed when it is framed by the nonce of its own call.

mod agent;
pub mod ear;
mod starters;

pub use agent::Agent;
use agent::beat;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::Scope;
use std::time::Duration;

use crate::host::process::{self, Heard, Session};
use crate::host::{clock, shell, signals};
use crate::model::invocation::Invocation;
use crate::model::policy::Remote;
use crate::tool::{remote, ssh};

/// Silence longer than this means that the far shell hangs.
const SILENCE: Duration = Duration::from_secs(120);

#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    #[error("{message}")]
    Offline { message: String, hint: String },
    #[error("{message}")]
    Failed { message: String, hint: String },
    /// It broke off, which may not happen again.
    #[error("{message}")]
    Lost { message: String, hint: String },
    #[error("stopped by a signal")]
    Stopped,
}

impl LinkError {
    /// What to type next.
    pub fn hint(&self) -> String {
        match self {
            Self::Offline { hint, .. } | Self::Failed { hint, .. } | Self::Lost { hint, .. } => {
                hint.clone()
            }
            Self::Stopped => String::new(),
        }
    }

    pub fn failed(message: impl Into<String>, hint: impl Into<String>) -> Self {
        Self::Failed {
            message: message.into(),
            hint: hint.into(),
        }
    }
}

/// How a host is reached.
#[derive(Debug, Clone)]
pub struct Link {
    /// For messages: the site or peer name.
    pub name: String,
    way: Way,
    /// Serves the small scripts of this link and its clones.
    shell: shell::Place,
}

#[derive(Debug, Clone)]
enum Way {
    Local,
    Ssh {
        remote: Remote,
        socket: PathBuf,
        persist: u64,
        timeout: u64,
        /// Whether a session of this run has made the connection already.
        made: Arc<AtomicBool>,
    },
}

/// Holds the shared connection open: the shell's session made it.
pub struct Keeper {
    shell: shell::Place,
}

impl Drop for Keeper {
    fn drop(&mut self) {
        self.shell.close();
    }
}

/// What is done while a script that stays gives its first answer.
pub struct Meanwhile<'a> {
    /// Other scripts will follow, so that their shell is started as soon as there is a connection.
    pub more: &'a AtomicBool,
    /// Hears what comes before a list, when there is one.
    pub head: &'a (dyn Fn(&[u8]) + Sync),
}

/// The first answer of a script that stays.
struct Answer {
    nonce: String,
    noise: Vec<u8>,
    body: Vec<u8>,
}

impl Link {
    pub fn local(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            way: Way::Local,
            shell: shell::Place::default(),
        }
    }

    pub fn ssh(name: &str, remote: &Remote, socket: PathBuf, persist: u64, timeout: u64) -> Self {
        Self {
            name: name.to_owned(),
            way: Way::Ssh {
                remote: remote.clone(),
                socket,
                persist,
                timeout,
                made: Arc::default(),
            },
            shell: shell::Place::default(),
        }
    }

    pub fn is_remote(&self) -> bool {
        matches!(self.way, Way::Ssh { .. })
    }

    fn invocation(&self, first: bool) -> Invocation {
        match &self.way {
            Way::Local => Invocation::new("/bin/sh").args(["-c", remote::LOADER]),
            Way::Ssh {
                remote: r,
                socket,
                persist,
                timeout,
                made,
            } => Invocation::new("ssh").args(if first && !made.load(Ordering::Acquire) {
                ssh::first_session(r, socket, *persist, *timeout)
            } else {
                ssh::session(r, socket, remote::REMOTE_COMMAND)
            }),
        }
    }

    /// Runs a script to its end; returns what it said between its frame.
    pub fn call(
        &self,
        script: &str,
        parameters: &[&str],
        data: &[u8],
    ) -> Result<Vec<u8>, LinkError> {
        self.call_with_nonce(script, parameters, data)
            .map(|(body, _)| body)
    }

    /// As [`Link::call`], with the nonce that frames parts inside the answer.
    pub fn call_with_nonce(
        &self,
        script: &str,
        parameters: &[&str],
        data: &[u8],
    ) -> Result<(Vec<u8>, String), LinkError> {
        self.send(script, parameters, nonce(), &[data])
    }

    /// As [`Link::call`], for two kinds of data; a line of this mark, behind the nonce, tells where the second begins.
    pub fn call_with(
        &self,
        script: &str,
        parameters: &[&str],
        (first, mark, second): (&[u8], &str, &[u8]),
    ) -> Result<Vec<u8>, LinkError> {
        let nonce = nonce();
        let between = format!("{nonce} {mark}\n");
        let data = [first, between.as_bytes(), second];
        self.send(script, parameters, nonce, &data)
            .map(|(body, _)| body)
    }

    /// The data stays where it is: what is long is handed to several hosts.
    fn send(
        &self,
        script: &str,
        parameters: &[&str],
        nonce: String,
        data: &[&[u8]],
    ) -> Result<(Vec<u8>, String), LinkError> {
        let mut all = vec![nonce.as_str()];
        all.extend(parameters);
        let parameters = remote::lines(&all).ok_or_else(|| self.unsendable())?;
        let input = [&[parameters.as_slice()], data].concat();
        let how = || self.invocation(false);
        let (stdout, stderr) = match self.shell.run(&how, &nonce, script, &input) {
            Some(said) => said.map(|s| (s.stdout, s.stderr)),
            None => {
                let script = remote::loaded(script);
                let all = [&[script.as_slice()], &input[..]].concat();
                process::run(&how(), &all).map(|o| (o.stdout, o.stderr))
            }
        }
        .map_err(|e| self.not_started(&e))?;
        match remote::unframed(stdout, &nonce) {
            Some((_, body)) => Ok((body, nonce)),
            None if signals::stop_wish().is_some() => Err(LinkError::Stopped),
            None => Err(self.broken(&stderr)),
        }
    }

    /// Makes the connection, by the session of the shell, and keeps it until the result is dropped. `None`: this machine needs none.
    pub fn keep(&self) -> Result<Option<Keeper>, LinkError> {
        let Way::Ssh { made, .. } = &self.way else {
            return Ok(None);
        };
        let opened = self.shell.open(&self.invocation(true), &nonce());
        match opened.map_err(|e| self.not_started(&e))? {
            Err(_) if signals::stop_wish().is_some() => return Err(LinkError::Stopped),
            Err(stderr) => return Err(self.broken(&stderr)),
            Ok(()) => {}
        }
        made.store(true, Ordering::Release);
        Ok(Some(Keeper {
            shell: self.shell.clone(),
        }))
    }

    /// Whether the connection that [`Link::keep`] made still carries an answer, which is waited for at most so long. One that does
    /// not is cut.
    pub fn is_kept(&self, patience: Duration) -> bool {
        self.shell.answers(&nonce(), patience)
    }

    /// Cuts the connection that [`Link::keep`] made, without a word to the other side.
    pub fn cut(&self) {
        self.shell.cut();
    }

    /// Starts a script that holds something until the result is dropped; what it said first, and the nonce of that answer.
    pub fn hold(
        &self,
        script: &str,
        parameters: &[&str],
        stderr: &Path,
    ) -> Result<(Agent, Vec<u8>), LinkError> {
        let meanwhile = Meanwhile {
            more: &AtomicBool::new(false),
            head: &|_| {},
        };
        let held = self.agent(script, parameters, stderr, &meanwhile)?;
        if let Way::Ssh { made, .. } = &self.way {
            // It stays as long as the connection is needed.
            made.store(true, Ordering::Release);
        }
        Ok(held)
    }

    /// Opens the agent and waits for its first answer (everything up to its END). The next attempt, should this one find a lock,
    /// has to make the connection again.
    pub fn open_agent(
        &self,
        parameters: &[&str],
        stderr: &Path,
        meanwhile: &Meanwhile,
    ) -> Result<(Agent, Vec<u8>), LinkError> {
        self.agent(remote::AGENT, parameters, stderr, meanwhile)
    }

    fn agent(
        &self,
        script: &str,
        parameters: &[&str],
        stderr: &Path,
        meanwhile: &Meanwhile,
    ) -> Result<(Agent, Vec<u8>), LinkError> {
        let makes = match &self.way {
            Way::Local => false,
            Way::Ssh { made, .. } => !made.load(Ordering::Acquire),
        };
        let (session, Answer { nonce, noise, body }) =
            std::thread::scope(|s| self.begin(script, parameters, stderr, (meanwhile, s)))?;
        let beat = beat(&session);
        let agent = Agent {
            session,
            nonce,
            heard: Vec::new(),
            beat,
            shell: makes.then(|| self.shell.clone()),
            noise,
        };
        Ok((agent, body))
    }

    /// Starts a script that stays, and waits for its first answer (everything up to its END).
    fn begin<'s>(
        &'s self,
        script: &str,
        parameters: &[&str],
        stderr: &Path,
        (meanwhile, threads): (&Meanwhile, &'s Scope<'s, '_>),
    ) -> Result<(Session, Answer), LinkError> {
        let nonce = nonce();
        let mut all = vec![nonce.as_str()];
        all.extend(parameters);
        let stdin = remote::encode(script, &all).ok_or_else(|| self.unsendable())?;
        let file = process::error_file(stderr).map_err(|e| {
            LinkError::failed(
                format!("cannot write {}: {e}", stderr.display()),
                "ls -ld the directory",
            )
        })?;
        let mut session = Session::start(&self.invocation(true), file).map_err(|e| {
            LinkError::failed(
                format!("cannot start ssh for {}: {e}", self.name),
                "install openssh-client",
            )
        })?;
        // A connection that failed is read from its error text below, not from a broken pipe.
        let _ = session.send(&stdin);
        let end = format!("{nonce} END\n");
        let list = format!("{nonce} SWEEP ");
        let mut is_head_heard = false;
        let mut heard = Vec::new();
        let mut last = clock::monotonic();
        loop {
            match session.hear(Duration::from_millis(100)) {
                Heard::Bytes(bytes) => {
                    if heard.is_empty() && meanwhile.more.load(Ordering::Acquire) {
                        threads.spawn(|| {
                            self.shell
                                .prepare(&|| self.invocation(false), &self::nonce());
                        });
                    }
                    let from = heard.len().saturating_sub(end.len().max(list.len()));
                    heard.extend_from_slice(&bytes);
                    last = clock::monotonic();
                    if !is_head_heard
                        && let Some(at) = remote::find(&heard[from..], list.as_bytes())
                    {
                        is_head_heard = true;
                        let begin = remote::begun(&heard[..from + at], &nonce);
                        (meanwhile.head)(begin.unwrap_or_default());
                    }
                    if remote::find(&heard[from..], end.as_bytes()).is_some() {
                        break;
                    }
                }
                Heard::Nothing if signals::stop_wish().is_some() => return Err(LinkError::Stopped),
                Heard::Nothing if last.elapsed() < SILENCE => {}
                Heard::Nothing => {
                    return Err(LinkError::Lost {
                        message: format!(
                            "{} has said nothing for {} s",
                            self.name,
                            SILENCE.as_secs()
                        ),
                        hint: format!("ubos-sync doctor {}", self.name),
                    });
                }
                Heard::End => {
                    session.wait(Duration::from_secs(2));
                    return Err(self.broken(&std::fs::read(stderr).unwrap_or_default()));
                }
            }
        }
        let (noise, body) = remote::unframed(heard, &nonce).ok_or_else(|| self.broken(b""))?;
        Ok((session, Answer { nonce, noise, body }))
    }

    fn not_started(&self, e: &std::io::Error) -> LinkError {
        LinkError::failed(
            format!("cannot start a shell for {}: {e}", self.name),
            "ubos-sync doctor",
        )
    }

    fn unsendable(&self) -> LinkError {
        LinkError::failed(
            format!(
                "a path for {} holds a line break and cannot be used",
                self.name
            ),
            "rename it",
        )
    }

    fn broken(&self, stderr: &[u8]) -> LinkError {
        let said = String::from_utf8_lossy(stderr).into_owned();
        let full = [
            "No space left on device",
            "Disk quota exceeded",
            "printf: I/O error",
        ];
        if full.iter().any(|f| said.contains(f)) {
            return LinkError::failed(
                format!("no room is left on a disk of {}", self.name),
                format!("on {}: df -h", self.name),
            );
        }
        match &self.way {
            Way::Ssh { remote, .. } => {
                let (what, message, hint) = ssh::explain_failure(remote, &said);
                match what {
                    ssh::Failure::Away => LinkError::Offline { message, hint },
                    ssh::Failure::Refused => LinkError::Failed { message, hint },
                    ssh::Failure::Broken => LinkError::Lost { message, hint },
                }
            }
            Way::Local => LinkError::failed(
                format!(
                    "a local script stopped half-way: {}",
                    crate::model::text::neutral(said.trim().lines().last().unwrap_or("no message"))
                ),
                "ubos-sync doctor",
            ),
        }
    }
}

/// 128 random bits in hex: frames replies so that nothing a file is called can imitate them.
pub fn nonce() -> String {
    use std::hash::{BuildHasher, Hasher, RandomState};
    let half = || RandomState::new().build_hasher().finish();
    format!("{:016x}{:016x}", half(), half())
}
