//! The site's own lock: one run at a time on this host, whatever it does and with whom.
//!
//! Invariant: the lock file is never removed; the lock is the kernel's, what stands in the file is for people.

use std::fs::File;
use std::time::Duration;

use crate::host::{clock, files, signals};
use crate::model::finding::{Finding, Severity};
use crate::model::policy::Site;
use crate::model::time;

/// Why the site's own lock was not taken.
pub enum NoLock {
    /// A live run has it: who, in words.
    Held(String),
    Unusable(String),
}

/// The site's own lock; waits for it for `wait`.
pub fn site_lock(site: &Site, command: &str, wait: Duration) -> Result<File, NoLock> {
    let dir = &site.state_dir;
    let words = format!(
        "pid {} on {}, `{}`, since {}",
        std::process::id(),
        site.name,
        crate::model::text::neutral(command),
        time::rfc3339(clock::now())
    );
    let until = clock::monotonic() + wait;
    loop {
        let taken =
            files::private_dir(dir).and_then(|()| files::try_lock(&dir.join("lock"), &words));
        match taken {
            Ok(files::Locked::Ours(file)) => return Ok(file),
            Ok(files::Locked::Theirs(words))
                if clock::monotonic() >= until || signals::stop_wish().is_some() =>
            {
                return Err(NoLock::Held(crate::model::text::neutral(words.trim())));
            }
            Ok(files::Locked::Theirs(_)) => clock::sleep(Duration::from_millis(100)),
            Err(e) => return Err(NoLock::Unusable(e.to_string())),
        }
    }
}

pub fn locked(on: &str, words: &str) -> Finding {
    Finding {
        guard: "lock".into(),
        severity: Severity::Refuse,
        peer: None,
        message: format!("another run holds the lock on {on}: {words}"),
        hint: "wait for it (--wait 5m), or end it: kill the pid above".into(),
    }
}

pub fn no_lock(peer: Option<String>, message: String, hint: String) -> Finding {
    Finding {
        guard: "lock".into(),
        severity: Severity::Refuse,
        peer,
        message: format!("{message}; nothing was touched"),
        hint,
    }
}
