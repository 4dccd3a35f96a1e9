//! `runs`: what was done, by whom, and the proof that the record of it is whole.

use clap::{Args, Subcommand};
use serde::Serialize;

use super::complete;
use super::documents::{Failed, Runs, RunsVerified};
use super::render::table::{Align, Cell, lines};
use super::render::{self, Meaning, Style};
use crate::audit::catalog::Facts;
use crate::audit::store::{AuditError, Result, Store};
use crate::audit::verify::Verdict;
use crate::model::exit;
use crate::model::record::{Mode, Outcome, SCHEMA};
use crate::model::text::{count, neutral, neutral_json};
use crate::model::words::{moment, word};

/// The audit log: every run, dry or applied
#[derive(Debug, Clone, Args)]
pub struct RunsArgs {
    #[command(subcommand)]
    pub what: Option<RunsCommand>,
}

#[derive(Debug, Clone, Subcommand)]
pub enum RunsCommand {
    /// Lists runs, newest first
    List {
        /// At most this many (0: all of them)
        #[arg(short = 'n', long, value_name = "N", default_value_t = 20)]
        limit: usize,
    },
    /// Shows one run as it was shown when it ran
    Show {
        /// Its name, a beginning of it, its last part, or `last`
        #[arg(value_name = "RUN", add = complete::runs())]
        run: String,
    },
    /// Proves that no record was altered, removed, added or reordered
    Verify,
}

/// Runs the command; returns what to print on standard output and the exit code. A failure comes back as text too
/// (with `json`, as a document), to be printed like any other: it is the answer to what was asked.
pub fn run(args: &RunsArgs, store: &Store, style: &Style, json: bool) -> (String, u8) {
    let answer = match &args.what {
        None => list(store, 20, style, json),
        Some(RunsCommand::List { limit }) => list(store, *limit, style, json),
        Some(RunsCommand::Show { run }) => show(store, run, style, json),
        Some(RunsCommand::Verify) => verify(store, style, json),
    };
    answer.unwrap_or_else(|e| failed(&e, style, json))
}

fn failed(error: &AuditError, style: &Style, as_json: bool) -> (String, u8) {
    let code = match error {
        AuditError::Unknown { .. } | AuditError::Ambiguous { .. } => exit::USAGE,
        _ => exit::FAILED,
    };
    if as_json {
        let nearest = match error {
            AuditError::Unknown { nearest, .. } => nearest.as_deref(),
            _ => None,
        };
        let doc = Failed {
            schema: SCHEMA,
            command: "runs",
            outcome: "failed",
            exit_code: code,
            error: &error.to_string(),
            faults: &[],
            nearest,
        };
        return (document(&doc), code);
    }
    let next = match error {
        AuditError::Unknown {
            nearest: Some(run), ..
        } => format!("ubos-sync runs show {}", word(run)),
        AuditError::Unknown { .. } | AuditError::Ambiguous { .. } => "ubos-sync runs list".into(),
        _ => "ubos-sync runs verify".into(),
    };
    let what = style.paint(Meaning::Loss, &error.to_string());
    let next = style.paint(Meaning::Command, &next);
    (format!("{what}\nNext: {next}\n"), code)
}

fn document(document: &impl Serialize) -> String {
    neutral_json(serde_json::to_string_pretty(document).unwrap_or_default()) + "\n"
}

fn list(store: &Store, limit: usize, style: &Style, as_json: bool) -> Result<(String, u8)> {
    let limit = if limit == 0 { usize::MAX } else { limit };
    let runs = store.newest(limit)?;
    if as_json {
        let doc = Runs {
            schema: SCHEMA,
            runs,
        };
        return Ok((document(&doc), exit::DONE));
    }
    if runs.is_empty() {
        return Ok(("No runs yet.\n".into(), exit::DONE));
    }
    let head = [
        "RUN",
        "STARTED (UTC)",
        "",
        "PEER",
        "FILES",
        "TOOK",
        "OUTCOME",
    ];
    let heading = head.map(|h| Cell::of(Meaning::Heading, h)).to_vec();
    let sound = runs
        .iter()
        .filter_map(|s| Some(row(&s.run, s.facts.as_ref()?)));
    let rows: Vec<_> = std::iter::once(heading).chain(sound).collect();
    let (l, r) = (Align::Left, Align::Right);
    let mut text = lines(&rows, &[l, l, l, l, r, r, l], 3, 0, style);
    for summary in &runs {
        if let Some(why) = &summary.damaged {
            let why = style.paint(Meaning::Loss, &neutral(why));
            text += &format!("UNREADABLE {why}\n");
        }
    }
    if runs.len() == limit {
        let all = style.paint(Meaning::Command, "ubos-sync runs list -n 0");
        text += &format!("… older ones: {all}\n");
    }
    Ok((text, exit::DONE))
}

