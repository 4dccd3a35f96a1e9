//! New bytes of one log into a stage beside it, by real rsync over the shared connection, compared with the other side.
//!
//! Invariants: the log itself is never rsync's destination; a stage is only believed when the other side's hashes say the same;
//! rsync is ended by SIGKILL to its group, because it writes on its way out.

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::log_files::{self, Sums};
use crate::host::process::{self, Heard, Session};
use crate::host::{clock, signals};
use crate::lanes::log::held::Log;
use crate::lanes::log::probe::{self, Item, There};
use crate::lanes::reach::Reach;
use crate::lanes::truth::room::LEAST;
use crate::model::log_state::{Range, window};
use crate::model::policy::{Compress, Peer};
use crate::model::progress::Progress;
use crate::model::thread::joined;
use crate::tool::rsync::{self, End, Flavour, Pull};

/// An old rsync reads the whole prefix on both sides before it says anything: it may stand still so many times longer.
const OLD: u32 = 8;

/// What all pulls of a peer share.
pub struct Way<'a> {
    /// The run that pulls.
    pub run: &'a str,
    pub peer: &'a Peer,
    pub reach: &'a Reach,
    pub program: PathBuf,
    pub flavour: Flavour,
    /// Whether the line is slow enough for compression to pay.
    pub is_slow: bool,
    pub progress: &'a dyn Progress,
}

/// Bytes behind `at` that are proven to be the other side's.
pub struct Staged {
    _dir: tempfile::TempDir,
    pub file: PathBuf,
    pub at: u64,
    pub end: u64,
    pub mtime_ns: i128,
    /// Of a stage that begins at the beginning.
    pub sums: Option<Sums>,
    /// Whether there is more, which did not come this time.
    pub is_cut: bool,
    pub why_cut: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PullError {
    /// The log is not what it was when it was looked at.
    Moved(String),
    /// The connection broke before anything came.
    Broke(String),
    Failed(String),
    Stopped,
}

/// That the disk under a log is full, when it is.
fn full(log: &Log) -> Option<String> {
    let free = log_files::free(&log.local).filter(|f| *f < LEAST)?;
    Some(format!(
        "the disk under {} is full: {} are free",
        log.local.parent().unwrap_or(Path::new("/")).display(),
        crate::model::text::size(free)
    ))
}

/// Why a file beside a log could not be written.
pub fn unwritten(log: &Log, e: &std::io::Error) -> PullError {
    let is_full = e.kind() == std::io::ErrorKind::StorageFull;
    let full = full(log).filter(|_| is_full);
    PullError::Failed(full.unwrap_or_else(|| e.to_string()))
}

/// Pulls what is behind `at` of `remote` (or of all of it) for the log, whose bytes before `at` are equal to the remote's.
pub fn pull(way: &Way, log: &Log, remote: &[u8], at: u64) -> Result<Staged, PullError> {
    let failed = |e: std::io::Error| {
        PullError::Failed(format!("no stage beside {}: {e}", log.local.display()))
    };
    log_files::make_way(&log.local).map_err(failed)?;
    let dir = log_files::stage_dir(&log.local).map_err(failed)?;
    let source = Log {
        remote: remote.to_owned(),
        ..log.clone()
    };
    let (parent, name) = source.remote_parts();
    let file = dir.path().join(std::ffi::OsStr::from_bytes(name));
    if at > 0 {
        match way.flavour {
            Flavour::Modern { .. } => log_files::stub(&file, at),
            Flavour::Old => log_files::clone(&log.local, &file),
        }
        .map_err(failed)?;
    }
    let done = transfer(way, parent, name, dir.path(), &file, at)?;
    let mut end = log_files::size(&file);
    let clean = done.end() == End::Fine;
    let why = || full(log).unwrap_or_else(|| done.meaning());
    if clean && end == 0 {
        // An empty log leaves no file behind.
        let _ = log_files::extend(&file, b"");
    }
    if end <= at && !clean {
        let why = why();
        return Err(match done.end() {
            End::Transient => PullError::Broke(why),
            _ => PullError::Failed(why),
        });
    }
    end = end.max(at);
    let (mtime_ns, sums) = compare(way, log, remote, &file, (at, end))?;
    Ok(Staged {
        _dir: dir,
        file,
        at,
        end,
        mtime_ns,
        sums,
        is_cut: !clean,
        why_cut: (!clean).then(why),
    })
}

/// How an rsync came to its end.
enum Transferred {
    Ended(Option<i32>),
    /// It was ended because nothing moved: why, in words.
    Stalled(String),
}

impl Transferred {
    fn end(&self) -> End {
        match self {
            Transferred::Ended(code) => rsync::end_of(*code),
            Transferred::Stalled(_) => End::Transient,
        }
    }

