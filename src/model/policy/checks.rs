//! Contradictions: values that are right alone and wrong together.
//!
//! Invariant: runs only on a policy whose single values are sound, and reports all it finds.

use std::path::Path;

use super::fault::Bad;
use super::reader::Reader;
use super::resolve::Context;
use super::types::*;

pub fn contradictions(policy: &Policy, context: &Context, reader: &Reader) {
    names(policy, reader);
    local_roots(policy, context, reader);
    remote_roots(policy, reader);
    places(policy, reader);
    logs(policy, reader);
    timing(policy, reader);
    if let Some(publish) = &policy.publish {
        targets(publish, context, reader);
    }
}

fn is_nested(a: &Path, b: &Path) -> bool {
    a.starts_with(b) || b.starts_with(a)
}

/// File systems that fold case would give two peers one state directory.
fn is_same_name(a: &str, b: &str) -> bool {
    a.eq_ignore_ascii_case(b)
}

fn names(policy: &Policy, reader: &Reader) {
    for (i, peer) in policy.peers.iter().enumerate() {
        let key = format!("peer[{i}].name");
        if is_same_name(&peer.name, &policy.site.name) {
            let bad = Bad::with(
                "a peer has the name of this site, so the pair would be one host with itself",
                "another name",
            );
            reader.fault_at(&key, bad);
        }
        if policy.peers[..i]
            .iter()
            .any(|p| is_same_name(&p.name, &peer.name))
        {
            reader.fault_at(&key, Bad::with("two peers have this name", "another name"));
        }
    }
}

/// Roots on this machine: none may hold another, be a home or a whole disk, or lie in our own state.
fn local_roots(policy: &Policy, context: &Context, reader: &Reader) {
    let mut roots = vec![("site.root".to_owned(), policy.site.root.clone())];
    for (i, peer) in policy.peers.iter().enumerate() {
        roots.extend(
            peer.local_root()
                .map(|root| (format!("peer[{i}].root"), root)),
        );
    }
    for (i, (key, root)) in roots.iter().enumerate() {
        whole(root, key, context, reader);
        if root.starts_with(&policy.site.state_dir) {
            let bad = Bad::with(
                "a root inside site.state_dir would sync locks, archives and snapshots",
                "a directory of its own",
            );
            reader.fault_at(key, bad);
        }
        for (other_key, other) in &roots[..i] {
            if is_nested(root, other) {
                let how = if root == other {
                    "the same directory as"
                } else {
                    "nested with"
                };
                let bad = Bad::with(
                    format!("is {how} {other_key} ({})", other.display()),
                    "separate directories",
                );
                reader.fault_at(key, bad);
            }
        }
    }
}

fn whole(path: &Path, key: &str, context: &Context, reader: &Reader) {
    if path == Path::new("/") {
        reader.fault_at(
            key,
            Bad::with("is the whole file system", "a directory of its own"),
        );
    }
    if context.env.home.as_deref() == Some(path) {
        reader.fault_at(
            key,
            Bad::with(
                "is a whole home directory, with its keys and settings",
                "a directory in it",
            ),
        );
    }
}

fn remote_roots(policy: &Policy, reader: &Reader) {
    let far: Vec<_> = policy
        .peers
        .iter()
        .enumerate()
        .filter_map(|(i, p)| p.remote.as_ref().map(|r| (i, p, r)))
        .collect();
    for (n, (i, peer, remote)) in far.iter().enumerate() {
        for (_, other, other_remote) in &far[..n] {
            let is_same_host = remote.host.eq_ignore_ascii_case(&other_remote.host)
                && remote.user == other_remote.user
                && remote.port.unwrap_or(22) == other_remote.port.unwrap_or(22);
            if is_same_host && is_nested(Path::new(&peer.root), Path::new(&other.root)) {
                let bad = Bad::with(
                    format!(
                        "is the same as, or nested with, the root of peer {}",
                        other.name
                    ),
                    "separate directories",
                );
                reader.fault_at(&format!("peer[{i}].root"), bad);
            }
        }
        if Path::new(&peer.root).starts_with(&peer.state_dir) {
            let bad = Bad::new(
                "a root inside the peer's state_dir would sync locks, archives and snapshots",
            );
            reader.fault_at(&format!("peer[{i}].root"), bad);
        }
    }
}

