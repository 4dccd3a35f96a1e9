//! The five acceptance tests against the real pair: conflict, permissions, exclusion, append, idempotency. They run the very lanes of
//! every other run, with a policy derived from the real one, in a scratch folder inside both roots.
//!
//! Invariants: nothing outside the scratch folders is read or written; they are removed whatever happened.

use std::time::Duration;

use crate::host::link::Link;
use crate::host::{clock, files, policy_file, signals};
use crate::lanes::flow::{self, Setup};
use crate::lanes::peers::{self, Carry};
use crate::lanes::reach::Reach;
use crate::model::policy::{self, Peer, Policy};
use crate::model::progress::Silent;
use crate::model::record::{Lane, Mode, Outcome, Record};
use crate::tool::remote;

/// What each test is about, in the order in which they run.
pub const TESTS: [(&str, &str); 5] = [
    (
        "conflict",
        "a file edited on both sides, two seconds apart: the newer version wins, also when it is the peer's",
    ),
    (
        "permissions",
        "a script that may be executed here may be executed there",
    ),
    ("exclusion", "state never appears on the peer"),
    ("append", "the lines of a pulled log only ever grow"),
    (
        "idempotency",
        "a second run finds nothing to do and does nothing",
    ),
];

#[derive(Debug, Clone)]
pub struct Tested {
    pub name: &'static str,
    pub pass: bool,
    pub evidence: String,
}

/// Whether a test passed, and what was seen.
type Verdict = Result<(bool, String), String>;

/// One of the two hosts.
struct Hand<'a> {
    link: &'a Link,
    root: String,
    scratch: String,
}

#[derive(Debug, Default)]
struct Seen {
    there: bool,
    mode: String,
    lines: u64,
    text: String,
}

impl Hand<'_> {
    fn act(&self, what: &str, path: &str, value: &str) -> Result<Vec<u8>, String> {
        let value = remote::escaped(value.as_bytes());
        self.link
            .call(
                remote::LIBRARIAN,
                &[&self.root, &self.scratch, what, path, &value],
                &[],
            )
            .map_err(|e| format!("on {}: {e}", self.link.name))
    }

    fn write(&self, path: &str, text: &str) -> Result<(), String> {
        self.act("write", path, text).map(|_| ())
    }

    fn seen(&self, path: &str) -> Result<Seen, String> {
        let body = self.act("read", path, "")?;
        let get = |key: &str| remote::value(&body, key).unwrap_or_default().to_owned();
        Ok(Seen {
            there: !get("there").is_empty(),
            mode: get("mode"),
            lines: get("lines").parse().unwrap_or(0),
            text: get("text"),
        })
    }
}

impl Drop for Hand<'_> {
    fn drop(&mut self) {
        let _ = self.act("drop", "", "");
    }
}

struct Bench<'a> {
    policy: Policy,
    near: Hand<'a>,
    far: Hand<'a>,
}

/// Runs the tests. An error is a pair that cannot even be tried.
pub fn run(policy: &Policy, peer: &Peer, reach: &Reach) -> Result<Vec<Tested>, String> {
    let id = files::random_hex(4).map_err(|e| e.to_string())?;
    let scratch = format!(".ubos-sync.librarian-{id}");
    let local = Link::local(&policy.site.name);
    let own = derived(policy, peer, &scratch)?;
    let bench = Bench {
        near: Hand {
            link: &local,
            root: policy.site.root.display().to_string(),
            scratch: scratch.clone(),
        },
        far: Hand {
            link: &reach.link,
            root: peer.root.clone(),
            scratch,
        },
        policy: own,
    };
    for hand in [&bench.near, &bench.far] {
        hand.act("make", &policy.guards.marker, "")?;
    }
    let tests: [fn(&Bench) -> Verdict; 5] = [conflict, permissions, exclusion, append, idempotency];
    let mut all = Vec::new();
    for ((name, _), test) in TESTS.iter().zip(tests) {
        if signals::stop_wish().is_some() {
            return Err("stopped on request".into());
        }
        let (pass, evidence) = test(&bench).unwrap_or_else(|why| (false, why));
        all.push(Tested {
            name,
            pass,
            evidence,
        });
    }
    Ok(all)
}

