//! A listener that also lets others see how far a run is: it keeps a small file in the state directory while the run lasts.
//!
//! Invariants: what is told never holds up or fails the work; phases are written when they begin, what moves within them now and
//! then; the file is gone when the run is over (a killed run's is known by its process).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::host::{clock, files};
use crate::model::progress::Progress;
use crate::model::record::SCHEMA;
use crate::model::time::rfc3339;
use crate::model::under_way::{UnderWay, Work};

/// Between two writings of what only moves.
const EVERY: Duration = Duration::from_millis(500);

/// Passes on what it hears to the listener it was given, and writes it down.
pub struct Telling {
    inner: Box<dyn Progress>,
    name: Option<String>,
    number: u64,
    sheet: Arc<Sheet>,
}

/// The file of one run, shared by all its works.
struct Sheet {
    file: PathBuf,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    command: String,
    since: String,
    works: BTreeMap<u64, Work>,
    last_number: u64,
    written: Option<Instant>,
}

impl Telling {
    pub fn new(inner: Box<dyn Progress>, state_dir: &Path, command: &str) -> Self {
        Self {
            inner,
            name: None,
            number: 0,
            sheet: Arc::new(Sheet {
                file: state_dir.join(UnderWay::FILE),
                state: Mutex::new(State {
                    command: command.to_owned(),
                    ..State::default()
                }),
            }),
        }
    }

    /// Changes this work on the sheet, and writes the sheet down if it is time or `now`.
    fn note(&self, now: bool, change: impl FnOnce(&mut State)) {
        let mut state = self.sheet.lock();
        change(&mut state);
        let at = clock::monotonic();
        let is_time = state.written.is_none_or(|w| at.duration_since(w) >= EVERY);
        if now || is_time {
            state.written = Some(at);
            self.sheet.write(&state);
        }
    }
}

impl Sheet {
    /// A listener that panicked must not take the run with it.
    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn write(&self, state: &State) {
        let doc = UnderWay {
            schema: SCHEMA,
            pid: std::process::id(),
            command: state.command.clone(),
            since: state.since.clone(),
            works: state.works.values().cloned().collect(),
        };
        let text = serde_json::to_vec(&doc).unwrap_or_default();
        // Nobody needs it more than the work needs to go on.
        let _ = files::write_atomic(&self.file, &text, files::Sync::Later);
    }
}

impl Drop for Sheet {
    fn drop(&mut self) {
        // A run that waited for this one may have begun to tell of itself meanwhile.
        let told = files::read_bounded(&self.file, 1 << 20).unwrap_or_default();
        let is_ours = serde_json::from_slice::<UnderWay>(&told)
            .is_ok_and(|doc| doc.pid == std::process::id());
        if self.lock().written.is_some() && is_ours {
            let _ = files::remove_file(&self.file);
        }
    }
}

impl Progress for Telling {
    fn phase(&self, name: &str, total: Option<u64>) {
        self.inner.phase(name, total);
        let since = rfc3339(clock::now());
        self.note(true, |state| {
            if state.since.is_empty() {
                state.since.clone_from(&since);
            }
            let work = Work {
                name: self.name.clone(),
                phase: name.to_owned(),
                since,
                total,
                ..Work::default()
            };
            state.works.insert(self.number, work);
        });
    }

    fn advance(&self, n: u64) {
        self.inner.advance(n);
        self.note(false, |state| {
            if let Some(work) = state.works.get_mut(&self.number) {
                work.done += n;
            }
        });
    }

    fn message(&self, text: &str) {
        self.inner.message(text);
        self.note(false, |state| {
            if let Some(work) = state.works.get_mut(&self.number) {
                text.clone_into(&mut work.message);
            }
        });
    }

    fn done(&self) {
        self.inner.done();
        let mut state = self.sheet.lock();
        if state.works.remove(&self.number).is_some() {
            self.sheet.write(&state);
        }
    }

    fn beside(&self, name: &str) -> Box<dyn Progress> {
        let mut state = self.sheet.lock();
        state.last_number += 1;
        Box::new(Telling {
            inner: self.inner.beside(name),
            name: Some(name.to_owned()),
            number: state.last_number,
            sheet: Arc::clone(&self.sheet),
        })
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        self.done();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::progress::Silent;

    #[test]
    fn the_file_tells_every_work_and_is_gone_at_the_end() {
        let dir = tempfile::tempdir().unwrap();
        let read = || -> Option<UnderWay> {
            let bytes = std::fs::read(dir.path().join(UnderWay::FILE)).ok()?;
            Some(serde_json::from_slice(&bytes).unwrap())
        };
        let all = Telling::new(Box::new(Silent), dir.path(), "full");
        all.advance(1);
        assert_eq!(
            read(),
            Some(UnderWay {
                works: vec![],
                ..read().unwrap()
            })
        );
        let [one, two] = ["balaur", "disk"].map(|n| all.beside(n));
        one.phase("carrying it out", Some(10));
        one.advance(4);
        two.phase("reading what changed", None);
        let doc = read().unwrap();
        assert_eq!((doc.pid, &*doc.command), (std::process::id(), "full"));
        let works: Vec<_> = doc
            .works
            .iter()
            .map(|w| (w.name.as_deref(), w.done))
            .collect();
        assert_eq!(works, [(Some("balaur"), 4), (Some("disk"), 0)]);
        drop(one);
        assert_eq!(read().unwrap().works.len(), 1);
        drop((two, all));
        assert_eq!(read(), None);
        // Where nothing can be written, nothing is said of it.
        Telling::new(Box::new(Silent), Path::new("/nonexistent"), "full").phase("x", None);
    }
}
