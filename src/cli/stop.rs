//! `stop`: asks a running sync and the worker to end, and waits until they have.

use std::time::Duration;

use clap::Args;
use serde_json::json;

use super::args::Global;
use super::failure::Failure;
use super::out;
use crate::host::{clock, files, policy_file, process};
use crate::model::exit;
use crate::model::record::SCHEMA;
use crate::model::text::neutral;
use crate::model::worker_doc::WorkerDoc;

/// End a running sync and the worker safely, and wait until they have ended
#[derive(Debug, Args)]
pub struct Stop {}

/// A cycle under way needs time to put down what it holds.
const PATIENCE: Duration = Duration::from_secs(60);

impl Stop {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let dir = &policy.site.state_dir;
        let locks = [dir.join(WorkerDoc::LOCK), dir.join("lock")];
        let mut asked: Vec<u32> = Vec::new();
        // The worker first, so that it begins no other cycle.
        for lock in locks.iter().filter(|l| files::is_locked(l)) {
            let words = files::read_bounded(lock, 4096).unwrap_or_default();
            let words = String::from_utf8_lossy(&words).into_owned();
            let Some(pid) = pid_of(&words) else {
                return Err(Failure::failed(format!(
                    "who holds {} cannot be read there: {}",
                    lock.display(),
                    neutral(&words)
                )));
            };
            if !asked.contains(&pid) {
                process::ask_to_end(pid).map_err(|e| {
                    Failure::failed(format!("process {pid} cannot be asked to end: {e}; it belongs to another user, or has just ended"))
                })?;
                if !global.json {
                    out::line(&format!("asked to end: {}", neutral(words.trim())));
                }
                asked.push(pid);
            }
        }
        let until = clock::monotonic() + global.wait.unwrap_or(PATIENCE);
        let mut ended = false;
        while !ended && clock::monotonic() < until {
            ended = !locks.iter().any(|l| files::is_locked(l));
            if !ended {
                clock::sleep(Duration::from_millis(50));
            }
        }
        let code = if ended { exit::DONE } else { exit::FAILED };
        if global.json {
            out::json(&json!({
                "schema": SCHEMA, "command": "stop", "asked": asked, "ended": ended, "exit_code": code,
            }));
        } else if asked.is_empty() {
            out::line("nothing is running");
        } else if ended {
            out::line("ended; what was done is in the records: ubos-sync runs list");
        } else {
            out::note("it has not ended yet; wait longer: ubos-sync stop --wait 10m");
        }
        Ok(code)
    }
}

/// The holder of a lock, from the words in its file: `pid 4711 on mac, …`.
fn pid_of(words: &str) -> Option<u32> {
    words.strip_prefix("pid ")?.split(' ').next()?.parse().ok()
}
