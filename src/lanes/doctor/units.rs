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