/// One run of the list.
pub fn row(run: &str, facts: &Facts) -> Vec<Cell> {
    let id = run.rsplit('-').next().unwrap_or(run);
    let mode = match facts.mode {
        Mode::DryRun => "dry",
        Mode::Apply => "apply",
    };
    let (outcome, meaning) = match (facts.complete, facts.outcome) {
        (false, _) => ("running, or died", Meaning::Look),
        (_, o @ (Outcome::InSync | Outcome::Applied)) => (o.word(), Meaning::Good),
        (_, o @ (Outcome::Failed | Outcome::Refused | Outcome::Interrupted)) => {
            (o.word(), Meaning::Loss)
        }
        (_, o @ (Outcome::Partial | Outcome::Offline | Outcome::Locked)) => {
            (o.word(), Meaning::Look)
        }
        (_, o) => (o.word(), Meaning::Plain),
    };
    let left = match facts.left {
        0 => String::new(),
        n => format!(", {n} left"),
    };
    vec![
        Cell::new(neutral(id)),
        Cell::new(moment(&facts.started, 0)),
        Cell::new(format!("{} {mode}", neutral(&facts.command))),
        Cell::new(neutral(&facts.peers.join(" "))),
        Cell::new(facts.changes.to_string()),
        Cell::new(format!("{:.1} s", facts.seconds)),
        Cell::of(meaning, format!("{outcome}{left}")),
    ]
}

fn show(store: &Store, asked: &str, style: &Style, as_json: bool) -> Result<(String, u8)> {
    let record = store.get(asked)?;
    if as_json {
        return Ok((render::json(&record), exit::DONE));
    }
    let who = &record.who;
    let mut text = format!(
        "{}\n{} UTC, {:.1} s, by {} on {} (process {}), ubos-sync {}\n",
        style.paint(Meaning::Heading, &neutral(&record.run)),
        moment(&record.started, 0),
        record.seconds,
        neutral(&who.user),
        neutral(&who.host),
        who.pid,
        neutral(&who.version),
    );
    if !who.reason.is_empty() {
        text += &format!("{}\n", neutral(&who.reason));
    }
    if !record.complete {
        let open = "Its record is not closed: it runs, or it died.";
        text += &format!("{}\n", style.paint(Meaning::Look, open));
    }
    text += &format!(
        "Log: {}\n\n",
        neutral(&store.log_path(&record).to_string_lossy())
    );
    Ok((text + &render::run(&record, style), exit::DONE))
}

fn verify(store: &Store, style: &Style, as_json: bool) -> Result<(String, u8)> {
    let verdict = store.verify()?;
    let code = match verdict.faults.is_empty() {
        true => exit::DONE,
        false => exit::FAILED,
    };
    if as_json {
        let doc = RunsVerified {
            schema: SCHEMA,
            exit_code: code,
            whole: verdict.faults.is_empty(),
            records: verdict.records,
            before: verdict.before,
            open: verdict.open,
            head: &verdict.head,
            faults: verdict.faults.iter().map(ToString::to_string).collect(),
        };
        return Ok((document(&doc), code));
    }
    Ok((verdict_text(&verdict, style), code))
}

