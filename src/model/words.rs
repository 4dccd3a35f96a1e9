//! The words in which screens and logs speak of a run: hosts by name, arrows, names of files, the next command.
//!
//! Invariant: whatever comes out has gone through [`neutral`], and a command that is shown can be pasted.

use super::record::{EntryDoc, Lane, Mode, Outcome, Record, TruthLane};
use super::text::{neutral, neutral_bytes, size, unhex};

/// The two hosts of a lane, by the names they have in the federation.
#[derive(Debug, Clone)]
pub struct Ends {
    pub local: String,
    pub peer: String,
}

impl Ends {
    pub fn of(record: &Record, lane: &TruthLane) -> Self {
        let local = match record.who.site.as_str() {
            "" => "local",
            site => site,
        };
        Self {
            local: neutral(local),
            peer: neutral(&lane.peer),
        }
    }

    /// The host on side `local` or `peer`.
    pub fn host(&self, side: &str) -> &str {
        match side {
            "local" => &self.local,
            _ => &self.peer,
        }
    }

    /// The host on the other side.
    pub fn other(&self, side: &str) -> &str {
        match side {
            "local" => &self.peer,
            _ => &self.local,
        }
    }

    /// `mac → balaur`, for what changes side `to`.
    pub fn arrow(&self, to: &str) -> String {
        format!("{} → {}", self.other(to), self.host(to))
    }
}

/// A path as people see it: exact bytes when the record has them, never raw.
pub fn shown(path: &str, path_hex: Option<&str>) -> String {
    match path_hex.and_then(unhex) {
        Some(bytes) => neutral_bytes(&bytes),
        None => neutral(path),
    }
}

/// A time of a record for people: UTC, with as many decimals as `decimals` (the record has nine).
pub fn moment(rfc3339: &str, decimals: usize) -> String {
    let (date, rest) = rfc3339.split_once('T').unwrap_or((rfc3339, ""));
    let clock = rest.trim_end_matches('Z');
    let cut = match clock.find('.') {
        Some(dot) if decimals > 0 => clock.len().min(dot + 1 + decimals),
        Some(dot) => dot,
        None => clock.len(),
    };
    neutral(format!("{date} {}", clock.get(..cut).unwrap_or(clock)).trim_end())
}

/// One version of a file in a few words: `1.2 KiB`, `directory`, `link to x`.
pub fn version(entry: &EntryDoc) -> String {
    match (&entry.link, entry.size) {
        (Some(link), _) => format!("link to {}", neutral(link)),
        (None, Some(bytes)) => size(bytes),
        (None, None) => neutral(&entry.r#type),
    }
}

/// What to type next, when there is something to type.
pub fn next_command(record: &Record) -> Option<String> {
    if record.command == "verify" {
        // It only says what is; what to do about it is shown by a dry run of everything.
        let odd = |of_targets: bool| {
            record.lanes.iter().filter(move |l| {
                !matches!(l.outcome(), Outcome::InSync | Outcome::Current)
                    && matches!(l, Lane::Publish(_)) == of_targets
            })
        };
        let verb = match (odd(false).next(), odd(true).next()) {
            (Some(_), _) => ("full", subjects(odd(false))),
            (None, Some(_)) => ("publish", subjects(odd(true))),
            (None, None) => return None,
        };
        return Some(command(record, verb.0, &verb.1, false, None));
    }
    let pending = || record.lanes.iter().filter(|l| l.is_applicable());
    let dry = record.mode == Mode::DryRun;
    let open = matches!(record.outcome, Outcome::Pending | Outcome::Partial);
    if dry && open && pending().next().is_some() {
        let mut plans = pending().filter_map(Lane::plan);
        let plan = match (plans.next(), plans.next()) {
            (Some(only), None) => Some(only),
            _ => None,
        };
        // A plan of truth that has nothing to do ties nothing.
        let ties = pending().any(|l| matches!(l, Lane::Truth(_)));
        let plan = record.plan.as_deref().filter(|_| ties).or(plan);
        return Some(command(
            record,
            &record.command,
            &subjects(pending()),
            true,
            plan,
        ));
    }
    if let Some(hint) = record.lanes.iter().find_map(Lane::hint) {
        return Some(neutral(hint));
    }
    match record.outcome {
        // What happened is uncertain or incomplete: looking again costs nothing and shows what is still to do.
        Outcome::Failed | Outcome::Interrupted | Outcome::Offline => Some(command(
            record,
            &record.command,
            &subjects(record.lanes.iter()),
            false,
            None,
        )),
        Outcome::Applied | Outcome::Partial if !dry => {
            Some(format!("ubos-sync runs show {}", word(record.id())))
        }
        _ => None,
    }
}

/// Who the lanes are about, each once.
fn subjects<'a>(lanes: impl Iterator<Item = &'a Lane>) -> Vec<&'a str> {
    let mut all = Vec::new();
    for subject in lanes.map(Lane::subject) {
        if !all.contains(&subject) {
            all.push(subject);
        }
    }
    all
}

