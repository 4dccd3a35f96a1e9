//! The sections about this machine and how it runs: site, guards, writer, schedule, snapshots,
//! service, audit, notify, metrics. Defaults are those of the contract.

use std::path::{Path, PathBuf};
use std::time::Duration;

use toml::de::DeValue;

use super::fault::Bad;
use super::place;
use super::reader::Section;
use super::resolve::Context;
use super::settings::quoted;
use super::types::*;
use super::values::{self, show_duration};

/// The longest a writer may be held still, whatever the policy says.
const MAX_PAUSE: Duration = Duration::from_secs(300);

pub fn show_path<P: AsRef<Path>>(path: &P) -> String {
    quoted(&path.as_ref().to_string_lossy())
}

/// A path on this machine, relative to the policy's directory.
pub fn local_path<'v>(context: &Context) -> impl Fn(&'v DeValue<'v>) -> Result<PathBuf, Bad> {
    let (base, env) = (context.base.to_owned(), context.env.clone());
    move |value| place::local(values::text(value)?, &base, &env)
}

fn seconds(section: &Section, key: &'static str, default: u64) -> Duration {
    section.or(key, Duration::from_secs(default), values::duration, |d| {
        quoted(&show_duration(*d))
    })
}

fn number(section: &Section, key: &'static str, default: u64, min: u64, max: u64) -> u64 {
    section.or(
        key,
        default,
        |v| values::integer(v, min, max),
        u64::to_string,
    )
}

fn flag(section: &Section, key: &'static str, default: bool) -> bool {
    section.or(key, default, values::boolean, bool::to_string)
}

pub fn site(root: &Section, context: &Context) -> Option<Site> {
    let section = root.table("site");
    let name = section
        .optional("name", values::name, quoted)
        .or_else(|| host_name(&section, context));
    let site_root = section.required("root", local_path(context), show_path);
    let state_dir = section
        .optional("state_dir", local_path(context), show_path)
        .or_else(|| default_state_dir(&section, context));
    section.close();
    Some(Site {
        name: name?,
        root: site_root?,
        state_dir: state_dir?,
    })
}

/// The default of `site.name`; nothing when the file has a wrong one, which was reported already.
fn host_name(section: &Section, context: &Context) -> Option<String> {
    let host = context.env.hostname.split('.').next().unwrap_or_default();
    if section.has("name") {
        return None;
    }
    if !values::is_site_name(host) {
        section.fault(
            "name",
            Bad::with(
                "is missing, and the host name cannot serve",
                "name = \"mac\"",
            ),
        );
        return None;
    }
    section.record_default("name", quoted(host));
    Some(host.to_owned())
}

fn default_state_dir(section: &Section, context: &Context) -> Option<PathBuf> {
    if section.has("state_dir") {
        return None;
    }
    let default = context.env.default_state_dir();
    match &default {
        Some(dir) => section.record_default("state_dir", show_path(dir)),
        None => section.fault(
            "state_dir",
            Bad::new("is missing, and without HOME there is no default"),
        ),
    }
    default
}

pub fn guards(root: &Section) -> Guards {
    let section = root.table("guards");
    let guards = Guards {
        max_delete: section.or(
            "max_delete",
            DeleteLimit::Percent(20.0),
            values::delete_limit,
            |limit| match limit {
                DeleteLimit::Count(n) => n.to_string(),
                DeleteLimit::Percent(p) => quoted(&format!("{p}%")),
            },
        ),
        max_delete_floor: number(&section, "max_delete_floor", 20, 0, u64::MAX),
        max_clock_skew: seconds(&section, "max_clock_skew", 2),
        min_free_space: section.or("min_free_space", 256 << 20, values::size, |n| {
            quoted(&values::show_size(*n))
        }),
        marker: section.or("marker", ".ubos-root".into(), marker, quoted),
    };
    section.close();
    guards
}

/// One file name: the engine takes it below each root, and a glob or a blank would not survive there.
fn marker(value: &DeValue) -> Result<String, Bad> {
    let text = values::text(value)?;
    if text.contains('/') {
        return Err(Bad::with(
            "the marker is a file name, not a path",
            "\".ubos-root\"",
        ));
    }
    if matches!(text, "." | "..")
        || text.len() > 255
        || text.trim() != text
        || text.contains(" -> ")
    {
        return Err(Bad::with("is not a usable file name", "\".ubos-root\""));
    }
    Ok(text.to_owned())
}

