//! What could stand in the way of a run, looked for on both hosts before it does, and what of it can be mended without a person.
//!
//! Invariants: every row that is not well names what to type; looking takes no lock and changes nothing, only [`mend`] does.

mod here;
pub mod mend;
mod programs;
mod there;
mod units;

use std::path::Path;

use crate::host::clock;
use crate::host::link::Link;
use crate::model::policy::{Peer, Policy};
use crate::model::thread::joined;
use crate::tool::remote;
use mend::{Act, Mend};

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Bad,
    Look,
    Good,
}

impl Verdict {
    pub fn word(self) -> &'static str {
        match self {
            Verdict::Bad => "bad",
            Verdict::Look => "look",
            Verdict::Good => "ok",
        }
    }
}

/// One thing that was looked at.
#[derive(Debug, Clone)]
pub struct Check {
    pub verdict: Verdict,
    pub host: String,
    pub what: &'static str,
    pub found: String,
    /// What to type; empty for what is well.
    pub fix: String,
    /// What [`mend`] would do about it.
    pub mend: Option<Mend>,
}

impl Check {
    /// A row about this host that is in the way of everything.
    pub fn bad(
        host: &str,
        what: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> Self {
        Self {
            verdict: Verdict::Bad,
            host: host.to_owned(),
            what,
            found: found.into(),
            fix: fix.into(),
            mend: None,
        }
    }
}

struct Book {
    host: String,
    all: Vec<Check>,
}

impl Book {
    fn of(host: &str) -> Self {
        Self {
            host: host.to_owned(),
            all: Vec::new(),
        }
    }

    fn put(
        &mut self,
        verdict: Verdict,
        what: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> &mut Check {
        let mut check = Check::bad(&self.host, what, found, fix);
        check.verdict = verdict;
        self.all.push(check);
        let last = self.all.len() - 1;
        &mut self.all[last]
    }

    fn bad(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> &mut Check {
        self.put(Verdict::Bad, what, found, fix)
    }

    fn look(
        &mut self,
        what: &'static str,
        found: impl Into<String>,
        fix: impl Into<String>,
    ) -> &mut Check {
        self.put(Verdict::Look, what, found, fix)
    }

    fn good(&mut self, what: &'static str, found: impl Into<String>) {
        self.put(Verdict::Good, what, found, "");
    }
}

/// Looks at this host and at every one of these peers, at the same time.
pub fn look(policy: &Policy, peers: &[&Peer]) -> Vec<Check> {
    std::thread::scope(|s| {
        let started: Vec<_> = peers
            .iter()
            .map(|peer| s.spawn(|| there::rows(policy, peer)))
            .collect();
        let mut checks = here::rows(policy);
        for thread in started {
            checks.extend(joined(thread));
        }
        checks
    })
}

/// What the doctor's script says of a host.
struct Asked<'a> {
    link: &'a Link,
    state: &'a str,
    root: &'a str,
    marker: &'a str,
    /// A generation whose manifest is hashed: the pair and its name.
    generation: (&'a str, &'a str),
}

impl Asked<'_> {
    fn answer(&self) -> Result<Vec<u8>, crate::host::link::LinkError> {
        let (pair, generation) = self.generation;
        let parameters = [self.state, self.root, self.marker, pair, generation];
        self.link.call(remote::DOCTOR, &parameters, &[])
    }
}

/// The directory of our own files on a host. `gone`: why it should be there and hold something.
fn state_dir(answer: &[u8], gone: Option<&str>, book: &mut Book) {
    let get = |key| remote::value(answer, key);
    let state = get("state").unwrap_or_default().to_owned();
    let on = book.host.clone();
    let act = |act| Mend {
        act,
        path: state.clone(),
    };
    if get("stateabsent").is_some() {
        match gone {
            Some(why) => book.bad(
                "state",
                format!("{state} is gone, though {why}: its disk may not be mounted"),
                format!("on {on}: mount it, or restore it; ls -ld {state}"),
            ),
            None => {
                let check = book.look(
                    "state",
                    format!("{state} is not there yet; the first applied run makes it"),
                    format!("on {on}: mkdir -p -m 700 {state}"),
                );
                check.mend = Some(act(Act::Dir));
                check
            }
        };
    } else if get("statebad").is_some() {
        book.bad(
            "state",
            format!("{state} is not a directory"),
            format!("on {on}: ls -ld {state}"),
        );
    } else if let Some(owner) = get("stateowner") {
        book.bad(
            "state",
            format!("{state} belongs to another user ({owner})"),
            format!("on {on}: ls -ld {state}; then correct `state_dir` in the policy"),
        );
    } else if get("statemode").is_some_and(|m| m.get(4..10) != Some("------")) {
        book.bad(
            "state",
            format!("{state} may be entered by others"),
            format!("chmod 700 {state}"),
        )
        .mend = Some(act(Act::Private));
    } else {
        book.good("state", format!("{state} is private"));
    }
}

/// A path as a person types it.
fn shown(path: &Path) -> String {
    path.display().to_string()
}

/// Time of the look, for the document.
pub fn at() -> String {
    crate::model::time::rfc3339(clock::now())
}