fn command(record: &Record, verb: &str, peers: &[&str], apply: bool, plan: Option<&str>) -> String {
    let mut line = format!("ubos-sync {}", word(verb));
    let mut add = |text: &str| {
        line.push(' ');
        line.push_str(&word(text));
    };
    peers.iter().for_each(|p| add(p));
    record.repeat.iter().for_each(|w| add(w));
    if apply {
        add("--apply");
        if let Some(plan) = plan {
            add("--plan");
            add(plan);
        }
    }
    line
}

/// One word of a shell command: quoted when it has to be, so that the line can be pasted.
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./:=@%+,~".contains(c);
    if !text.is_empty() && text.chars().all(plain) && !text.starts_with('~') {
        return text.into();
    }
    if neutral(text) != text {
        // A name with control characters cannot be pasted raw; $'…' says the same with escapes.
        let escaped = text.bytes().map(|b| match b {
            b'\\' | b'\'' => format!("\\{}", b as char),
            b' '..=b'~' => (b as char).to_string(),
            b => format!("\\x{b:02x}"),
        });
        return format!("$'{}'", escaped.collect::<String>());
    }
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrows_point_at_the_host_that_changes() {
        let mut record = Record::open("r-truth-1", "truth", Mode::DryRun, "");
        record.who.site = "mac".into();
        let ends = Ends::of(&record, &TruthLane::new("balaur"));
        assert_eq!(ends.arrow("peer"), "mac → balaur");
        assert_eq!(ends.arrow("local"), "balaur → mac");
    }

    #[test]
    fn names_that_are_not_utf8_are_shown_by_their_bytes() {
        assert_eq!(shown("a\u{fffd}", Some("61ff")), "a\\xff");
        assert_eq!(shown("a\x1b", Some("zz")), "a\\e");
        assert_eq!(shown("é", None), "é");
    }

    #[test]
    fn the_next_command_names_peer_and_plan_and_repeats_what_it_must() {
        let mut record = Record::open("r-truth-1a", "truth", Mode::DryRun, "");
        let mut lane = TruthLane::new("balaur");
        lane.outcome = Outcome::Pending;
        lane.plan = Some("1a2b3c4d5e6f".into());
        record.outcome = Outcome::Pending;
        record.lanes = vec![Lane::Truth(lane)];
        assert_eq!(
            next_command(&record).unwrap(),
            "ubos-sync truth balaur --apply --plan 1a2b3c4d5e6f"
        );
        record.repeat = vec!["--policy".into(), "/a b/p.toml".into()];
        assert_eq!(
            next_command(&record).unwrap(),
            "ubos-sync truth balaur --policy '/a b/p.toml' --apply --plan 1a2b3c4d5e6f"
        );
        record.outcome = Outcome::InSync;
        assert_eq!(next_command(&record), None);
        record.outcome = Outcome::Interrupted;
        assert!(
            next_command(&record)
                .unwrap()
                .starts_with("ubos-sync truth balaur")
        );
    }

    #[test]
    fn a_shown_word_can_be_pasted() {
        assert_eq!(word("docs/a.md"), "docs/a.md");
        assert_eq!(word("it's"), "'it'\\''s'");
        assert_eq!(word("a\n\\'b"), "$'a\\x0a\\\\\\'b'");
        assert_eq!(word(""), "''");
    }

    #[test]
    fn moments_have_as_many_decimals_as_asked() {
        let t = "2025-10-07T12:00:01.123456789Z";
        assert_eq!(moment(t, 0), "2025-10-07 12:00:01");
        assert_eq!(moment(t, 3), "2025-10-07 12:00:01.123");
        assert_eq!(moment("2025-10-07T12:00:01Z", 3), "2025-10-07 12:00:01");
        assert_eq!(moment("é\x1b", 3), "é\\e");
    }
}
