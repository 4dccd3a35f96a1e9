//! The worker as `status`, `health` and `stop` see it: what it wrote of itself, and whether it lives.

use serde::Serialize;

use crate::host::{files, process};
use crate::model::policy::Policy;
use crate::model::worker_doc::WorkerDoc;

#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Worker {
    #[serde(flatten)]
    pub doc: WorkerDoc,
    /// It holds its lock: the kernel says so, whatever the file says.
    pub alive: bool,
}

/// `None`: there never was one.
pub fn read(policy: &Policy) -> Option<Worker> {
    let doc = written(policy)?;
    let alive = files::is_locked(&policy.site.state_dir.join(WorkerDoc::LOCK));
    Some(Worker { doc, alive })
}

/// The same for who asks every second: the lock is left alone unless the process exists, so that asking never stands in the way
/// of a worker that starts.
pub fn read_by_process(policy: &Policy) -> Option<Worker> {
    let doc = written(policy)?;
    match doc.ended.is_none() && process::is_running(doc.pid) {
        true => read(policy),
        false => Some(Worker { doc, alive: false }),
    }
}

fn written(policy: &Policy) -> Option<WorkerDoc> {
    let file = policy.site.state_dir.join(WorkerDoc::FILE);
    serde_json::from_slice(&files::read_bounded(&file, 1 << 16).ok()?).ok()
}
