//! Renders the unison profile of a pair: what is the same in every run of it.
//!
//! Invariants: the same policy gives the same bytes; no line of it depends on the moment, so that a
//! run can append its own lines (backup directory, protected paths) and `profile --check` can compare.
//! Written for unison 2.51 and later: no preference that one of them warns about or does not know.

use std::os::unix::ffi::OsStrExt;

use crate::model::path::RelPath;
use crate::model::policy::{Peer, Policy, Strategy};

/// The profile of the pair, limited to the include roots of the policy.
pub fn render(policy: &Policy, peer: &Peer) -> Vec<u8> {
    render_for(policy, peer, policy.truth.rules.include_roots())
}

/// The same, limited to `paths` (none: the whole root).
pub fn render_for(policy: &Policy, peer: &Peer, paths: &[RelPath]) -> Vec<u8> {
    let mut out = Profile::default();
    out.note(&format!(
        "Unison profile of the pair {} and {}, rendered from the policy by",
        policy.site.name, peer.name
    ));
    out.note("`ubos-sync profile`. Edit the policy, not this file: every run renders it anew.");
    roots(&mut out, policy, peer);
    what(&mut out, paths);
    out.gap("Conflicts.");
    let local = policy.site.root.as_os_str().as_bytes();
    conflicts(
        &mut out,
        policy.truth.conflicts,
        local,
        peer_root(peer).as_bytes(),
    );
    properties(&mut out, policy);
    safety(&mut out, policy);
    out.gap("What never crosses: state, what is ubos-sync's own, then what the policy excludes.");
    out.note("A pattern matches whole paths; directories that only a `name/` pattern takes out");
    out.note("are added by each run, because unison cannot ask for the kind.");
    for ignore in policy.truth.rules.unison_ignores() {
        out.set("ignore", &ignore);
    }
    out.0
}

/// The second root, as unison is given it: `noupdate` and the like must repeat it to the byte.
pub fn peer_root(peer: &Peer) -> String {
    match &peer.remote {
        None => peer.root.clone(),
        // The pair's ssh wrapper knows the host by the peer's name. Two slashes: absolute; one: from home.
        Some(_) => format!("ssh://{}/{}", peer.name, peer.root),
    }
}

#[derive(Default)]
struct Profile(Vec<u8>);

impl Profile {
    fn note(&mut self, text: &str) {
        self.0.extend_from_slice(format!("# {text}\n").as_bytes());
    }

    fn gap(&mut self, text: &str) {
        self.0.push(b'\n');
        self.note(text);
    }

    fn set(&mut self, key: &str, value: &[u8]) {
        self.0.extend_from_slice(key.as_bytes());
        self.0.extend_from_slice(b" = ");
        self.0.extend_from_slice(value);
        self.0.push(b'\n');
    }
}

fn roots(out: &mut Profile, policy: &Policy, peer: &Peer) {
    out.gap("The replicas.");
    out.set("root", policy.site.root.as_os_str().as_bytes());
    out.set("root", peer_root(peer).as_bytes());
}

fn what(out: &mut Profile, paths: &[RelPath]) {
    if paths.is_empty() {
        return;
    }
    out.gap("What is truth; everything beside these paths stays where it is.");
    for path in paths {
        out.set("path", path.as_bytes());
    }
}

fn conflicts(out: &mut Profile, strategy: Strategy, local_root: &[u8], peer_root: &[u8]) {
    match strategy {
        Strategy::Newer => {
            out.note("Newer wins. Ties, clocks that disagree and mere touches are decided by ubos-sync, per item.");
            out.set("prefer", b"newer");
        }
        Strategy::Manual => out.note("Left for a person (conflicts = \"manual\"): no `prefer`."),
        Strategy::Local => {
            out.note("The local side wins; the value repeats the root to the byte, as older unisons want it.");
            out.set("prefer", local_root);
        }
        Strategy::Peer => {
            out.note(
                "The peer wins; the value repeats the root to the byte, as older unisons want it.",
            );
            out.set("prefer", peer_root);
        }
    }
}

fn properties(out: &mut Profile, policy: &Policy) {
    out.gap("Times cross, so that newer-wins has something to compare.");
    out.set("times", b"true");
    match policy.truth.permissions {
        true => {
            out.note("Permissions cross, without setuid, setgid and sticky.");
            out.set("perms", b"0o777");
        }
        false => {
            out.note("Permissions stay as they are (permissions = false).");
            out.set("perms", b"0");
        }
    }
    out.note("Links cross as links; owners do not.");
    out.set("links", b"true");
    out.set("owner", b"false");
    out.set("group", b"false");
}

fn safety(out: &mut Profile, policy: &Policy) {
    out.gap(
        "Size and time alone miss edits of equal length within a second. A run that knows from its",
    );
    out.note("own sweep which files are suspect overrides this.");
    out.set("fastcheck", b"false");
    out.gap("An emptied root, or one whose disk is not mounted, stops the run.");
    out.set("confirmbigdel", b"true");
    out.set("mountpoint", policy.guards.marker.as_bytes());
    out.gap("What is overwritten or deleted is kept; each run names a directory of its own.");
    out.set("backup", b"Regex .*");
    out.set("backuploc", b"central");
    out.set("maxbackups", b"1000");
    out.gap("Output for a program, not for a terminal; the record is kept by ubos-sync.");
    out.set("dumbtty", b"true");
    out.set("color", b"false");
    out.set("contactquietly", b"true");
    out.set("log", b"false");
}
