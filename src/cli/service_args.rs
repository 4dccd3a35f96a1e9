//! What `service` can be told: which manager, for whom, and what shall run.

use clap::{Args, ValueEnum};

use super::failure::Failure;
use crate::lanes::service;
use crate::model::policy::Policy;
use crate::tool::units::{Choice, Kind, Mode};

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Manager {
    Systemd,
    Launchd,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Loop {
    Timer,
    Watch,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Lanes {
    Full,
    Truth,
    Logs,
}

#[derive(Debug, Args)]
pub(super) struct Scope {
    /// The service manager [default: this host's]
    #[arg(long)]
    kind: Option<Manager>,
    /// For this user (the default)
    #[arg(long)]
    user: bool,
    /// For the whole system
    #[arg(long, conflicts_with = "user")]
    pub(super) system: bool,
    /// Carry it out
    #[arg(long)]
    pub(super) apply: bool,
    /// Show what would be done (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
}

#[derive(Debug, Args)]
pub(super) struct Chosen {
    #[command(flatten)]
    pub(super) scope: Scope,
    /// The user that a system unit runs as
    #[arg(long, value_name = "USER", requires = "system")]
    run_as: Option<String>,
    /// A timer that starts one run after the other, or the worker that also hears file events
    #[arg(long, default_value = "timer")]
    mode: Loop,
    /// What the timer runs
    #[arg(long, default_value = "full")]
    lane: Lanes,
}

impl Scope {
    /// The scopes to look at: the one that was named, or both.
    pub(super) fn either(&self) -> Vec<bool> {
        match (self.system, self.user) {
            (true, _) => vec![true],
            (false, true) => vec![false],
            (false, false) => vec![false, true],
        }
    }

    pub(super) fn kind(&self) -> Kind {
        match self.kind {
            None => service::native(),
            Some(Manager::Systemd) => Kind::Systemd,
            Some(Manager::Launchd) => Kind::Launchd,
        }
    }
}

impl Chosen {
    pub(super) fn choice(&self, policy: &Policy, applies: bool) -> Result<Choice, Failure> {
        let run_as = match (self.scope.system, &self.run_as) {
            (true, None) => {
                return Err(Failure::usage(
                    "a system unit wants a user to run as: --run-as USER; nothing was touched",
                ));
            }
            (_, user) => user.clone(),
        };
        let plain = |u: &String| {
            u.bytes()
                .all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
                && !u.starts_with('-')
        };
        if !run_as.iter().all(plain) {
            return Err(Failure::usage(
                "--run-as wants the name of a user; nothing was touched",
            ));
        }
        Ok(Choice {
            kind: self.scope.kind(),
            mode: match self.mode {
                Loop::Timer => Mode::Timer,
                Loop::Watch => Mode::Watch,
            },
            lane: match self.lane {
                Lanes::Full => "full",
                Lanes::Truth => "truth",
                Lanes::Logs => "logs",
            }
            .into(),
            applies,
            run_as,
            interval: policy.schedule.interval,
            jitter: policy.schedule.jitter,
            own_interval: false,
        })
    }
}
