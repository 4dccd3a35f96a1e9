//! `demo`: the main job on scratch folders, with the real engines, narrated; every step checks its own outcome.

use clap::Args;

use super::args::Global;
use super::failure::Failure;
use crate::host::process;
use crate::model::invocation::Invocation;

/// Show the main job on scratch folders, in under a minute; nothing of yours is touched
#[derive(Debug, Args)]
pub struct Demo {
    /// Leave the scratch folder behind, to play with
    #[arg(long)]
    keep: bool,
}

const SCRIPT: &str = include_str!("demo.sh");

impl Demo {
    pub fn run(&self, _: &Global) -> Result<u8, Failure> {
        let program = process::own_program()
            .ok_or_else(|| Failure::failed("this program does not know where it lies"))?;
        let mut call = Invocation::new("/bin/sh")
            .args(["-c", SCRIPT, "demo"])
            .env("UBOS_SYNC", &program);
        if self.keep {
            call = call.args(["--keep"]);
        }
        // It takes this process's place: what the terminal sends goes to it.
        let e = process::replace(&call);
        Err(Failure::failed(format!("the demo cannot be started: {e}")))
    }
}
