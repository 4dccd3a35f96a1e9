//! `watch`: the worker.

use std::time::Duration;

use clap::Args;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Layer, fmt};

use super::args::{Global, duration};
use super::failure::Failure;
use super::out;
use super::sync::tell;
use crate::host::policy_file;
use crate::model::exit;
use crate::worker::{self, End, Order};

/// Sync by itself: at every interval and when files change (only reports unless --apply is given)
#[derive(Debug, Args)]
pub struct Watch {
    /// Carry it out
    #[arg(long)]
    apply: bool,
    /// Report what would be done (the default)
    #[arg(long, conflicts_with = "apply")]
    dry_run: bool,
    /// Instead of the policy's interval
    #[arg(long, value_name = "DURATION", value_parser = interval)]
    interval: Option<Duration>,
    /// One cycle, then end
    #[arg(long)]
    once: bool,
}

fn interval(text: &str) -> Result<Duration, String> {
    match duration(text)? {
        Duration::ZERO => Err("an interval of nothing would never rest".into()),
        other => Ok(other),
    }
}

impl Watch {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        if !policy.peers.iter().any(|p| p.truth || !p.logs.is_empty()) {
            return Err(Failure::usage(
                "the policy has no [[peer]] with truth or logs; nothing was touched",
            ));
        }
        let state = policy.site.state_dir.clone();
        let _guard = log_to(global, &policy.audit.dir);
        let order = Order {
            policy: global.policy.clone(),
            apply: self.apply,
            interval: self.interval,
            once: self.once,
            allow: global.allow.clone(),
        };
        let end = worker::watch(&order, policy).map_err(|e| Failure::failed(format!("{e:#}")))?;
        Ok(match end {
            End::Once(record) => tell(&record, global, false, false),
            End::Stopped => exit::DONE,
            End::GaveUp(n) => {
                return Err(Failure::failed(format!(
                    "{n} cycles failed in a row; the last one: ubos-sync runs show last"
                )));
            }
            End::Other(words) => {
                return Err(Failure::locked(format!(
                    "another worker lives for {} ({words}); to end it: ubos-sync stop",
                    state.display()
                )));
            }
        })
    }
}

/// The worker's own log, a file a day, and standard error. What is written is written when the result is dropped.
fn log_to(
    global: &Global,
    dir: &std::path::Path,
) -> Option<tracing_appender::non_blocking::WorkerGuard> {
    let files = tracing_appender::rolling::Builder::new()
        .rotation(tracing_appender::rolling::Rotation::DAILY)
        .filename_prefix("worker")
        .filename_suffix("log")
        .max_log_files(30)
        .build(dir)
        .ok();
    let level = match (global.quiet, global.verbose) {
        (true, _) => "warn",
        (_, 0) => "info",
        _ => "debug",
    };
    let (file, guard) = files.map(tracing_appender::non_blocking).unzip();
    let file = file.map(|f| {
        fmt::layer()
            .with_ansi(false)
            .with_target(false)
            .with_writer(f)
    });
    let screen = fmt::layer()
        .with_ansi(out::style(global, false).color)
        .with_target(false)
        .with_writer(std::io::stderr)
        .with_filter(EnvFilter::new(level));
    let _ = tracing_subscriber::registry()
        .with(EnvFilter::new("ubos_sync=debug,warn"))
        .with(file)
        .with(screen)
        .try_init();
    guard
}
