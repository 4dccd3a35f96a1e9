//! `stop`: asks a running sync and the worker to end, and waits until they have. `--now`: they end on the spot.
//!
//! Invariant: a process is signalled only while it holds a lock of this site, so a number that was given away again is never hit.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::Args;

use super::args::Global;
use super::documents;
use super::failure::Failure;
use super::out;
use crate::host::{clock, files, policy_file, process};
use crate::model::exit;
use crate::model::record::SCHEMA;
use crate::model::text::neutral;
use crate::model::worker_doc::WorkerDoc;

/// End a running sync and the worker safely, and wait until they have ended
#[derive(Debug, Args)]
pub struct Stop {
    /// Break off what is under way instead of letting it come to its end; nothing is lost, and the next run goes on from there
    #[arg(long)]
    now: bool,
}

/// A cycle under way needs time to put down what it holds.
const PATIENCE: Duration = Duration::from_secs(60);
/// A second wish ends a process on the spot once it has seen the first, which is sooner than this unless it is stuck.
const SECOND: Duration = Duration::from_millis(1200);
/// Who has not ended by then is killed, which is as safe.
const LAST: Duration = Duration::from_secs(5);

impl Stop {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let dir = &policy.site.state_dir;
        // The worker first, so that it begins no other cycle.
        let locks = [dir.join(WorkerDoc::LOCK), dir.join("lock")];
        let mut asked: Vec<u32> = Vec::new();
        for lock in &locks {
            let Some(holder) = holder(lock)? else {
                continue;
            };
            if !asked.contains(&holder.pid) {
                ask(holder.pid)?;
                if !global.json {
                    out::line(&format!("asked to end: {}", neutral(holder.words.trim())));
                }
                asked.push(holder.pid);
            }
        }
        let start = clock::monotonic();
        let mut killed = Vec::new();
        let ended = match self.now {
            false => wait(&locks, start, global.wait.unwrap_or(PATIENCE)),
            true => insist(&locks, start, &asked, &mut killed)?,
        };
        let code = if ended { exit::DONE } else { exit::FAILED };
        if global.json {
            out::json(&documents::Stop {
                schema: SCHEMA,
                command: "stop",
                asked: &asked,
                killed: &killed,
                ended,
                exit_code: code,
            });
        } else if asked.is_empty() {
            out::line("nothing is running");
        } else if ended {
            if !killed.is_empty() {
                out::line(
                    "it did not listen, and was killed; a service manager that keeps it starts it again: ubos-sync service disable",
                );
            }
            let word = match self.now {
                true => {
                    "ended; what was under way broke off, and the next run goes on from there: ubos-sync full"
                }
                false => "ended; what was done is in the records: ubos-sync runs list",
            };
            out::line(word);
        } else if self.now {
            out::note(
                "it has not ended even when killed: the kernel holds it, most likely in a file system that does not answer",
            );
        } else {
            out::note(
                "it has not ended yet; wait longer: ubos-sync stop --wait 10m; break it off: ubos-sync stop --now",
            );
        }
        Ok(code)
    }
}

/// Until nobody holds any of the locks. Whether that came in time.
fn wait(locks: &[PathBuf], start: Instant, most: Duration) -> bool {
    wait_for(start, most, || !locks.iter().any(|l| files::is_locked(l)))
}

fn wait_for(start: Instant, most: Duration, mut is_over: impl FnMut() -> bool) -> bool {
    loop {
        if is_over() {
            return true;
        }
        if start.elapsed() >= most {
            return false;
        }
        clock::sleep(Duration::from_millis(50));
    }
}

/// Asks those again that were asked, and in the end no more. Who has come since is nobody that was meant.
fn insist(
    locks: &[PathBuf],
    start: Instant,
    asked: &[u32],
    killed: &mut Vec<u32>,
) -> Result<bool, Failure> {
    let holding = || -> Vec<u32> {
        let held = locks.iter().filter_map(|l| holder(l).ok().flatten());
        held.map(|h| h.pid).filter(|p| asked.contains(p)).collect()
    };
    let mut patience = SECOND;
    while !wait_for(start, patience, || holding().is_empty()) {
        if patience > LAST * 2 {
            return Ok(false);
        }
        for pid in holding() {
            if patience < LAST {
                ask(pid)?;
            } else if !killed.contains(&pid) {
                process::kill(pid).map_err(|e| cannot(pid, &e))?;
                killed.push(pid);
            }
        }
        patience += Duration::from_millis(400);
    }
    Ok(true)
}

struct Holder {
    pid: u32,
    words: String,
}

/// Who holds a lock: `pid 4711 on mac, …` are the words in its file.
fn holder(lock: &Path) -> Result<Option<Holder>, Failure> {
    if !files::is_locked(lock) {
        return Ok(None);
    }
    let words = files::read_bounded(lock, 4096).unwrap_or_default();
    let words = String::from_utf8_lossy(&words).into_owned();
    let pid = words
        .strip_prefix("pid ")
        .and_then(|w| w.split(' ').next()?.parse().ok());
    match pid {
        Some(pid) => Ok(Some(Holder { pid, words })),
        // It has ended between the two looks.
        None if !files::is_locked(lock) => Ok(None),
        None => Err(Failure::failed(format!(
            "who holds {} cannot be read there: {}",
            lock.display(),
            neutral(&words)
        ))),
    }
}

fn ask(pid: u32) -> Result<(), Failure> {
    process::ask_to_end(pid).map_err(|e| cannot(pid, &e))
}

fn cannot(pid: u32, e: &std::io::Error) -> Failure {
    Failure::failed(format!(
        "process {pid} cannot be asked to end: {e}; it belongs to another user, or has just ended"
    ))
}
