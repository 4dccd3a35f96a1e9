//! `completions` and `man`: what a shell and a reader of manuals need, made from the very definitions of the commands.

use std::path::PathBuf;

use clap::{Args, CommandFactory};
use clap_complete::Shell;
use clap_complete::env::{CompleteEnv, Shells};

use super::args::{Cli, Global};
use super::failure::Failure;
use super::out;
use crate::host::files;
use crate::model::exit;

/// Print what teaches a shell (bash, zsh, fish, elvish, powershell) to complete commands, peers, targets and runs
#[derive(Debug, Args)]
pub struct Completions {
    shell: Shell,
}

/// The variable by which a shell asks this program for completions.
const ASKS: &str = "COMPLETE";

impl Completions {
    pub fn run(&self, _: &Global) -> Result<u8, Failure> {
        let name = self.shell.to_string();
        let builtins = Shells::builtins();
        let shell = builtins
            .completer(&name)
            .ok_or_else(|| Failure::usage(format!("{name} is not known")))?;
        let mut bytes = Vec::new();
        shell
            .write_registration(ASKS, "ubos_sync", "ubos-sync", "ubos-sync", &mut bytes)
            .map_err(|e| Failure::failed(e.to_string()))?;
        out::raw(&bytes);
        Ok(exit::DONE)
    }
}

/// Answers a shell that asks for completions; comes back when none does.
pub fn answer() {
    CompleteEnv::with_factory(Cli::command).var(ASKS).complete();
}

/// Print the manual page, or write one for each command
#[derive(Debug, Args)]
pub struct Man {
    /// Write ubos-sync.1 and a page for each command into this directory
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
}

impl Man {
    pub fn run(&self, _: &Global) -> Result<u8, Failure> {
        let mut all = Cli::command();
        all.build();
        let Some(dir) = &self.out else {
            out::raw(&page(all)?);
            return Ok(exit::DONE);
        };
        files::shared_dir(dir).map_err(|e| Failure::failed(e.to_string()))?;
        let names: Vec<clap::Command> = all
            .get_subcommands()
            .filter(|c| !c.is_hide_set())
            .map(|c| {
                c.clone()
                    .name(c.get_display_name().unwrap_or(c.get_name()).to_owned())
            })
            .collect();
        for command in std::iter::once(all).chain(names) {
            let file = dir.join(format!("{}.1", command.get_name()));
            files::write_atomic(&file, &page(command)?, files::Sync::Name)
                .map_err(|e| Failure::failed(e.to_string()))?;
            out::line(&file.display().to_string());
        }
        Ok(exit::DONE)
    }
}

fn page(command: clap::Command) -> Result<Vec<u8>, Failure> {
    let mut bytes = Vec::new();
    clap_mangen::Man::new(command)
        .render(&mut bytes)
        .map_err(|e| Failure::failed(e.to_string()))?;
    Ok(bytes)
}