    fn meaning(&self) -> String {
        match self {
            Transferred::Ended(code) => rsync::meaning(*code),
            Transferred::Stalled(why) => why.clone(),
        }
    }
}

fn transfer(
    way: &Way,
    parent: &[u8],
    name: &[u8],
    stage_dir: &Path,
    stage: &Path,
    at: u64,
) -> Result<Transferred, PullError> {
    let failed = |e: std::io::Error| PullError::Failed(format!("rsync cannot be started: {e}"));
    let scratch = tempfile::Builder::new()
        .prefix("pull-")
        .tempdir_in(way.reach.scratch.path())
        .map_err(failed)?;
    let starter = way
        .reach
        .link
        .rsync_starter(&far_dir(&way.peer.root, parent), &way.peer.rsync);
    log_files::write_for_child(&scratch.path().join("rsh"), starter.as_bytes(), 0o700)
        .map_err(failed)?;
    // `./` keeps a name that begins with `#` or `-` from meaning anything.
    let listed = [b"./", name, b"\0"].concat();
    log_files::write_for_child(&scratch.path().join("name"), &listed, 0o600).map_err(failed)?;
    let what = rsync::pull(&Pull {
        program: &way.program,
        flavour: way.flavour,
        bwlimit: way.peer.bwlimit,
        compress: way.is_slow && way.peer.compress == Compress::Auto,
        scratch: scratch.path(),
        stage_dir,
    });
    let errors = process::error_file(&scratch.path().join("err")).map_err(failed)?;
    let mut session = Session::start(&what, errors).map_err(failed)?;
    session.close_stdin();
    let patience = match way.flavour {
        Flavour::Modern { .. } => way.peer.stall,
        Flavour::Old => way.peer.stall * OLD,
    };
    let (mut seen, mut last) = (at, clock::monotonic());
    loop {
        match session.hear(Duration::from_millis(100)) {
            Heard::End => break,
            Heard::Bytes(_) => last = clock::monotonic(),
            Heard::Nothing => {}
        }
        let size = log_files::size(stage);
        if size > seen {
            way.progress.advance(size - seen);
            (seen, last) = (size, clock::monotonic());
        }
        if signals::stop_wish().is_some() {
            session.kill();
            return Err(PullError::Stopped);
        }
        if last.elapsed() > patience {
            session.kill();
            let seconds = patience.as_secs();
            return Ok(Transferred::Stalled(format!(
                "nothing has moved for {seconds} s ([[peer]] stall)"
            )));
        }
    }
    let code = session.wait(Duration::from_secs(10)).flatten();
    way.progress
        .advance(log_files::size(stage).saturating_sub(seen));
    Ok(Transferred::Ended(code))
}

/// The directory of a log over there, as a shell that starts at home reads it.
fn far_dir(root: &str, parent: &[u8]) -> Vec<u8> {
    match parent.first() {
        Some(b'/') => parent.to_owned(),
        None if root.is_empty() => b".".to_vec(),
        None => root.as_bytes().to_vec(),
        Some(_) => [root.as_bytes(), b"/", parent].concat(),
    }
}

/// Whether the other side has the very same bytes, all of the new ones and the window before them; its time when it has. Both
/// sides read at the same time.
fn compare(
    way: &Way,
    log: &Log,
    remote: &[u8],
    stage: &Path,
    (at, end): (u64, u64),
) -> Result<(i128, Option<Sums>), PullError> {
    let (from, before) = window(at);
    let range: Range = (from, before + (end - at));
    let item = Item {
        path: remote.to_owned(),
        ranges: Vec::from_iter((range.1 > 0).then_some(range)),
        ..Item::default()
    };
    let is_new = at == 0 && end > 0;
    let (answer, ours, settled, sums) = std::thread::scope(|s| {
        // It is going to be the log itself, and must be on the disk by then. A disk says once that it failed: it is heard here.
        let settled = is_new.then(|| s.spawn(|| log_files::settle(stage)));
        let sums = is_new.then(|| s.spawn(|| log_files::sums(stage)));
        let ours =
            s.spawn(|| log_files::hash_of_two((&log.local, from, before), (stage, at, end - at)));
        let answer = probe::ask(&way.reach.link, &way.peer.root, "", &[], &[item]);
        (
            answer,
            joined(ours),
            settled.map_or(Ok(()), joined),
            sums.map(joined).transpose(),
        )
    });
    settled.map_err(|e| unwritten(log, &e))?;
    let sums = sums.map_err(|e| PullError::Failed(format!("the stage cannot be read: {e}")))?;
    let answer = answer.map_err(|e| PullError::Broke(e.to_string()))?;
    let ours = ours.map_err(|e| PullError::Failed(format!("the stage cannot be read: {e}")))?;
    let There::File(there) = &answer.items[0] else {
        return Err(PullError::Moved(
            "it went away while it was being pulled".into(),
        ));
    };
    if range.1 > 0 && there.hashes.get(&range) != Some(&ours) {
        return Err(PullError::Moved(
            "it changed while it was being pulled".into(),
        ));
    }
    Ok((there.mtime_ns, sums))
}