/// The real policy's way to the peer and its rules, on the scratch folders, with memory and records of its own.
fn derived(policy: &Policy, peer: &Peer, scratch: &str) -> Result<Policy, String> {
    use toml::{Table, Value};
    let text = |t: &str| Value::String(t.to_owned());
    let root = policy.site.root.join(scratch);
    let mut site = Table::new();
    site.insert("name".into(), text(&policy.site.name));
    site.insert("root".into(), text(&root.display().to_string()));
    site.insert(
        "state_dir".into(),
        text(&policy.site.state_dir.join(scratch).display().to_string()),
    );
    let mut truth = Table::new();
    let state = policy.settings.iter().find(|s| s.key == "truth.state");
    let state = state.and_then(|s| format!("v = {}", s.value).parse::<Table>().ok());
    if let Some(patterns) = state.and_then(|mut t| t.remove("v")) {
        truth.insert("state".into(), patterns);
    }
    let mut guards = Table::new();
    guards.insert("marker".into(), text(&policy.guards.marker));
    let mut log = Table::new();
    log.insert("remote".into(), text("mission_log.jsonl"));
    log.insert("local".into(), text("mission_log.jsonl"));
    let mut far = Table::new();
    far.insert("name".into(), text(&peer.name));
    far.insert("root".into(), text(&format!("{}/{scratch}", peer.root)));
    far.insert(
        "state_dir".into(),
        text(&format!("{}/{scratch}/.ubos-sync.state", peer.root)),
    );
    far.insert("unison".into(), text(&peer.unison));
    far.insert("rsync".into(), text(&peer.rsync));
    far.insert("log".into(), Value::Array(vec![Value::Table(log)]));
    if let Some(remote) = &peer.remote {
        far.insert("host".into(), text(&remote.host));
        let more = [
            ("user", remote.user.clone()),
            (
                "identity",
                remote.identity.as_ref().map(|p| p.display().to_string()),
            ),
            (
                "ssh_config",
                remote.ssh_config.as_ref().map(|p| p.display().to_string()),
            ),
        ];
        for (key, value) in more {
            if let Some(value) = value {
                far.insert(key.into(), text(&value));
            }
        }
        if let Some(port) = remote.port {
            far.insert("port".into(), Value::Integer(i64::from(port)));
        }
    }
    let mut audit = Table::new();
    audit.insert(
        "dir".into(),
        text(
            &policy
                .site
                .state_dir
                .join(scratch)
                .join("records")
                .display()
                .to_string(),
        ),
    );
    let mut all = Table::new();
    all.insert("schema".into(), Value::Integer(1));
    for (key, table) in [
        ("site", site),
        ("truth", truth),
        ("guards", guards),
        ("audit", audit),
    ] {
        all.insert(key.into(), Value::Table(table));
    }
    all.insert("peer".into(), Value::Array(vec![Value::Table(far)]));
    policy::read(
        all.to_string().as_bytes(),
        &policy.file,
        &policy_file::env(),
    )
    .map_err(|faults| {
        format!(
            "the policy for the tests is not valid: {}",
            faults.first().map_or("", |f| &f.reason)
        )
    })
}

impl Bench<'_> {
    /// One applied run of both lanes.
    fn full(&self) -> Result<Record, String> {
        let setup = Setup {
            policy: &self.policy,
            command: "full",
            mode: Mode::Apply,
            reason: "librarian",
            wait: Duration::ZERO,
            is_check: false,
            repeat: Vec::new(),
        };
        let order = peers::Order {
            policy: &self.policy,
            peers: self.policy.peers.iter().collect(),
            command: "full",
            truth: Some(Carry::Apply { plan: None }),
            logs: Some(Carry::Apply { plan: None }),
            paths: Vec::new(),
            // Of five files all may have changed at once.
            allow: vec!["all_changed".into()],
            wait: Duration::ZERO,
            full: false,
            progress: &Silent,
            kept: None,
        };
        let record =
            flow::recorded(&setup, |run| peers::run(&order, run)).map_err(|e| format!("{e:#}"))?;
        match record.outcome {
            Outcome::InSync | Outcome::Applied => Ok(record),
            other => Err(format!("the run ended {}: {}", other.word(), why(&record))),
        }
    }
}

