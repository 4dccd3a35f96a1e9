//! From the arguments to an exit code.

use std::time::Duration;

use clap::Parser;

use super::args::{Cli, Command, Global};
use super::documents::Failed;
use super::failure::Failure;
use super::{out, runs};
use crate::audit::store::Store;
use crate::host::{clock, policy_file, process, signals};
use crate::model::record::SCHEMA;

/// Runs the program; every way out of it comes through here.
pub fn main() -> u8 {
    super::shell::answer();
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are no errors to clap; everything else is bad usage, exit code 2.
            let _ = error.print();
            return u8::try_from(error.exit_code()).unwrap_or(crate::model::exit::USAGE);
        }
    };
    if matches!(cli.command, Command::Watch(_)) && cfg!(target_os = "linux") {
        // Each short thread of a cycle would get a heap of its own and keep what was freed in it: with glibc the worker would grow to
        // three times the size. Other allocators do not read this.
        process::once_with("MALLOC_ARENA_MAX", "1");
    }
    out::set_up(&cli.global);
    rest(&cli.global);
    let (name, result) = run(&cli);
    result.unwrap_or_else(|failure| {
        report(&cli, name, &failure);
        failure.code
    })
}

/// Not every host at the same moment; a wish to stop ends it.
fn rest(global: &Global) {
    let Some(jitter) = global.jitter else { return };
    signals::listen();
    let most = jitter.as_millis().max(1);
    let dice = u64::try_from(clock::now_ns().unsigned_abs() % most).unwrap_or(0);
    let until = clock::monotonic() + Duration::from_millis(dice);
    while clock::monotonic() < until && signals::stop_wish().is_none() {
        clock::sleep(Duration::from_millis(50));
    }
}

fn run(cli: &Cli) -> (&'static str, Result<u8, Failure>) {
    let global = &cli.global;
    match &cli.command {
        Command::Demo(args) => ("demo", args.run(global)),
        Command::Init(args) => ("init", args.run(global)),
        Command::Check(args) => ("check", args.run(global)),
        Command::Profile(args) => ("profile", args.run(global)),
        Command::Explain(args) => ("explain", args.run(global)),
        Command::Truth(args) => ("truth", args.run(global)),
        Command::Logs(args) => ("logs", args.run(global)),
        Command::Full(args) => ("full", args.run(global)),
        Command::Verify(args) => ("verify", args.run(global)),
        Command::Status(args) => ("status", args.run(global)),
        Command::Rollback(args) => ("rollback", args.run(global)),
        Command::Hold(args) => ("hold", args.run(global)),
        Command::Release(args) => ("release", args.run(global)),
        Command::Watch(args) => ("watch", args.run(global)),
        Command::Stop(args) => ("stop", args.run(global)),
        Command::Health(args) => ("health", args.run(global)),
        Command::Doctor(args) => ("doctor", args.run(global)),
        Command::Service(args) => ("service", args.run(global)),
        Command::UnitFailed(args) => ("unit-failed", args.run(global)),
        Command::Conflicts(args) => ("conflicts", args.run(global)),
        Command::Snapshots(args) => ("snapshots", args.run(global)),
        Command::Librarian(args) => ("librarian", args.run(global)),
        Command::Completions(args) => ("completions", args.run(global)),
        Command::Man(args) => ("man", args.run(global)),
        Command::Publish(args) => ("publish", args.run(global)),
        Command::Report(args) => ("report", args.run(global)),
        Command::Runs(args) => ("runs", audit_log(args, global)),
    }
}

fn audit_log(args: &runs::RunsArgs, global: &Global) -> Result<u8, Failure> {
    let policy = policy_file::load(global.policy.as_deref())?;
    let store = Store::open(&policy.audit.dir).map_err(|e| Failure::failed(e.to_string()))?;
    let (text, code) = runs::run(args, &store, &out::style(global, false), global.json);
    out::text(&text);
    Ok(code)
}

fn report(cli: &Cli, command: &str, failure: &Failure) {
    let wants_json = cli.global.json || matches!(&cli.command, Command::Check(c) if c.wants_json());
    if wants_json {
        out::json(&Failed {
            schema: SCHEMA,
            command,
            outcome: "failed",
            exit_code: failure.code,
            error: &failure.message,
            faults: &failure.faults,
            nearest: None,
        });
    }
    out::note(&failure.message);
}
