//! Asking the autonomous writers of both roots to hold still while files travel, and letting them go on.
//!
//! Invariants: the pause is lifted on every way out of its scope; should this process be killed, the lease in the file ends it, and
//! the next run clears it away.

use crate::host::clock;
use crate::host::link::{Link, LinkError};
use crate::lanes::truth::hosts::{Host, Pair};
use crate::model::policy::Writer;
use crate::model::text::neutral;
use crate::model::thread::joined;
use crate::model::time;
use crate::tool::remote;

/// Writers that hold still until this is dropped.
pub struct Paused<'a> {
    hosts: Vec<Side>,
    writer: &'a Writer,
    run: String,
    /// Hosts whose writer did not acknowledge in time.
    pub silent: Vec<String>,
}

/// A host whose root has a writer.
struct Side {
    link: Link,
    name: String,
    root: String,
}

fn with_writer(pair: &Pair, writer: &Writer) -> Vec<Side> {
    let both = [(writer.local, &pair.local), (writer.peer, &pair.peer)];
    let side = |h: &Host| Side {
        link: h.link.clone(),
        name: h.name.clone(),
        root: h.root_given.clone(),
    };
    both.into_iter()
        .filter(|(has, _)| *has)
        .map(|(_, h)| side(h))
        .collect()
}

/// Asks all of them at once, and waits for their word.
pub fn ask<'a>(
    pair: &Pair,
    writer: &'a Writer,
    run: &str,
    reason: &str,
) -> Result<Paused<'a>, LinkError> {
    let mut paused = Paused {
        hosts: with_writer(pair, writer),
        writer,
        run: run.to_owned(),
        silent: Vec::new(),
    };
    let answers: Vec<Result<bool, LinkError>> = std::thread::scope(|s| {
        let started: Vec<_> = paused
            .hosts
            .iter()
            .map(|host| s.spawn(|| call(host, writer, run, reason, "ask")))
            .collect();
        started.into_iter().map(joined).collect()
    });
    // An error drops what was asked, and so lifts it.
    for (host, answer) in paused.hosts.iter().zip(answers) {
        if !answer? {
            paused.silent.push(host.name.clone());
        }
    }
    Ok(paused)
}

/// Clears away what a run that died left, when there is nothing to pause for.
pub fn clear(pair: &Pair, writer: &Writer, run: &str) {
    for host in &with_writer(pair, writer) {
        let _ = call(host, writer, run, "", "lift");
    }
}

/// Whether the writer has answered in time.
fn call(
    host: &Side,
    writer: &Writer,
    run: &str,
    reason: &str,
    what: &str,
) -> Result<bool, LinkError> {
    let body = host.link.call(
        remote::PAUSE,
        &[
            &host.root,
            &writer.pause_file,
            &writer.ack_file,
            what,
            &std::process::id().to_string(),
            &time::rfc3339(clock::now()),
            &neutral(reason),
            run,
            &writer.max_pause.as_secs().to_string(),
            &writer.ack_timeout.as_secs().to_string(),
        ],
        &[],
    )?;
    Ok(remote::value(&body, "timeout").is_none())
}

impl Paused<'_> {
    /// Whether the policy wants the run in spite of a writer that did not answer.
    pub fn proceeds(&self) -> bool {
        self.writer.proceed_on_timeout
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        std::thread::scope(|s| {
            for host in &self.hosts {
                let (writer, run) = (self.writer, self.run.as_str());
                s.spawn(move || call(host, writer, run, "", "lift"));
            }
        });
    }
}