pub fn writer(root: &Section) -> Option<Writer> {
    let section = root.table("writer");
    if !section.is_present() {
        return None;
    }
    const SIDES: [(&str, bool); 2] = [("local", true), ("peer", false)];
    let show_side = |is_local: &bool| quoted(if *is_local { "local" } else { "peer" });
    let sides = section.list(
        "sides",
        vec![true, false],
        |v| values::word(v, &SIDES),
        show_side,
    );
    let file = |key, default: &str| {
        section.or(
            key,
            default.to_owned(),
            |v| Ok(place::below_root(values::text(v)?)?.lossy()),
            quoted,
        )
    };
    let writer = Writer {
        local: sides.contains(&true),
        peer: sides.contains(&false),
        pause_file: file("pause_file", ".ubos/sync-pause"),
        ack_file: file("ack_file", ".ubos/sync-pause.ack"),
        ack_timeout: seconds(&section, "ack_timeout", 30),
        max_pause: seconds(&section, "max_pause", 300),
        proceed_on_timeout: section.or(
            "on_timeout",
            false,
            |v| values::word(v, &[("skip", false), ("proceed", true)]),
            |proceed| quoted(if *proceed { "proceed" } else { "skip" }),
        ),
    };
    if writer.max_pause > MAX_PAUSE || writer.max_pause.is_zero() {
        section.fault(
            "max_pause",
            Bad::with(
                "a writer may be held for at most 5 minutes, and not for none",
                "\"5m\"",
            ),
        );
    }
    section.close();
    Some(writer)
}

pub fn schedule(root: &Section) -> Schedule {
    let section = root.table("schedule");
    let schedule = Schedule {
        interval: seconds(&section, "interval", 300),
        jitter: seconds(&section, "jitter", 30),
        min_interval: seconds(&section, "min_interval", 300),
        threshold: number(&section, "threshold", 50, 0, u64::MAX),
        max_failures: number(&section, "max_failures", 5, 1, 1_000_000),
        on_start: flag(&section, "on_start", true),
        on_exit: flag(&section, "on_exit", false),
        debounce: section.or(
            "debounce",
            Duration::from_millis(300),
            values::duration,
            |d| quoted(&show_duration(*d)),
        ),
    };
    if schedule.interval.is_zero() {
        section.fault(
            "interval",
            Bad::with("may not be zero: the worker would never rest", "\"5m\""),
        );
    }
    section.close();
    schedule
}

pub fn snapshots(root: &Section) -> Snapshots {
    let section = root.table("snapshots");
    let snapshots = Snapshots {
        keep: number(&section, "keep", 10, 1, 100_000),
        keep_losers: seconds(&section, "keep_losers", 90 * 86_400),
    };
    section.close();
    snapshots
}

pub fn service(root: &Section) -> Service {
    let section = root.table("service");
    let service = Service {
        memory_max: section.or("memory_max", "768M".into(), values::memory_limit, quoted),
        cpu_quota: section.or("cpu_quota", "50%".into(), values::cpu_quota, quoted),
        wants: section.list("wants", Vec::new(), values::unit_name, quoted),
    };
    section.close();
    service
}

pub fn audit(root: &Section, context: &Context) -> Option<Audit> {
    let section = root.table("audit");
    let audit = Audit {
        dir: section.or(
            "dir",
            context.base.join("logs"),
            local_path(context),
            show_path,
        ),
        keep: seconds(&section, "keep", 90 * 86_400),
    };
    section.close();
    Some(audit)
}

pub fn notify(root: &Section, context: &Context) -> Notify {
    const EVENTS: [(&str, Event); 4] = [
        ("failure", Event::Failure),
        ("conflict", Event::Conflict),
        ("recovery", Event::Recovery),
        ("success", Event::Success),
    ];
    let show = |event: &Event| {
        quoted(
            EVENTS
                .iter()
                .find(|(_, e)| e == event)
                .map_or("", |(word, _)| word),
        )
    };
    let section = root.table("notify");
    let notify = Notify {
        webhook_url_env: section.optional("webhook_url_env", values::env_name, quoted),
        webhook_url_file: section.optional("webhook_url_file", local_path(context), show_path),
        on: section.list(
            "on",
            vec![Event::Failure, Event::Conflict, Event::Recovery],
            |v| values::word(v, &EVENTS),
            show,
        ),
        ping_url_env: section.optional("ping_url_env", values::env_name, quoted),
        command: section.list(
            "command",
            Vec::new(),
            |v| values::text_or_empty(v).map(str::to_owned),
            quoted,
        ),
    };
    if notify.webhook_url_env.is_some() && notify.webhook_url_file.is_some() {
        section.fault(
            "webhook_url_file",
            Bad::new("the address comes from `webhook_url_env` already; keep one of them"),
        );
    }
    if notify
        .command
        .first()
        .is_some_and(|program| program.is_empty() || program.starts_with('-'))
    {
        section.fault("command[0]", Bad::new("names no program"));
    }
    section.close();
    notify
}

pub fn metrics(root: &Section, context: &Context) -> Option<PathBuf> {
    let section = root.table("metrics");
    let file = section.optional("textfile", local_path(context), show_path);
    if file
        .as_deref()
        .is_some_and(|f: &Path| f.extension().is_none_or(|e| e != "prom"))
    {
        section.fault(
            "textfile",
            Bad::with(
                "the collector reads only names that end in `.prom`",
                "\"…/ubos_sync.prom\"",
            ),
        );
    }
    section.close();
    file
}