fn why(record: &Record) -> String {
    let lanes = record.lanes.iter().filter_map(|l| match l {
        Lane::Truth(t) => t.message.clone(),
        Lane::Log(l) => l.message.clone(),
        Lane::Publish(p) => p.message.clone(),
    });
    let mut all = lanes.chain(record.findings.iter().map(|f| f.message.clone()));
    all.next().unwrap_or_else(|| "no reason was given".into())
}

fn conflict(b: &Bench) -> Verdict {
    b.far
        .write("mission_log.jsonl", "{\"n\":1}\n{\"n\":2}\n{\"n\":3}\n")?;
    for name in ["newer_there.md", "newer_here.md"] {
        b.near.write(name, "before\n")?;
    }
    b.full()?;
    let now = clock::now();
    let at = |seconds: i64| crate::model::time::rfc3339(now + chrono::Duration::seconds(seconds));
    for (name, here, there) in [("newer_there.md", -10, -8), ("newer_here.md", -8, -10)] {
        b.near.write(name, "edited here\n")?;
        b.far.write(name, "edited there\n")?;
        b.near.act("time", name, &at(here))?;
        b.far.act("time", name, &at(there))?;
    }
    b.full()?;
    let mut said = Vec::new();
    let mut pass = true;
    for (name, wanted) in [
        ("newer_there.md", "edited there"),
        ("newer_here.md", "edited here"),
    ] {
        let (near, far) = (b.near.seen(name)?, b.far.seen(name)?);
        pass &= near.text == wanted && far.text == wanted;
        said.push(format!(
            "{name}: here {:?}, there {:?}",
            near.text, far.text
        ));
    }
    Ok((pass, said.join("; ")))
}

fn permissions(b: &Bench) -> Verdict {
    b.near.write("run.sh", "#!/bin/sh\n")?;
    b.near.act("mode", "run.sh", "755")?;
    b.full()?;
    let far = b.far.seen("run.sh")?;
    Ok((
        far.mode.starts_with("-rwxr-xr-x"),
        format!("there it is {}", far.mode),
    ))
}

fn exclusion(b: &Bench) -> Verdict {
    let state = "COMMS_HUB/claude_strategic_state.json";
    b.near.write(state, "{}\n")?;
    b.near.write("COMMS_HUB/plan.md", "a plan\n")?;
    b.full()?;
    let (secret, plan) = (b.far.seen(state)?, b.far.seen("COMMS_HUB/plan.md")?);
    Ok((
        !secret.there && plan.there,
        format!(
            "{state} is {} there, and COMMS_HUB/plan.md beside it {}",
            if secret.there { "THERE" } else { "not" },
            if plan.there { "is" } else { "is not" }
        ),
    ))
}

fn append(b: &Bench) -> Verdict {
    let log = "mission_log.jsonl";
    let before = b.near.seen(log)?;
    b.far.act("more", log, "{\"n\":4}\n{\"n\":5}\n")?;
    b.full()?;
    let grown = b.near.seen(log)?;
    b.full()?;
    let again = b.near.seen(log)?;
    Ok((
        before.lines == 3 && grown.lines == 5 && again.lines == 5,
        format!(
            "{} lines, then {}, then {}",
            before.lines, grown.lines, again.lines
        ),
    ))
}

fn idempotency(b: &Bench) -> Verdict {
    let record = b.full()?;
    let changes: usize = record
        .lanes
        .iter()
        .map(|l| match l {
            Lane::Truth(t) => t.changes.len(),
            Lane::Log(l) => usize::try_from(l.bytes).unwrap_or(1),
            Lane::Publish(_) => 0,
        })
        .sum();
    Ok((
        record.outcome == Outcome::InSync && changes == 0,
        format!(
            "the second run ended {} with {changes} changes",
            record.outcome.word()
        ),
    ))
}

/// Memory and records of the tests on this host.
pub fn sweep(policy: &Policy) {
    for name in files::names(&policy.site.state_dir).unwrap_or_default() {
        if name.to_string_lossy().starts_with(".ubos-sync.librarian-") {
            let _ = files::remove_tree(&policy.site.state_dir.join(name));
        }
    }
}
