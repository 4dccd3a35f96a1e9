//! The `[[peer]]` sections: who is synced with, how the host is reached, which logs are pulled.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::fault::Bad;
use super::machine::{local_path, show_path};
use super::place;
use super::reader::Section;
use super::resolve::Context;
use super::settings::quoted;
use super::types::*;
use super::values::{self, show_duration};
use crate::model::glob::{Glob, has_wildcards};

/// Where a peer keeps state when the policy does not say, relative to its home.
const REMOTE_STATE_DIR: &str = ".local/state/ubos-sync";

pub fn peers(root: &Section, context: &Context, site: Option<&Site>) -> Vec<Peer> {
    root.tables("peer")
        .into_iter()
        .filter_map(|section| peer(section, context, site))
        .collect()
}

fn peer(section: Section, context: &Context, site: Option<&Site>) -> Option<Peer> {
    let name = section.required("name", values::name, quoted);
    let remote = remote(&section, context);
    let is_remote = matches!(remote, Some(Some(_)) | None);
    let root = section.required(
        "root",
        |v| any_path(values::text(v)?, is_remote, context),
        quoted,
    );
    let state_dir = state_dir(&section, context, site, name.as_deref(), is_remote);
    let keep_connection = section.or("keep_connection", Duration::ZERO, values::duration, |d| {
        quoted(&show_duration(*d))
    });
    let stall = section.or("stall", Duration::from_secs(120), values::duration, |d| {
        quoted(&show_duration(*d))
    });
    let bwlimit = section.or("bwlimit", 0, values::size, |n| {
        quoted(&values::show_size(*n))
    });
    let compress = section.or(
        "compress",
        Compress::Auto,
        |v| values::word(v, &[("auto", Compress::Auto), ("off", Compress::Off)]),
        |c| quoted(if *c == Compress::Auto { "auto" } else { "off" }),
    );
    let unison = section.or("unison", "unison".into(), values::program, quoted);
    let rsync = section.or("rsync", "rsync".into(), values::program, quoted);
    let truth = section.or("truth", true, values::boolean, bool::to_string);
    // Tables of their own, so behind all that is the peer's: in this order a policy is shown.
    let logs = logs(&section, context, site);
    section.close();
    Some(Peer {
        name: name?,
        remote: remote?,
        root: root?,
        state_dir: state_dir?,
        keep_connection,
        stall,
        bwlimit,
        compress,
        unison,
        rsync,
        truth,
        logs,
    })
}

/// How a host is reached: `Some(None)` for a directory on this machine, `None` when it is wrong.
pub fn remote(section: &Section, context: &Context) -> Option<Option<Remote>> {
    let sound = std::cell::Cell::new(true);
    let host = section.optional(
        "host",
        |v| values::host(v).inspect_err(|_| sound.set(false)),
        quoted,
    );
    let user = section.optional("user", values::user, quoted);
    let port = section.optional("port", |v| values::integer(v, 1, 65_535), u64::to_string);
    let identity = section.optional("identity", local_path(context), show_path);
    let ssh_config = section.optional("ssh_config", local_path(context), show_path);
    let Some(host) = host else {
        let ssh_only = [
            ("user", user.is_some()),
            ("port", port.is_some()),
            ("identity", identity.is_some()),
            ("ssh_config", ssh_config.is_some()),
        ];
        for (key, is_set) in ssh_only {
            if is_set && sound.get() {
                section.fault(
                    key,
                    Bad::with(
                        "means nothing without `host`",
                        "adding `host`, or removing this",
                    ),
                );
            }
        }
        return sound.get().then_some(None);
    };
    Some(Some(Remote {
        host,
        user,
        port: port.and_then(|p| u16::try_from(p).ok()),
        identity,
        ssh_config,
    }))
}

/// A path on this machine (absolute) or on the other one (absolute or relative to its home).
pub fn any_path(text: &str, is_remote: bool, context: &Context) -> Result<String, Bad> {
    if is_remote {
        return place::remote(text);
    }
    let path = place::local(text, context.base, context.env)?;
    path.into_os_string()
        .into_string()
        .map_err(|_| Bad::new("does not lead to a path in UTF-8"))
}

fn state_dir(
    section: &Section,
    context: &Context,
    site: Option<&Site>,
    name: Option<&str>,
    is_remote: bool,
) -> Option<String> {
    let parse = |v| any_path(values::text(v)?, is_remote, context);
    if is_remote {
        return Some(section.or("state_dir", REMOTE_STATE_DIR.into(), parse, quoted));
    }
    section.optional("state_dir", parse, quoted).or_else(|| {
        if section.has("state_dir") {
            return None;
        }
        let dir = site?.state_dir.join("local").join(name?);
        let dir = dir.into_os_string().into_string().ok()?;
        section.record_default("state_dir", quoted(&dir));
        Some(dir)
    })
}

fn logs(section: &Section, context: &Context, site: Option<&Site>) -> Vec<LogPull> {
    section
        .tables("log")
        .into_iter()
        .filter_map(|log| log_pull(log, context, site))
        .collect()
}

fn log_pull(section: Section, context: &Context, site: Option<&Site>) -> Option<LogPull> {
    let remote = section.required("remote", |v| log_remote(values::text(v)?), quoted);
    let local = section.required(
        "local",
        |v| {
            let text = values::text(v)?;
            if !text.starts_with(['/', '~']) {
                place::below_root(text)?;
            }
            let root = site.map_or(context.base, |s| &s.root);
            place::local(text, root, context.env)
        },
        show_path,
    );
    section.close();
    let remote = remote?;
    Some(LogPull {
        is_glob: has_wildcards(&remote),
        remote,
        local: local?,
    })
}

fn log_remote(text: &str) -> Result<String, Bad> {
    let path = if text.starts_with('/') {
        place::remote(text)?
    } else {
        place::below_root(text)?.lossy()
    };
    if has_wildcards(text) {
        Glob::parse(path.trim_start_matches('/'))?;
    }
    Ok(path)
}

impl LogPull {
    /// A glob's directory before its first wildcard, and the pattern below it. What matches keeps
    /// its path below that directory when it lands in `local`. Of a plain path: its parts.
    pub fn base_and_tail(&self) -> (&str, &str) {
        let literal = match self.remote.find(['*', '?', '[', '{', '\\']) {
            Some(at) if self.is_glob => &self.remote[..at],
            _ => &self.remote,
        };
        match literal.rfind('/') {
            Some(cut) => (&self.remote[..cut], &self.remote[cut + 1..]),
            None => ("", &self.remote),
        }
    }
}

impl Peer {
    /// The root as a path of this machine; `None` when it is on another.
    pub fn local_root(&self) -> Option<PathBuf> {
        self.remote
            .is_none()
            .then(|| Path::new(&self.root).to_owned())
    }
}
