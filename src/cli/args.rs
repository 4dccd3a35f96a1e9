//! The words of the command line. Help texts are these comments.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Parser, Subcommand, ValueEnum};

use super::{
    check, conflicts, demo, doctor, explain, full, health, hold, init, librarian, logs, profile,
    publish, report, rollback, runs, service, shell, snapshots, status, stop, truth, verify, watch,
};
use crate::model::policy::parse_duration;
use crate::model::text::nearest;

/// Sync truth, not state: unison and rsync made safe to run unattended.
///
/// Everything that could change a replica, a log or a target is a dry run unless --apply is given.
#[derive(Debug, Parser)]
#[command(
    name = "ubos-sync",
    version = env!("UBOS_SYNC_VERSION"),
    propagate_version = true,
    disable_help_subcommand = true
)]
pub struct Cli {
    #[command(flatten)]
    pub global: Global,
    #[command(subcommand)]
    pub command: Command,
}

/// Flags that every command takes.
#[derive(Debug, Args)]
#[command(next_help_heading = "Global options")]
pub struct Global {
    /// The policy [default: $UBOS_SYNC_POLICY, ubos-sync.toml here or above, the personal one]
    #[arg(long, global = true, value_name = "FILE")]
    pub policy: Option<PathBuf>,
    /// Print one JSON document on standard output, and nothing else there
    #[arg(long, global = true)]
    pub json: bool,
    /// When to use colour
    #[arg(long, global = true, value_name = "WHEN", default_value = "auto")]
    pub color: Color,
    /// Say more (repeatable)
    #[arg(short, long, global = true, action = clap::ArgAction::Count, conflicts_with = "quiet")]
    pub verbose: u8,
    /// Say only what went wrong
    #[arg(short, long, global = true)]
    pub quiet: bool,
    /// No progress bars
    #[arg(long, global = true)]
    pub no_progress: bool,
    /// How long to wait for a run that holds the lock (5m, 30s, …)
    #[arg(long, global = true, value_name = "DURATION", value_parser = duration)]
    pub wait: Option<Duration>,
    /// Wait up to so long first, so that not every host begins at the same moment
    #[arg(long, global = true, hide = true, value_name = "DURATION", value_parser = duration)]
    pub jitter: Option<Duration>,
    /// Waive a guard, for this run only (repeatable)
    #[arg(long, global = true, value_name = "GUARD", value_parser = guard)]
    pub allow: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Color {
    Auto,
    Always,
    Never,
}

/// One variant per command; a command is a module of its own.
#[derive(Debug, Subcommand)]
pub enum Command {
    Demo(demo::Demo),
    Init(init::Init),
    Check(check::Check),
    Doctor(doctor::Doctor),
    Profile(profile::Profile),
    Explain(explain::Explain),
    Truth(truth::Truth),
    Logs(logs::Logs),
    Full(full::Full),
    Publish(publish::Publish),
    Verify(verify::Verify),
    Status(status::Status),
    Watch(watch::Watch),
    Stop(stop::Stop),
    Health(health::Health),
    Librarian(librarian::Librarian),
    Service(service::Service),
    #[command(hide = true)]
    UnitFailed(service::UnitFailed),
    Report(report::Report),
    Runs(runs::RunsArgs),
    Conflicts(conflicts::Conflicts),
    Rollback(rollback::Rollback),
    Snapshots(snapshots::Snapshots),
    Hold(hold::Hold),
    Release(hold::Release),
    Completions(shell::Completions),
    Man(shell::Man),
}

/// A duration as the policy writes them.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_duration(text).ok_or_else(|| "wanted a duration such as 30s, 5m, 1h30m".into())
}

/// The guards that may be waived. `state_leak` is not among them: nothing waives it.
pub const WAIVABLE: [&str; 11] = [
    "marker",
    "roots",
    "max_delete",
    "all_changed",
    "first_sync",
    "clock_skew",
    "free_space",
    "engine_version",
    "root_mode",
    "rules_changed",
    "held",
];

fn guard(text: &str) -> Result<String, String> {
    if WAIVABLE.contains(&text) {
        return Ok(text.to_owned());
    }
    if text == "state_leak" {
        return Err("state never crosses: this guard cannot be waived".into());
    }
    match nearest(text, WAIVABLE) {
        Some(near) => Err(format!("no such guard; did you mean {near}?")),
        None => Err(format!("no such guard; there are {}", WAIVABLE.join(", "))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }

    #[test]
    fn guards_are_known_and_state_is_never_waived() {
        assert!(guard("max_delete").is_ok());
        assert!(guard("max_delet").unwrap_err().contains("max_delete"));
        assert!(guard("state_leak").unwrap_err().contains("cannot"));
    }
}
