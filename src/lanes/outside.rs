//! After an applied run: who is told of it, and the metrics.
//!
//! Invariant: nothing here can fail a run or hold its lock; what did not get out is said in a line, without any address.

use crate::audit::store::Store;
use crate::host::{clock, credentials, files, messenger};
use crate::lanes::truth::hosts::held_here;
use crate::model::metrics::{self, Around};
use crate::model::notice::{Notice, notices};
use crate::model::overview;
use crate::model::policy::{Event, Notify, Policy};
use crate::model::record::{Outcome, Record};
use crate::tool::units;

/// Applied runs that are looked back at to tell news from what is known.
const BACK: usize = 40;

/// The command that mends hosts and runs no lane.
pub const MENDS: &str = "doctor";

/// Tells of the run; what did not get out.
pub fn tell(policy: &Policy, store: &Store, record: &Record) -> Vec<String> {
    let mut troubles = Vec::new();
    if record.command == MENDS {
        // It carried nothing: neither a success nor a failure of any lane.
        return troubles;
    }
    if let Some(file) = &policy.metrics_textfile {
        let before = files::read_bounded(file, 64 << 20).unwrap_or_default();
        let before = String::from_utf8_lossy(&before).into_owned();
        let text = metrics_of(policy, record, &before);
        if let Err(e) = files::write_atomic(file, text.as_bytes(), files::Sync::Content) {
            troubles.push(format!("the metrics cannot be written: {e}"));
        }
    }
    let notify = &policy.notify;
    if matches!(record.outcome, Outcome::Locked | Outcome::Skipped) {
        return troubles;
    }
    ping(notify, record, &mut troubles);
    let hook = url(notify, &mut troubles);
    if hook.is_none() && notify.command.is_empty() {
        return troubles;
    }
    let before = earlier(store, record);
    let wanted = notices(record, &before)
        .into_iter()
        .filter(|(event, _)| notify.on.contains(event));
    for (_, notice) in wanted {
        send(policy, notify, hook.as_deref(), &notice, &mut troubles);
        if troubles.len() > 2 {
            // Whoever does not answer now will not answer for the next ten either.
            break;
        }
    }
    troubles
}

fn metrics_of(policy: &Policy, record: &Record, before: &str) -> String {
    let wanted = overview::wanted(policy);
    let lanes: Vec<(&str, &str)> = wanted
        .iter()
        .map(|(subject, lane)| {
            let lane = if *lane == "logs" { "log" } else { lane };
            (lane, subject.as_str())
        })
        .collect();
    let held: Vec<(&str, bool)> = policy
        .peers
        .iter()
        .map(|p| (p.name.as_str(), held_here(&policy.site, &p.name).is_some()))
        .collect();
    let around = Around {
        at: clock::now().timestamp(),
        lanes: &lanes,
        held: &held,
        version: env!("CARGO_PKG_VERSION"),
    };
    metrics::lines(record, &around, before)
}

/// A unit of the service manager failed without a record that could say so.
pub fn unit_failed(policy: &Policy, message: String) -> Vec<String> {
    let notify = &policy.notify;
    let mut troubles = Vec::new();
    if !notify.on.contains(&Event::Failure) {
        return troubles;
    }
    let notice = Notice {
        event: Event::Failure.word(),
        host: policy.site.name.clone(),
        peer: String::new(),
        peers: Vec::new(),
        lane: "",
        run: String::new(),
        message,
    };
    let hook = url(notify, &mut troubles);
    send(policy, notify, hook.as_deref(), &notice, &mut troubles);
    troubles
}

fn earlier(store: &Store, record: &Record) -> Vec<Record> {
    let newest = store.newest(BACK).unwrap_or_default();
    let applied = newest
        .into_iter()
        .filter(|s| s.run != record.run && s.is_applied());
    applied
        .take(5)
        .filter_map(|s| store.read(&s.run).ok())
        .collect()
}

/// The dead-man's switch: it hears of every run, and `/fail` of a failed one.
fn ping(notify: &Notify, record: &Record, troubles: &mut Vec<String>) {
    let Some(url) = notify
        .ping_url_env
        .as_ref()
        .and_then(|name| credentials::secret(name))
    else {
        return;
    };
    let url = match record.outcome {
        Outcome::Failed | Outcome::Refused => format!("{}/fail", url.trim().trim_end_matches('/')),
        Outcome::Offline | Outcome::Interrupted => return,
        _ => url,
    };
    if let Err(why) = messenger::get(&url) {
        troubles.push(format!("the ping did not get out: {why}"));
    }
}

/// Where the webhook is, from the environment, the service manager or a file.
fn url(notify: &Notify, troubles: &mut Vec<String>) -> Option<String> {
    if let Some(name) = &notify.webhook_url_env {
        return credentials::secret(name);
    }
    let file = notify.webhook_url_file.as_ref()?;
    if let Some(url) = credentials::text(units::WEBHOOK) {
        return Some(url);
    }
    match files::read_bounded(file, 4096) {
        Ok(bytes) => Some(String::from_utf8_lossy(&bytes).trim().to_owned()),
        Err(e) => {
            troubles.push(format!("the address of the webhook cannot be read: {e}"));
            None
        }
    }
}

fn send(
    policy: &Policy,
    notify: &Notify,
    hook: Option<&str>,
    notice: &Notice,
    troubles: &mut Vec<String>,
) {
    let json = serde_json::to_string(notice).unwrap_or_default();
    if let Some(url) = hook
        && let Err(why) = messenger::post(url, &json)
    {
        troubles.push(format!(
            "the webhook was not told of the {}: {why}",
            notice.event
        ));
    }
    if !notify.command.is_empty()
        && let Err(why) = messenger::command(&notify.command, &json, &policy.site.state_dir)
    {
        troubles.push(format!(
            "the command of [notify] was not told of the {}: {why}",
            notice.event
        ));
    }
}
