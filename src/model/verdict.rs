//! Is everything fine? One answer for the page, the live screen and whoever asks next. Pure.
//!
//! Invariant: what was fine grows old by itself: without newer successes the answer turns into overdue.

use std::time::Duration;

use chrono::{DateTime, Utc};

use super::overview::{Standing, due};
use super::text::count;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    Good,
    /// A person should look, but nothing is failing.
    Look,
    Bad,
}

/// What is known of everything.
pub struct Known<'a> {
    pub now: DateTime<Utc>,
    /// How old the last success of a lane may be.
    pub most: Duration,
    pub standings: &'a [Standing],
    /// Conflicts that wait for a person.
    pub open: usize,
    /// The worker is gone without having been asked to end.
    pub worker_died: bool,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verdict {
    pub level: Level,
    pub words: String,
    /// Until when it holds without a newer success.
    pub until: Option<DateTime<Utc>>,
    pub overdue: bool,
}

pub fn verdict(known: &Known) -> Verdict {
    // A fan-out goes out when somebody sends it; only the lanes of the timer grow old.
    let timed = || known.standings.iter().filter(|s| s.lane != "publish");
    let failing = || known.standings.iter().filter(|s| s.since.is_some());
    let never = timed().filter(|s| s.last_success.is_none() && s.since.is_none());
    let until = due(timed(), known.most);
    let overdue = until.is_some_and(|u| u < known.now);
    let mut why: Vec<String> = failing()
        .map(|s| {
            let outcome = s.last.as_ref().map_or("failed", |l| l.outcome.word());
            format!("{} of {} {outcome}", s.lane, s.subject)
        })
        .collect();
    why.extend(never.map(|s| format!("{} of {} has never succeeded", s.lane, s.subject)));
    if known.open > 0 {
        why.push(format!("{} for a person", count(known.open, "conflict")));
    }
    if known.worker_died {
        why.push("the worker died".into());
    }
    if overdue {
        why.push("no success for three turns".into());
    }
    let is_bad = failing().next().is_some() || overdue;
    let (level, words) = match (why.is_empty(), is_bad) {
        (true, _) if known.standings.is_empty() => {
            (Level::Look, "Nothing is set up yet.".to_owned())
        }
        (true, _) => (Level::Good, "Everything is fine.".to_owned()),
        (false, false) => (Level::Look, format!("Look at this: {}.", why.join("; "))),
        (false, true) => (Level::Bad, format!("Not fine: {}.", why.join("; "))),
    };
    Verdict {
        level,
        words,
        until,
        overdue,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().to_utc()
    }

    fn standing(lane: &'static str, success: Option<&str>, since: Option<&str>) -> Standing {
        Standing {
            subject: "balaur".into(),
            lane,
            last_success: success.map(str::to_owned),
            last: None,
            since: since.map(str::to_owned),
        }
    }

    fn ask(standings: &[Standing], open: usize, worker_died: bool) -> Verdict {
        verdict(&Known {
            now: at("2026-11-25T12:00:00Z"),
            most: Duration::from_secs(900),
            standings,
            open,
            worker_died,
        })
    }

    #[test]
    fn what_is_fine_grows_old_and_what_fails_says_so() {
        assert_eq!(ask(&[], 0, false).level, Level::Look);
        let fresh = standing("truth", Some("2026-11-25T11:50:00Z"), None);
        let good = ask(std::slice::from_ref(&fresh), 0, false);
        assert_eq!(
            (good.level, &*good.words),
            (Level::Good, "Everything is fine.")
        );
        assert_eq!(good.until, Some(at("2026-11-25T12:05:00Z")));
        let old = standing("logs", Some("2026-11-25T11:40:00Z"), None);
        let late = ask(&[fresh.clone(), old], 0, false);
        assert!(late.overdue && late.level == Level::Bad);
        let away = standing("logs", None, Some("2026-11-25T11:40:00Z"));
        let all = ask(&[fresh.clone(), away], 2, true);
        assert_eq!(
            all.words,
            "Not fine: logs of balaur failed; 2 conflicts for a person; the worker died."
        );
        let waits = ask(&[fresh], 1, false);
        assert_eq!(waits.level, Level::Look);
        // Nobody's timer brings a fan-out.
        let sent = standing("publish", Some("2026-01-01T00:00:00Z"), None);
        assert_eq!(ask(&[sent], 0, false).level, Level::Good);
    }
}
