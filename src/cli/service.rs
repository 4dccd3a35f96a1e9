//! `service`: the units that let it run by itself; everything is shown before it is done.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::json;

use super::args::{Global, duration};
use super::documents::{
    ServiceCommands, ServiceFile, ServicePrint, ServiceStatus, ServiceUninstall,
};
use super::failure::Failure;
use super::service_args::{Chosen, Scope};
use super::{out, render};
use crate::host::{files, policy_file};
use crate::lanes::installed::{self, Standing};
use crate::lanes::service::{self, Command, Now, Planned};
use crate::model::exit;
use crate::model::policy::Policy;
use crate::model::record::SCHEMA;
use crate::model::text::neutral;
use crate::model::words::word;
use crate::tool::units::{AGENT_LOG, Choice, Kind};

/// Let it run by itself: systemd units or a launchd agent
#[derive(Debug, Args)]
pub struct Service {
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// Show the files and the commands
    Print(Chosen),
    /// Write the files and switch them on (shows them unless --apply is given; the unit applies unless --report-only is)
    Install {
        #[command(flatten)]
        chosen: Chosen,
        /// Install a unit that only reports
        #[arg(long)]
        report_only: bool,
    },
    /// Switch off and remove everything that install wrote (shown unless --apply is given)
    Uninstall(Scope),
    /// Switch what is installed on
    Enable(Scope),
    /// Switch what is installed off, without removing it
    Disable(Scope),
    /// Give what is installed another interval
    Interval {
        #[arg(value_parser = duration)]
        interval: Duration,
        #[command(flatten)]
        scope: Scope,
    },
    /// What is installed, whether it is on, and whether it is still what the policy would make
    Status(Scope),
    /// Start a cycle now
    Trigger(Scope),
    /// The last lines of its journal
    Logs {
        #[arg(short = 'n', long, default_value = "100")]
        lines: u32,
        #[command(flatten)]
        scope: Scope,
    },
}

impl Service {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        match &self.what {
            What::Print(chosen) => {
                let choice = chosen.choice(&policy, chosen.scope.apply)?;
                let planned = plan(&choice, &policy)?;
                show(global, &choice, &policy, &planned, true);
                Ok(exit::DONE)
            }
            What::Install {
                chosen,
                report_only,
            } => {
                let choice = chosen.choice(&policy, !report_only)?;
                install(global, &policy, &choice, chosen.scope.apply)
            }
            What::Uninstall(scope) => uninstall(global, scope),
            What::Enable(scope) => switch(global, scope, true),
            What::Disable(scope) => switch(global, scope, false),
            What::Interval { interval, scope } => {
                if interval.is_zero() {
                    return Err(Failure::usage("an interval of nothing would never rest"));
                }
                let mut choice = found(scope)?.1;
                choice.interval = *interval;
                choice.own_interval = true;
                install(global, &policy, &choice, scope.apply)
            }
            What::Status(scope) => status(global, &policy, scope),
            What::Trigger(scope) => {
                let (_, choice) = found(scope)?;
                carry_out(global, &[service::to_trigger(&choice)])
            }
            What::Logs { lines, scope } => {
                let (_, choice) = found(scope)?;
                if choice.kind == Kind::Launchd {
                    return agent_log(&policy.audit.dir.join(AGENT_LOG), *lines);
                }
                let text = service::call(&service::to_read_log(&choice, &lines.to_string()));
                let text =
                    text.map_err(|e| Failure::failed(format!("the journal cannot be read: {e}")))?;
                for line in text.lines() {
                    out::line(&neutral(line));
                }
                Ok(exit::DONE)
            }
        }
    }
}

/// The last lines of what launchd wrote down.
fn agent_log(file: &Path, lines: u32) -> Result<u8, Failure> {
    let bytes = files::read_bounded(file, 1 << 30).map_err(|e| Failure::failed(e.to_string()))?;
    let text = String::from_utf8_lossy(&bytes);
    let all: Vec<&str> = text.lines().collect();
    let from = all.len().saturating_sub(lines as usize);
    all[from..].iter().for_each(|l| out::line(&neutral(l)));
    Ok(exit::DONE)
}

