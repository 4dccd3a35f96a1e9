//! One unison process, talked to item by item: it shows what it would do, gets the plan's answer to each, and waits at its last
//! question until the guards have spoken.
//!
//! Invariants: it only ever runs on this run's copy of the archives; an item that was not asked for is skipped; nothing is
//! changed before [`Engine::proceed`], and dropping an [`Engine`] changes nothing.

use std::collections::{HashMap, HashSet};
use std::io::Write;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::process::{self, Heard, Session};
use crate::host::{clock, signals};
use crate::lanes::truth::ends::Ends;
use crate::model::invocation::Invocation;
use crate::model::path::RelPath;
use crate::model::plan::Side;
use crate::model::progress::Progress;
use crate::model::scope::Item;
use crate::tool::remote;
use crate::tool::unison::{self, Fatal, Prompt, RunProfile, Shown};

/// How long an engine may stay silent before it has asked its last question.
const SILENCE: Duration = Duration::from_secs(600);

#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    #[error("the engine's archives are damaged: {0}")]
    Archives(String),
    #[error("the connection to the peer was lost: {0}")]
    Lost(String),
    #[error("unison stopped: {0}")]
    Failed(String),
    #[error("stopped by a signal")]
    Stopped,
}

impl From<Fatal> for EngineError {
    fn from(f: Fatal) -> Self {
        match f {
            Fatal::Archives(s) => EngineError::Archives(s),
            Fatal::LostConnection(s) => EngineError::Lost(s),
            Fatal::Other(s) => EngineError::Failed(s),
        }
    }
}

/// What an engine process needs to know.
pub struct Job<'a> {
    pub profile: &'a [u8],
    pub rundir: &'a Path,
    pub peer_rundir: &'a str,
    pub number: usize,
    pub items: &'a [Item],
    pub ignore: &'a [RelPath],
    pub backup_not: &'a [RelPath],
    pub keep_marker_check: bool,
}

/// An engine at its last question.
pub struct Engine {
    session: Session,
    err_path: PathBuf,
    pub argv: Vec<String>,
    /// Everything it showed, with whether it was answered (or skipped as unasked).
    pub shown: Vec<(Shown, bool)>,
    at_question: bool,
    /// What it printed after the last question.
    pub tail: Vec<u8>,
}

/// How a process that was let go on has ended.
#[derive(Debug)]
pub struct Ended {
    pub code: Option<i32>,
    pub failures: HashMap<Vec<u8>, String>,
}

/// Starts an engine on the given items and answers each as planned. One that finds nothing to do has ended and does not wait.
pub fn ask(ends: &Ends, job: &Job, progress: &dyn Progress) -> Result<Engine, EngineError> {
    let (invocation, err_path) =
        lay_out(ends, job).map_err(|e| EngineError::Failed(e.to_string()))?;
    let stderr = process::error_file(&err_path).map_err(|e| EngineError::Failed(e.to_string()))?;
    let session =
        Session::start(&invocation, stderr).map_err(|e| EngineError::Failed(e.to_string()))?;
    let mut engine = Engine {
        session,
        err_path,
        argv: invocation.argv(),
        shown: Vec::new(),
        at_question: false,
        tail: Vec::new(),
    };
    let asked: HashMap<Vec<u8>, Side> = job
        .items
        .iter()
        .map(|i| (i.path.as_bytes().to_vec(), i.to))
        .collect();
    let (mut seen, mut repeated) = (HashSet::new(), 0);
    let mut heard: Vec<u8> = Vec::new();
    let mut last = clock::monotonic();
    loop {
        match engine.session.hear(Duration::from_millis(100)) {
            Heard::Bytes(bytes) => {
                heard.extend_from_slice(&bytes);
                last = clock::monotonic();
            }
            Heard::Nothing if signals::stop_wish().is_some() => return Err(EngineError::Stopped),
            Heard::Nothing if last.elapsed() < SILENCE => continue,
            Heard::Nothing => {
                return Err(EngineError::Failed("it said nothing for 10 minutes".into()));
            }
            Heard::End => return engine.ended_early(&heard),
        }
        let answer: &[u8] = match unison::parse_prompt(&heard, &asked) {
            Prompt::NotYet => continue,
            Prompt::PressReturn => unison::RETURN,
            Prompt::Other => unison::QUIT,
            Prompt::Proceed => {
                engine.at_question = true;
                return Ok(engine);
            }
            Prompt::Item(shown) => {
                // A directory's mode shows whatever differs below it, which may be any number, but each once.
                if !seen.insert(shown.path.clone()) {
                    repeated += 1;
                }
                if repeated > 1000 {
                    return Err(EngineError::Failed(
                        "it keeps asking about the same items".into(),
                    ));
                }
                progress.advance(1);
                let to = asked.get(&shown.path).copied();
                engine.shown.push((shown, to.is_some()));
                to.map_or(unison::SKIP, unison::answer)
            }
        };
        heard.clear();
        if engine.session.send(answer).is_err() {
            return engine.ended_early(&heard);
        }
    }
}

impl Engine {
    /// Whether it has something to do, and waits to be let go on.
    pub fn is_waiting(&self) -> bool {
        self.at_question
    }

