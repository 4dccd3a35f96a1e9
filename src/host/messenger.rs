//! Messages to the outside: a webhook, a ping, a command.
//!
//! Invariants: none takes longer than a few seconds; an address is never part of what is said about a failure, because addresses
//! of webhooks are secrets.

use std::path::Path;
use std::time::Duration;

use crate::host::clock;
use crate::host::process::{self, Session};
use crate::model::invocation::Invocation;

/// How long anybody outside may take.
const PATIENCE: Duration = Duration::from_secs(5);

fn agent() -> ureq::Agent {
    ureq::Agent::config_builder()
        .timeout_global(Some(PATIENCE))
        .build()
        .into()
}

fn explained(e: &ureq::Error) -> String {
    match e {
        ureq::Error::StatusCode(code) => format!("it answered {code}"),
        ureq::Error::Timeout(_) => format!("no answer within {} s", PATIENCE.as_secs()),
        ureq::Error::HostNotFound => "its host is not found".into(),
        _ => "it cannot be reached".into(),
    }
}

/// Posts a JSON document.
pub fn post(url: &str, json: &str) -> Result<(), String> {
    agent()
        .post(url.trim())
        .header("content-type", "application/json")
        .send(json)
        .map(|_| ())
        .map_err(|e| explained(&e))
}

pub fn get(url: &str) -> Result<(), String> {
    agent()
        .get(url.trim())
        .call()
        .map(|_| ())
        .map_err(|e| explained(&e))
}

/// Runs a command with the document on its standard input.
pub fn command(argv: &[String], json: &str, scratch: &Path) -> Result<(), String> {
    let Some((program, rest)) = argv.split_first() else {
        return Ok(());
    };
    let said = |e: std::io::Error| format!("{program}: {e}");
    let errors = process::error_file(&scratch.join("notify.err")).map_err(said)?;
    let what = Invocation::new(program).args(rest.iter().map(String::as_str));
    let mut session = Session::start(&what, errors).map_err(said)?;
    let _ = session.send(json.as_bytes());
    session.close_stdin();
    let until = clock::monotonic() + PATIENCE;
    while clock::monotonic() < until {
        match session.wait(Duration::from_millis(50)) {
            Some(Some(0)) => return Ok(()),
            Some(code) => return Err(format!("{program} ended with {code:?}")),
            None => {}
        }
    }
    session.end(Duration::from_millis(500));
    Err(format!(
        "{program} took longer than {} s",
        PATIENCE.as_secs()
    ))
}