fn plan(choice: &Choice, policy: &Policy) -> Result<Vec<Planned>, Failure> {
    service::planned(choice, &service::place(policy)).map_err(Failure::usage)
}

/// The file that is switched, and how it was made.
fn found(scope: &Scope) -> Result<(PathBuf, Choice), Failure> {
    let all = service::installed(scope.kind(), scope.system);
    all.into_iter().find_map(|(p, c)| Some((p, c?))).ok_or_else(|| {
        Failure::refused("no unit of ours is installed there; to install one: ubos-sync service install --apply")
    })
}

fn shown(command: &Command) -> String {
    command
        .iter()
        .map(|w| word(w))
        .collect::<Vec<_>>()
        .join(" ")
}

fn commands_of(choice: &Choice, policy: &Policy, planned: &[Planned]) -> Vec<Command> {
    let path = planned.first().map(|p| p.path.clone()).unwrap_or_default();
    let mut all = service::to_prepare(choice, policy);
    all.extend(service::to_install(choice, &path));
    all
}

fn show(
    global: &Global,
    choice: &Choice,
    policy: &Policy,
    planned: &[Planned],
    with_content: bool,
) {
    let commands = commands_of(choice, policy, planned);
    if global.json {
        let files = planned.iter().map(|p| ServiceFile {
            path: p.path.display().to_string(),
            content: &p.file.content,
            now: now_word(p.now),
        });
        out::json(&ServicePrint {
            schema: SCHEMA,
            command: "service",
            files: files.collect(),
            commands: commands.iter().map(shown).collect(),
            exit_code: exit::DONE,
        });
        return;
    }
    for p in planned {
        out::line(&format!(
            "# {} ({})",
            neutral(&p.path.display().to_string()),
            now_word(p.now)
        ));
        if with_content {
            out::text(&p.file.content);
            out::line("");
        }
    }
    for command in &commands {
        out::line(&shown(command));
    }
}

fn now_word(now: Now) -> &'static str {
    match now {
        Now::Absent => "new",
        Now::Same => "as it is",
        Now::Other => "changes",
        Now::Foreign => "somebody else's",
    }
}

fn install(global: &Global, policy: &Policy, choice: &Choice, apply: bool) -> Result<u8, Failure> {
    let planned = plan(choice, policy)?;
    if let Some(p) = planned.iter().find(|p| p.now == Now::Foreign) {
        return Err(Failure::refused(format!(
            "{} was not written by this program and stays as it is; to have ours there, move it away first",
            p.path.display()
        )));
    }
    if !apply {
        show(global, choice, policy, &planned, true);
        if !global.json {
            out::note("nothing was written; to do it: the same command with --apply");
        }
        return Ok(exit::DONE);
    }
    for p in planned.iter().filter(|p| p.now != Now::Same) {
        service::write(p).map_err(Failure::failed)?;
        if !global.json {
            out::line(&format!("wrote {}", p.path.display()));
        }
    }
    carry_out(global, &commands_of(choice, policy, &planned))
}

/// Runs the commands in turn; one that fails ends it, unless it only lets go what may not be there.
fn carry_out(global: &Global, commands: &[Command]) -> Result<u8, Failure> {
    let mut failed = None;
    for command in commands {
        match service::call(command) {
            Ok(_) if global.json => {}
            Ok(_) => out::line(&format!("ran {}", shown(command))),
            Err(e) if !service::may_fail(command) => {
                return Err(Failure::failed(format!(
                    "`{}` failed: {e}\nwhat was written stays; when the service manager is there, run what is left by hand:\n{}",
                    shown(command),
                    commands
                        .iter()
                        .map(|c| format!("  {}", shown(c)))
                        .collect::<Vec<_>>()
                        .join("\n")
                )));
            }
            Err(e) => failed = Some(format!("`{}`: {e}", shown(command))),
        }
    }
    if global.json {
        out::json(&ServiceCommands {
            schema: SCHEMA,
            command: "service",
            commands: commands.iter().map(shown).collect(),
            note: failed,
            exit_code: exit::DONE,
        });
    } else if let Some(note) = failed {
        out::note(&note);
    }
    Ok(exit::DONE)
}

