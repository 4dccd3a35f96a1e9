//! The units of this host: on, up to date, able to run without a login.

use std::path::Path;

use super::Book;
use crate::host::{plain_files, process};
use crate::lanes::installed::{self, Standing};
use crate::model::policy::Policy;

/// Where logind keeps who lingers.
const LINGER: &str = "/var/lib/systemd/linger";

pub(super) fn rows(policy: &Policy, book: &mut Book) {
    let all = installed::all(policy);
    if all.is_empty() {
        book.good("units", "none is installed: it runs when somebody says so");
    }
    for unit in &all {
        one(unit, book);
    }
}

fn one(unit: &Standing, book: &mut Book) {
    let scope = match unit.scope {
        "system" => " --system",
        _ => "",
    };
    let name = unit.unit;
    let before = book.all.len();
    if !unit.drift.is_empty() {
        book.look(
            "units",
            format!(
                "not what the policy would make any more: {}",
                unit.drift.join(", ")
            ),
            unit.install.clone(),
        );
    }
    if unit.told.enabled == Some(false) || unit.told.active == Some(false) {
        book.look(
            "units",
            format!("{name} is installed and switched off"),
            format!("ubos-sync service enable{scope}"),
        );
    }
    if let Some(result) = unit.told.last_result.as_deref()
        && !result.starts_with("success")
    {
        book.look(
            "units",
            format!("the last run of {name} ended badly ({result})"),
            format!("ubos-sync service logs{scope}"),
        );
    }
    if let Some(why) = &unit.manager_error {
        book.look(
            "units",
            format!("{name} is installed, and the service manager does not answer: {why}"),
            match unit.kind {
                "launchd" => "ubos-sync service enable",
                _ => "systemctl --user status   # or, for the system: systemctl status",
            },
        );
    }
    if unit.kind == "systemd" && unit.scope == "user" {
        let user = process::user();
        if !plain_files::exists(&Path::new(LINGER).join(&user)) {
            book.look(
                "linger",
                format!("units of {user} run only while {user} is logged in"),
                format!("loginctl enable-linger {user}"),
            );
        }
    }
    if book.all.len() == before {
        book.good(
            "units",
            format!(
                "{name} is on, every {} s, as the policy would have it",
                unit.interval_seconds
            ),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lanes::doctor::Verdict;
    use crate::tool::manager::Told;

    #[test]
    fn a_unit_that_is_on_and_fine_is_told_from_one_that_is_off_failed_or_unheard_of() {
        let told = |enabled, active, result: &str| Told {
            enabled: Some(enabled),
            active: Some(active),
            last_result: Some(result.into()),
            ..Told::default()
        };
        for (told, manager_error, fixes) in [
            (told(true, true, "success"), None, &[][..]),
            // One that has never run tells nothing of how that went.
            (Told::default(), None, &[]),
            (
                told(false, true, "success"),
                None,
                &["service enable --system"],
            ),
            (
                told(true, false, "success"),
                None,
                &["service enable --system"],
            ),
            (
                told(true, true, "exit-code"),
                None,
                &["service logs --system"],
            ),
            (
                told(false, false, "timeout"),
                None,
                &["service enable --system", "service logs --system"],
            ),
            (Told::default(), Some("no bus"), &["systemctl status"]),
        ] {
            let unit = Standing {
                kind: "systemd",
                scope: "system",
                unit: "ubos-sync.timer",
                mode: "timer",
                lane: "full".into(),
                applies: true,
                run_as: Some("th".into()),
                interval_seconds: 600,
                files: Vec::new(),
                drift: Vec::new(),
                install: String::new(),
                told,
                manager_error: manager_error.map(str::to_owned),
            };
            let mut book = Book::of("mac");
            one(&unit, &mut book);
            let bad = book.all.iter().filter(|c| c.verdict != Verdict::Good);
            let bad: Vec<&str> = bad.map(|c| c.fix.as_str()).collect();
            assert_eq!(bad.len(), fixes.len(), "{unit:?}: {bad:?}");
            assert!(
                bad.iter().zip(fixes).all(|(f, w)| f.ends_with(w)),
                "{bad:?}"
            );
            let well = book
                .all
                .iter()
                .any(|c| c.found.contains("is on, every 600 s"));
            assert_eq!(well, fixes.is_empty(), "{unit:?}");
        }
    }
}
