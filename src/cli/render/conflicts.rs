//! Conflicts as a list: what waits for a person first, then what was decided and where the loser lies.
//!
//! Invariant: only neutral text comes out.

use super::paint::{Meaning, Style};
use super::table::wrap;
use crate::model::conflict::{Conflict, State, Version};
use crate::model::text::{count, neutral, size};
use crate::model::words::{shown, word};

pub fn screen(all: &[Conflict], style: &Style) -> String {
    if all.is_empty() {
        return "No conflict is open, and none was decided in the records that are kept.\n".into();
    }
    let mut out = String::new();
    let open: Vec<&Conflict> = all.iter().filter(|c| c.state == State::Open).collect();
    let settled: Vec<&Conflict> = all.iter().filter(|c| c.state == State::Settled).collect();
    if !open.is_empty() {
        let title = format!("WAIT FOR A DECISION  {}", count(open.len(), "path"));
        out += &format!("{}\n", style.paint(Meaning::Look, &title));
        for c in &open {
            out += &format!("  {}  with {}\n", neutral(&c.path), neutral(&c.peer));
            out += &wrap(&neutral(&c.why), 6, style);
        }
    }
    if !settled.is_empty() {
        let title = format!("DECIDED  {}", count(settled.len(), "path"));
        out += &format!("{}\n", style.paint(Meaning::Heading, &title));
        for c in &settled {
            out += &format!("  {}  {}\n", neutral(&c.path), neutral(&c.when));
            out += &wrap(&format!("{}{}", neutral(&c.why), versions(c)), 6, style);
        }
    }
    let first = open
        .first()
        .or(settled.first())
        .map_or("PATH", |c| c.path.as_str());
    let command = match open.is_empty() {
        true => format!("ubos-sync conflicts show {}", word(first)),
        false => format!("ubos-sync conflicts keep local|peer|both {}", word(first)),
    };
    out + &format!("Next: {}\n", style.paint(Meaning::Command, &command))
}

fn versions(c: &Conflict) -> String {
    let of = |v: &Version| {
        let bytes = v.entry.as_ref().and_then(|e| e.size);
        match (&v.entry, bytes) {
            (None, _) => format!("{} had deleted it", neutral(&v.host)),
            (_, Some(bytes)) => format!("{}: {}", neutral(&v.host), size(bytes)),
            _ => neutral(&v.host),
        }
    };
    let mut out = String::new();
    if let (Some(winner), Some(loser)) = (&c.winner, &c.loser) {
        out += &format!(" (won: {}; lost: {})", of(winner), of(loser));
        if let Some(at) = &loser.at {
            out += &format!(
                "; the loser is kept on {}: {}",
                neutral(&loser.host),
                shown(at, loser.at_hex.as_deref())
            );
        }
    }
    out
}