fn verdict_text(v: &Verdict, style: &Style) -> String {
    let records = count(v.records as usize, "record");
    let mut text = match v.faults.len() {
        0 => style.paint(
            Meaning::Good,
            &format!("Whole: {records}, none altered or removed."),
        ),
        n => style.paint(
            Meaning::Loss,
            &format!("NOT WHOLE: {} in {records}.", count(n, "fault")),
        ),
    };
    text.push('\n');
    for fault in &v.faults {
        text += &format!("  {fault}\n");
    }
    if v.before > 0 {
        let gone = count(v.before as usize, "older record");
        text += &format!("The chain starts behind {gone} that retention removed.\n");
    }
    if v.open > 0 {
        text += &format!(
            "{} not closed yet: running, or died.\n",
            count(v.open, "run")
        );
    }
    if !v.head.is_empty() {
        text += &format!("Head: sha256 {}\n", neutral(&v.head));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::samples::{record, store};
    use serde_json::json;

    fn ask(store: &Store, what: RunsCommand, json: bool) -> (String, u8) {
        run(
            &RunsArgs { what: Some(what) },
            store,
            &Style::default(),
            json,
        )
    }

    #[test]
    fn the_list_is_a_table_and_a_document() {
        let (_tmp, store) = store();
        assert_eq!(
            ask(&store, RunsCommand::List { limit: 0 }, false).0,
            "No runs yet.\n"
        );
        (1..4).for_each(|n| drop(store.closed(record(n))));
        std::fs::write(store.runs().join("evil\n\x1b[2J.json"), "{").unwrap();
        let (text, code) = ask(&store, RunsCommand::List { limit: 0 }, false);
        assert_eq!(code, 0);
        insta::assert_snapshot!(text.replace(|c: char| c.is_ascii_digit(), "0"));
        let (text, _) = ask(&store, RunsCommand::List { limit: 2 }, true);
        let doc: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(doc["runs"].as_array().unwrap().len(), 2);
        assert_eq!(doc["runs"][1]["outcome"], "applied");
    }

    #[test]
    fn show_tells_a_run_and_an_unknown_one_exits_2_with_the_nearest() {
        let (_tmp, store) = store();
        let run = store.closed(record(1));
        let (text, code) = ask(&store, RunsCommand::Show { run: "last".into() }, false);
        assert!(
            code == 0 && text.starts_with(&run) && text.contains("docs/a.md"),
            "{text}"
        );
        let (text, _) = ask(&store, RunsCommand::Show { run: run.clone() }, true);
        assert_eq!(
            serde_json::from_str::<crate::model::record::Record>(&text)
                .unwrap()
                .run,
            run
        );
        let asked = RunsCommand::Show {
            run: "000011".into(),
        };
        let (text, code) = ask(&store, asked.clone(), false);
        assert_eq!(code, 2);
        assert!(
            text.contains(&format!("Next: ubos-sync runs show {run}")),
            "{text}"
        );
        let (text, _) = ask(&store, asked, true);
        let doc: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(doc["nearest"], run);
    }

    #[test]
    fn verify_exits_1_when_something_was_changed() {
        let (_tmp, store) = store();
        let run = store.closed(record(1));
        let (text, code) = ask(&store, RunsCommand::Verify, false);
        assert!(
            code == 0 && text.starts_with("Whole: 1 record, none"),
            "{text}"
        );
        std::fs::remove_file(store.runs().join(format!("{run}.json"))).unwrap();
        let (text, code) = ask(&store, RunsCommand::Verify, false);
        assert!(
            code == 1 && text.contains(&format!("removed: {run}")),
            "{text}"
        );
        let (text, code) = ask(&store, RunsCommand::Verify, true);
        let doc: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((code, &doc["whole"]), (1, &json!(false)));
    }

    #[test]
    fn the_words_on_the_command_line_are_those_of_the_contract() {
        use clap::Parser;
        #[derive(Parser)]
        struct Root {
            #[command(flatten)]
            runs: RunsArgs,
        }
        assert!(Root::parse_from(["runs"]).runs.what.is_none());
        for words in [
            &["runs", "list"][..],
            &["runs", "show", "last"],
            &["runs", "verify"],
        ] {
            assert!(Root::parse_from(words).runs.what.is_some());
        }
    }
}