    fn ended_early(mut self, heard: &[u8]) -> Result<Engine, EngineError> {
        let code = self.session.wait(Duration::from_secs(10)).flatten();
        let said = String::from_utf8_lossy(&self.said()).into_owned();
        match code {
            // Nothing to do, or nothing that it would propagate.
            Some(0 | 1) if !said.contains("rror:") => {
                self.tail = heard.to_vec();
                Ok(self)
            }
            _ => Err(unison::fatal(&format!("{said}\n{}", String::from_utf8_lossy(heard))).into()),
        }
    }

    /// Everything it wrote to its error stream so far.
    pub fn said(&self) -> Vec<u8> {
        crate::host::files::read_bounded(&self.err_path, 1 << 28).unwrap_or_default()
    }

    /// Lets it do what was answered, and waits for its end. `patience` is how long it may make no progress.
    pub fn proceed(
        &mut self,
        patience: Duration,
        progress: &dyn Progress,
        still_locked: &mut dyn FnMut() -> bool,
    ) -> Result<Ended, EngineError> {
        if !self.at_question {
            return Ok(Ended {
                code: Some(0),
                failures: HashMap::new(),
            });
        }
        self.at_question = false;
        self.session
            .send(unison::YES)
            .map_err(|e| EngineError::Lost(e.to_string()))?;
        let mut last = clock::monotonic();
        let mut written = 0;
        loop {
            match self.session.hear(Duration::from_millis(200)) {
                Heard::Bytes(bytes) => {
                    self.tail.extend_from_slice(&bytes);
                    last = clock::monotonic();
                }
                Heard::Nothing => {
                    let size = std::fs::metadata(&self.err_path).map_or(0, |m| m.len());
                    if size != written {
                        progress.message(&self.current());
                        written = size;
                        last = clock::monotonic();
                    }
                    if signals::stop_wish().is_some() {
                        self.session.end(Duration::from_secs(10));
                        return Err(EngineError::Stopped);
                    }
                    if last.elapsed() > patience {
                        self.session.end(Duration::from_secs(10));
                        return Err(EngineError::Failed(format!(
                            "no progress for {} min",
                            patience.as_secs() / 60
                        )));
                    }
                    if !still_locked() {
                        self.session.end(Duration::from_secs(3));
                        return Err(EngineError::Lost(
                            "the lock's session on a host ended".into(),
                        ));
                    }
                }
                Heard::End => break,
            }
        }
        let code = self.session.wait(Duration::from_secs(30)).flatten();
        let failures = unison::failures(&self.tail);
        if !matches!(code, Some(0..=2)) {
            return Err(unison::fatal(&String::from_utf8_lossy(&self.said())).into());
        }
        Ok(Ended { code, failures })
    }

    /// The last thing it began, for a progress line.
    fn current(&self) -> String {
        let said = self.said();
        let line = said
            .split(|b| *b == b'\n')
            .rev()
            .find(|l| l.starts_with(b"[BGN] "));
        let line = line.map_or(&b""[..], |l| &l[6..]);
        let cut = remote::find(line, b" from ").unwrap_or(line.len());
        crate::model::text::neutral_bytes(&line[..cut])
    }
}

/// Writes the profile and the ssh stand-in into the run's folder; returns the command line.
fn lay_out(ends: &Ends, job: &Job) -> std::io::Result<(Invocation, PathBuf)> {
    let starter = ends.scratch.join("start");
    write_private(
        &starter,
        ends.peer.link.engine_starter(job.peer_rundir).as_bytes(),
        0o700,
    )?;
    let regex = |paths: &[RelPath]| {
        paths
            .iter()
            .map(|p| crate::model::glob::literal_regex(p.as_bytes()))
            .collect()
    };
    let mut profile = unison::run_profile(
        job.profile,
        &RunProfile {
            local_root: ends.local.said.root.as_deref().unwrap_or_default(),
            peer_name: ends.peer.name,
            peer_root: ends.peer.said.root.as_deref().unwrap_or_default(),
            starter: &starter.display().to_string(),
            keep_marker_check: job.keep_marker_check,
            ignore: regex(job.ignore),
            backup_not: regex(job.backup_not),
        },
    );
    let mut odd: Vec<std::ffi::OsString> = Vec::new();
    for path in unison::paths_for(job.items.iter().map(|i| i.path.as_bytes())) {
        if unison::fits_profile(path) {
            profile.extend_from_slice(b"path = ");
            profile.extend_from_slice(path);
            profile.push(b'\n');
        } else {
            use std::os::unix::ffi::OsStringExt;
            odd.push("-path".into());
            odd.push(std::ffi::OsString::from_vec(path.to_vec()));
        }
    }
    let name = format!("ubos{}", job.number);
    write_private(
        &job.rundir.join("unison").join(format!("{name}.prf")),
        &profile,
        0o600,
    )?;
    let invocation = Invocation::new("/bin/sh")
        .args([job.rundir.join("engine.sh").display().to_string()])
        .args([name.as_str(), "-ui", "text", "-terse"])
        .args(odd);
    Ok((
        invocation,
        job.rundir.join(format!("engine.{}.err", job.number)),
    ))
}

fn write_private(path: &Path, bytes: &[u8], mode: u32) -> std::io::Result<()> {
    crate::host::process::while_none_starts(|| {
        let mut file = std::fs::File::options()
            .write(true)
            .create(true)
            .truncate(true)
            .mode(mode)
            .custom_flags(rustix::fs::OFlags::NOFOLLOW.bits().cast_signed())
            .open(path)?;
        file.set_permissions(std::fs::Permissions::from_mode(mode))?;
        file.write_all(bytes)
    })
}