fn uninstall(global: &Global, scope: &Scope) -> Result<u8, Failure> {
    let all = service::installed(scope.kind(), scope.system);
    let names: Vec<String> = all
        .iter()
        .filter_map(|(p, _)| Some(p.file_name()?.to_string_lossy().into_owned()))
        .collect();
    if all.is_empty() {
        out::note("no unit of ours is installed there; nothing was touched");
        return Ok(exit::DONE);
    }
    let before = service::to_uninstall(scope.kind(), scope.system, &names);
    let after = service::after_uninstall(scope.kind(), scope.system, &names);
    let removed: Vec<String> = all.iter().map(|(p, _)| p.display().to_string()).collect();
    let document = |done: bool| {
        out::json(&ServiceUninstall {
            schema: SCHEMA,
            command: "service",
            removed: &removed,
            commands: before.iter().chain(&after).map(shown).collect(),
            done,
            exit_code: exit::DONE,
        });
    };
    if !scope.apply && global.json {
        document(false);
        return Ok(exit::DONE);
    }
    if !scope.apply {
        for command in &before {
            out::line(&shown(command));
        }
        for (path, _) in &all {
            out::line(&format!("rm {}", path.display()));
        }
        for command in &after {
            out::line(&shown(command));
        }
        out::note("nothing was done; to do it: the same command with --apply");
        return Ok(exit::DONE);
    }
    // Without a service manager there is nothing to switch off, and the files go all the same.
    let mut troubles: Vec<String> = Vec::new();
    let mut run = |commands: &[Command]| {
        for command in commands {
            if let Err(e) = service::call(command) {
                troubles.push(format!("`{}`: {e}", shown(command)));
            }
        }
    };
    run(&before);
    let (stamps, rest): (Vec<Command>, Vec<Command>) = after
        .iter()
        .cloned()
        .partition(|c| c.contains(&"clean".to_owned()));
    run(&stamps);
    for (path, _) in &all {
        service::remove(path).map_err(Failure::failed)?;
        if !global.json {
            out::line(&format!("removed {}", path.display()));
        }
    }
    run(&rest);
    if global.json {
        document(true);
    }
    for trouble in troubles {
        out::note(&trouble);
    }
    Ok(exit::DONE)
}

fn switch(global: &Global, scope: &Scope, on: bool) -> Result<u8, Failure> {
    let (path, choice) = found(scope)?;
    let commands = service::to_switch(&choice, on, &path);
    carry_out(global, &commands)
}

fn status(global: &Global, policy: &Policy, scope: &Scope) -> Result<u8, Failure> {
    let scopes = scope.either().into_iter();
    let all: Vec<Standing> = scopes
        .filter_map(|is_system| installed::standing(policy, scope.kind(), is_system))
        .collect();
    let first = all.first();
    if global.json {
        out::json(&ServiceStatus {
            first,
            schema: SCHEMA,
            command: "service",
            installed: first.is_some(),
            all: &all,
            exit_code: exit::DONE,
        });
        return Ok(exit::DONE);
    }
    if first.is_none() {
        out::line("not installed; to see what would be: ubos-sync service install");
    }
    for unit in &all {
        for file in &unit.files {
            out::line(&format!("installed {}", neutral(file)));
        }
        out::text(&render::status::service(
            &json!(unit),
            &out::style(global, false),
        ));
        if let Some(why) = &unit.manager_error {
            out::note(&format!("the service manager does not answer: {why}"));
        }
    }
    Ok(exit::DONE)
}

/// Tells of a unit that failed; the service manager calls it
#[derive(Debug, Args)]
pub struct UnitFailed {
    unit: String,
}

impl UnitFailed {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let result = policy_file::variable("MONITOR_SERVICE_RESULT");
        let why = format!(
            "the unit {} failed ({}); to see why: ubos-sync service logs",
            neutral(&self.unit),
            neutral(result.as_deref().unwrap_or("no reason was given"))
        );
        for trouble in crate::lanes::outside::unit_failed(&policy, why) {
            out::note(&trouble);
        }
        Ok(exit::DONE)
    }
}