/// Directories of ours that would swallow a root.
fn places(policy: &Policy, reader: &Reader) {
    let mut roots = vec![policy.site.root.clone()];
    roots.extend(policy.peers.iter().filter_map(Peer::local_root));
    for root in &roots {
        if root.starts_with(&policy.audit.dir) {
            let bad = Bad::with(
                "holds a root, and audit records are never truth: nothing would be left",
                "a directory of its own",
            );
            reader.fault_at("audit.dir", bad);
        }
    }
    for (i, peer) in policy.peers.iter().enumerate() {
        let Some(root) = peer.local_root() else {
            continue;
        };
        if root.starts_with(&peer.state_dir) {
            reader.fault_at(
                &format!("peer[{i}].state_dir"),
                Bad::new("holds the peer's root"),
            );
        }
    }
    if let Some(writer) = &policy.writer {
        if !writer.local && !writer.peer {
            reader.fault_at(
                "writer.sides",
                Bad::with("names no side", "leaving [writer] out"),
            );
        }
        if writer.pause_file == writer.ack_file {
            reader.fault_at(
                "writer.ack_file",
                Bad::new("is the pause file itself: every request would answer itself"),
            );
        }
        for (key, file) in [
            ("writer.pause_file", &writer.pause_file),
            ("writer.ack_file", &writer.ack_file),
        ] {
            if Path::new(file).starts_with(&policy.guards.marker) {
                reader.fault_at(key, Bad::new("is the marker, or lies below it"));
            }
        }
    }
}

fn logs(policy: &Policy, reader: &Reader) {
    let mut seen: Vec<(String, &LogPull)> = Vec::new();
    for (i, peer) in policy.peers.iter().enumerate() {
        for (j, log) in peer.logs.iter().enumerate() {
            let at = format!("peer[{i}].log[{j}]");
            let same_target = |other: &LogPull| {
                other.local == log.local
                    && (!other.is_glob
                        || !log.is_glob
                        || other.base_and_tail().1 == log.base_and_tail().1)
            };
            if let Some((first, _)) = seen.iter().find(|(_, other)| same_target(other)) {
                let bad = Bad::with(
                    format!("{first} is pulled to this place already"),
                    "another local path",
                );
                reader.fault_at(&format!("{at}.local"), bad);
            }
            if peer.logs[..j]
                .iter()
                .any(|other| other.remote == log.remote)
            {
                reader.fault_at(
                    &format!("{at}.remote"),
                    Bad::new("this log is pulled twice"),
                );
            }
            if !log.is_glob && policy.site.root.starts_with(&log.local) {
                reader.fault_at(
                    &format!("{at}.local"),
                    Bad::with("is a directory that holds the root", "the file's own path"),
                );
            }
            if log.local.starts_with(&policy.site.state_dir) {
                reader.fault_at(
                    &format!("{at}.local"),
                    Bad::new("lies in site.state_dir, which is ours alone"),
                );
            }
            if let Some(root) = peer.local_root()
                && log.local.starts_with(root)
            {
                reader.fault_at(
                    &format!("{at}.local"),
                    Bad::new("lies in the peer's own root"),
                );
            }
            seen.push((at, log));
        }
    }
}

fn timing(policy: &Policy, reader: &Reader) {
    if let Some(writer) = &policy.writer
        && writer.ack_timeout > writer.max_pause
    {
        reader.fault_at(
            "writer.ack_timeout",
            Bad::with("is longer than writer.max_pause", "a shorter wait"),
        );
    }
    let is_written = reader.is_written("schedule.jitter");
    if is_written && policy.schedule.jitter > policy.schedule.interval {
        reader.fault_at(
            "schedule.jitter",
            Bad::with("is longer than schedule.interval", "a shorter jitter"),
        );
    }
}

fn targets(publish: &Publish, context: &Context, reader: &Reader) {
    for (i, target) in publish.targets.iter().enumerate() {
        let earlier = &publish.targets[..i];
        if earlier.iter().any(|t| is_same_name(&t.name, &target.name)) {
            reader.fault_at(
                &format!("publish.target[{i}].name"),
                Bad::with("two targets have this name", "another name"),
            );
        }
        let key = format!("publish.target[{i}].path");
        if let Some(path) = target.local_path() {
            whole(path, &key, context, reader);
            if is_nested(path, &publish.source) {
                reader.fault_at(
                    &key,
                    Bad::with("is the source, or nested with it", "separate directories"),
                );
            }
        }
        let is_nested_target = |other: &&Target| {
            other.remote.as_ref().map(|r| (&r.host, &r.user, r.port))
                == target.remote.as_ref().map(|r| (&r.host, &r.user, r.port))
                && is_nested(Path::new(&other.path), Path::new(&target.path))
        };
        if let Some(other) = earlier.iter().find(is_nested_target) {
            let bad = Bad::with(
                format!(
                    "is the same as, or nested with, the path of target {}",
                    other.name
                ),
                "separate directories",
            );
            reader.fault_at(&key, bad);
        }
    }
}
