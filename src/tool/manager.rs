//! What service managers tell of a unit: `systemctl show` and `launchctl print`, read. Pure.
//!
//! Invariant: a time is only told when it was read; systemd's come in UTC, because children run with `TZ=UTC`.

use chrono::{DateTime, NaiveDateTime, Utc};
use serde::Serialize;

use crate::model::text::neutral;
use crate::model::time::rfc3339;

/// The properties that [`systemd`] reads.
pub const ASKED: &str = "--property=Id,ActiveState,UnitFileState,Result,NextElapseUSecRealtime,LastTriggerUSec,ExecMainStartTimestamp,ExecMainStatus";

/// What a manager told; `None`: it did not.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Told {
    pub enabled: Option<bool>,
    /// The timer waits, or the worker runs.
    pub active: Option<bool>,
    /// RFC 3339.
    pub next_run: Option<String>,
    pub last_run: Option<String>,
    /// `success`, or what the manager calls the failure.
    pub last_result: Option<String>,
}

/// Reads one block (a worker) or two (a timer, then what it starts).
pub fn systemd(text: &str) -> Told {
    let blocks: Vec<&str> = text
        .split("\n\n")
        .filter(|b| !b.trim().is_empty())
        .collect();
    let (Some(switch), Some(service)) = (blocks.first(), blocks.last()) else {
        return Told::default();
    };
    let get = |block: &str, key: &str| {
        let line = block
            .lines()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='));
        line.map(|v| neutral(v.trim())).filter(|v| !v.is_empty())
    };
    let last_run = get(service, "ExecMainStartTimestamp")
        .and_then(|t| time(&t))
        .or_else(|| get(switch, "LastTriggerUSec").and_then(|t| time(&t)));
    Told {
        enabled: get(switch, "UnitFileState").map(|s| s.starts_with("enabled")),
        active: get(switch, "ActiveState").map(|s| s == "active" || s == "activating"),
        next_run: get(switch, "NextElapseUSecRealtime").and_then(|t| time(&t)),
        // A unit that never ran is called a success, too.
        last_result: last_run.as_ref().and(get(service, "Result")),
        last_run,
    }
}

/// `Fri 2026-11-27 07:10:12 UTC`.
fn time(text: &str) -> Option<String> {
    let at = NaiveDateTime::parse_from_str(text, "%a %Y-%m-%d %H:%M:%S UTC").ok()?;
    Some(rfc3339(DateTime::<Utc>::from_naive_utc_and_offset(at, Utc)))
}

/// Reads the description of a loaded agent. launchd tells neither when it will start it nor when it did. One that is a worker is
/// active while it runs, one that is started by the clock as long as it is loaded.
pub fn launchd(text: &str, is_worker: bool) -> Told {
    let get = |key: &str| {
        let line = text
            .lines()
            .find_map(|l| l.trim().strip_prefix(key)?.strip_prefix(" = "));
        line.map(|v| neutral(v.trim()))
    };
    let code = get("last exit code").filter(|c| c.starts_with(|c: char| c.is_ascii_digit()));
    Told {
        // What is switched off is not loaded, and then there is nothing to print.
        enabled: Some(true),
        active: match is_worker {
            true => get("state").map(|s| s == "running"),
            false => Some(true),
        },
        next_run: None,
        last_run: None,
        last_result: code.map(|c| match c.as_str() {
            "0" => "success".to_owned(),
            // What a unit of systemd is told by SuccessExitStatus.
            "4" | "5" | "6" => format!("success (exit code {c})"),
            c => format!("exit code {c}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_timer_tells_when_and_its_service_how() {
        let told = systemd(
            "Id=ubos-sync.timer\nActiveState=active\nUnitFileState=enabled\nResult=success\nNextElapseUSecRealtime=Fri 2026-11-27 07:14:57 UTC\nLastTriggerUSec=Fri 2026-11-27 07:10:12 UTC\n\nId=ubos-sync.service\nActiveState=inactive\nUnitFileState=static\nResult=exit-code\nExecMainStartTimestamp=Fri 2026-11-27 07:10:13 UTC\nExecMainStatus=3\n",
        );
        let text = |t: &str| Some(t.to_owned());
        assert_eq!(
            told,
            Told {
                enabled: Some(true),
                active: Some(true),
                next_run: text("2026-11-27T07:14:57Z"),
                last_run: text("2026-11-27T07:10:13Z"),
                last_result: text("exit-code"),
            }
        );
    }

    #[test]
    fn what_never_ran_has_no_result_and_what_is_off_is_off() {
        let told = systemd(
            "ActiveState=inactive\nUnitFileState=disabled\nResult=success\nNextElapseUSecRealtime=\nLastTriggerUSec=n/a\n",
        );
        assert_eq!((told.enabled, told.active), (Some(false), Some(false)));
        assert_eq!((told.last_result, told.next_run), (None, None));
        assert_eq!(systemd(""), Told::default());
    }

    #[test]
    fn an_agent_tells_its_last_exit_code() {
        let told = |code: &str| {
            let text = format!(
                "gui/501/ubos-sync = {{\n\tstate = not running\n\tlast exit code = {code}\n}}\n"
            );
            launchd(&text, false)
        };
        assert_eq!(told("0").last_result.as_deref(), Some("success"));
        assert_eq!(told("3").last_result.as_deref(), Some("exit code 3"));
        assert_eq!(told("(never exited)").last_result, None);
    }

    #[test]
    fn an_agent_that_is_a_worker_is_active_while_it_runs() {
        let active = |state: &str, is_worker| {
            launchd(&format!("{{\n\tstate = {state}\n}}\n"), is_worker).active
        };
        assert_eq!(active("running", true), Some(true));
        assert_eq!(active("not running", true), Some(false));
        assert_eq!(active("not running", false), Some(true));
        assert_eq!(launchd("", true).active, None);
    }
}
