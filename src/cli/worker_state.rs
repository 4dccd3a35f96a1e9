//! The worker as `status`, `health` and `stop` see it: what it wrote of itself, and whether it lives.

use serde_json::{Value, json};

use crate::host::files;
use crate::model::policy::Policy;
use crate::model::worker_doc::WorkerDoc;

pub struct Worker {
    pub doc: WorkerDoc,
    /// It holds its lock: the kernel says so, whatever the file says.
    pub alive: bool,
}

/// `None`: there never was one.
pub fn read(policy: &Policy) -> Option<Worker> {
    let dir = &policy.site.state_dir;
    let bytes = files::read_bounded(&dir.join(WorkerDoc::FILE), 1 << 16).ok()?;
    let doc = serde_json::from_slice(&bytes).ok()?;
    Some(Worker {
        doc,
        alive: files::is_locked(&dir.join(WorkerDoc::LOCK)),
    })
}

impl Worker {
    pub fn json(&self) -> Value {
        let mut doc = json!(self.doc);
        doc["alive"] = json!(self.alive);
        doc
    }
}
