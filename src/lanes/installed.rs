//! What is installed on this host and how it stands: one answer for `status`, `service status` and `doctor`.
//!
//! Invariant: what the service manager does not tell is unknown, never guessed.

use serde::Serialize;

use super::service::{self, Command, Now, domain, systemctl, words};
use crate::model::policy::Policy;
use crate::tool::manager::{self, Told};
use crate::tool::units::{self, Choice, Kind, LABEL, Mode};

#[derive(Debug, Clone, PartialEq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Standing {
    #[cfg_attr(test, schemars(extend("enum" = ["systemd", "launchd"])))]
    pub kind: &'static str,
    /// `user` or `system`.
    #[cfg_attr(test, schemars(extend("enum" = ["user", "system"])))]
    pub scope: &'static str,
    pub unit: &'static str,
    #[cfg_attr(test, schemars(extend("enum" = ["timer", "watch"])))]
    pub mode: &'static str,
    pub lane: String,
    pub applies: bool,
    pub run_as: Option<String>,
    pub interval_seconds: u64,
    pub files: Vec<String>,
    /// Those that are not what the policy would make any more.
    pub drift: Vec<String>,
    /// How to bring them up to date.
    pub install: String,
    #[serde(flatten)]
    pub told: Told,
    /// Why the manager tells nothing.
    pub manager_error: Option<String>,
}

/// Everything that is installed here, for this user and for the system.
pub fn all(policy: &Policy) -> Vec<Standing> {
    let kind = service::native();
    let both = [false, true].into_iter();
    both.filter_map(|is_system| standing(policy, kind, is_system))
        .collect()
}

/// What is installed of this kind, there.
pub fn standing(policy: &Policy, kind: Kind, is_system: bool) -> Option<Standing> {
    let all = service::installed(kind, is_system);
    let choice = all.iter().find_map(|(_, c)| c.clone())?;
    let mut wanted = choice.clone();
    wanted.jitter = policy.schedule.jitter;
    if !choice.own_interval {
        wanted.interval = policy.schedule.interval;
    }
    let planned = service::planned(&wanted, &service::place(policy)).unwrap_or_default();
    let drift = planned.iter().filter(|p| p.now != Now::Same);
    let drift = drift.map(|p| p.path.display().to_string()).collect();
    let (told, manager_error) = match service::ask(&to_ask(&choice)) {
        Ok(text) => (
            match kind {
                Kind::Systemd => manager::systemd(&text),
                Kind::Launchd => manager::launchd(&text, choice.mode == Mode::Watch),
            },
            None,
        ),
        Err(why) => (Told::default(), Some(why)),
    };
    Some(Standing {
        kind: match kind {
            Kind::Systemd => "systemd",
            Kind::Launchd => "launchd",
        },
        scope: if is_system { "system" } else { "user" },
        unit: units::switch(&choice),
        mode: match choice.mode {
            Mode::Timer => "timer",
            Mode::Watch => "watch",
        },
        install: install(&choice),
        lane: choice.lane,
        applies: choice.applies,
        run_as: choice.run_as,
        interval_seconds: choice.interval.as_secs(),
        files: all.iter().map(|(p, _)| p.display().to_string()).collect(),
        drift,
        told,
        manager_error,
    })
}

/// The command that makes the same units from today's policy.
fn install(choice: &Choice) -> String {
    let mut words = vec!["ubos-sync service install --apply".to_owned()];
    if let Some(user) = &choice.run_as {
        words.push(format!("--system --run-as {user}"));
    }
    if choice.mode == Mode::Watch {
        words.push("--mode watch".into());
    }
    if choice.lane != "full" {
        words.push(format!("--lane {}", choice.lane));
    }
    if !choice.applies {
        words.push("--report-only".into());
    }
    words.join(" ")
}

/// How the manager is asked. Of a timer both halves: the one tells when, the other how it ended.
fn to_ask(choice: &Choice) -> Command {
    let is_system = choice.run_as.is_some();
    let unit = units::switch(choice);
    match (choice.kind, choice.mode) {
        (Kind::Systemd, Mode::Timer) => systemctl(
            is_system,
            &["show", unit, "ubos-sync.service", manager::ASKED],
        ),
        (Kind::Systemd, Mode::Watch) => systemctl(is_system, &["show", unit, manager::ASKED]),
        (Kind::Launchd, _) => words(&[
            "launchctl",
            "print",
            &format!("{}/{LABEL}", domain(is_system)),
        ]),
    }
}
