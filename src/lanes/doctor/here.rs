//! Everything about this host that no peer is needed for.

use std::path::Path;

use super::mend::{Act, Mend};
use super::{Asked, Book, Check, programs, shown, state_dir, units};
use crate::audit::store::Store;
use crate::host::link::Link;
use crate::host::policy_file::{env, variable};
use crate::host::{credentials, files, plain_files, process};
use crate::model::invocation::Invocation;
use crate::model::policy::{Policy, Remote};
use crate::model::text::thousands;

pub(super) fn rows(policy: &Policy) -> Vec<Check> {
    let mut book = Book::of(&policy.site.name);
    book.good("policy", format!("{} is valid", policy.file.display()));
    programs::rows(policy, &mut book);
    own_dirs(policy, &mut book);
    if !policy.peers.iter().any(|p| p.truth) {
        root(policy, &mut book);
    }
    if files::is_locked(&policy.site.state_dir.join("lock")) {
        book.look("lock", "a run is under way right now", "ubos-sync status");
    }
    told(policy, &mut book);
    watches(policy, &mut book);
    keys(policy, &mut book);
    units::rows(policy, &mut book);
    let home = env().home;
    for (found, fix) in privacy(std::env::consts::OS, home.as_deref(), &policy.site.root) {
        book.look("privacy", found, fix);
    }
    book.all
}

/// The directory of our own files, and that of the records.
fn own_dirs(policy: &Policy, book: &mut Book) {
    let dir = &policy.audit.dir;
    let shown_dir = shown(dir);
    let mut synced = None;
    match files::shared_dir_if_any(dir) {
        Ok(true) => {
            book.good("records", format!("kept in {shown_dir}"));
            synced = applied(dir);
        }
        Ok(false) => {
            let check = book.look(
                "records",
                format!("{shown_dir} is not there yet; the first run makes it"),
                format!("mkdir -p -m 700 {shown_dir}"),
            );
            check.mend = Some(Mend {
                act: Act::Dir,
                path: shown_dir,
            });
        }
        Err(e) => {
            book.bad("records", e.to_string(), format!("ls -ld {shown_dir}"));
        }
    }
    let link = Link::local(&policy.site.name);
    let asked = Asked {
        link: &link,
        state: &policy.site.state_dir.display().to_string(),
        root: &policy.site.root.display().to_string(),
        marker: &policy.guards.marker,
        generation: ("", ""),
    };
    match asked.answer() {
        Ok(answer) => {
            let why = synced.map(|run| format!("{run} is on record as an applied run"));
            state_dir(&answer, why.as_deref(), book);
        }
        Err(e) => {
            book.bad("state", e.to_string(), e.hint());
        }
    }
}

/// The newest applied run of the lanes that is on record.
fn applied(dir: &Path) -> Option<String> {
    if !plain_files::is_dir(&dir.join("runs")) {
        return None;
    }
    let newest = Store::open(dir).ok()?.newest(20).ok()?;
    let is_one = |f: &crate::audit::catalog::Facts| {
        f.is_applied() && ["truth", "full", "logs"].contains(&f.command.as_str())
    };
    let mut all = newest.into_iter();
    all.find(|s| s.facts.as_ref().is_some_and(is_one))
        .map(|s| s.run)
}

/// The root, for who has no pair that would look at it.
fn root(policy: &Policy, book: &mut Book) {
    let (root, marker) = (&policy.site.root, &policy.guards.marker);
    if !plain_files::leads_to_dir(root) {
        book.bad(
            "roots",
            format!("{} is missing", root.display()),
            format!(
                "mount it, or correct `root` in the policy; ls -ld {}",
                root.display()
            ),
        );
    } else if !plain_files::exists(&root.join(marker)) {
        book.bad(
            "roots",
            format!(
                "{} has no {marker}: the disk may not be mounted",
                root.display()
            ),
            format!(
                "look at it first; only if your files are there: touch {}/{marker}",
                root.display()
            ),
        );
    } else {
        book.good(
            "roots",
            format!("{} is there, with its marker", root.display()),
        );
    }
}

/// Whether somebody would hear of a failure.
fn told(policy: &Policy, book: &mut Book) {
    let notify = &policy.notify;
    for name in [&notify.webhook_url_env, &notify.ping_url_env]
        .into_iter()
        .flatten()
    {
        let places = credentials::places(name);
        let lies = places.iter().find(|p| plain_files::exists(p));
        match (credentials::secret(name), lies) {
            (Some(_), _) => book.good("notify", format!("{name} is set")),
            (None, Some(file)) => book.good(
                "notify",
                format!("a unit gets {name} from {}", file.display()),
            ),
            (None, None) => {
                let file = places.first().map(|p| shown(p)).unwrap_or_default();
                book.look(
                    "notify",
                    format!("{name} is not set here, so nobody is told by it"),
                    format!("for a unit: write the address into {file}, mode 0600; by hand: export {name}=…"),
                );
            }
        }
    }
    if let Some(file) = &notify.webhook_url_file
        && !plain_files::exists(file)
    {
        book.look(
            "notify",
            format!("{} is not there, so nobody is told by it", file.display()),
            "write the address into it, mode 0600",
        );
    }
}

/// How many directories may be watched, and how many there are.
fn watches(policy: &Policy, book: &mut Book) {
    let limit = |file: &str| -> Option<u64> {
        let bytes = files::read_bounded(Path::new(file), 64).ok()?;
        String::from_utf8_lossy(&bytes).trim().parse().ok()
    };
    let limits = [
        "/proc/sys/fs/inotify/max_user_watches",
        // A container may have one of its own.
        "/proc/sys/user/max_inotify_watches",
    ];
    let Some((most, file)) = limits.iter().filter_map(|f| Some((limit(f)?, f))).min() else {
        return;
    };
    let key = file.trim_start_matches("/proc/sys/").replace('/', ".");
    let have = plain_files::directories(&policy.site.root, most);
    let found = format!(
        "{} directories can be watched, and the root has {}",
        thousands(usize::try_from(most).unwrap_or(usize::MAX)),
        match have >= most {
            true => "more".to_owned(),
            false => thousands(usize::try_from(have).unwrap_or(usize::MAX)),
        }
    );
    // Other programs watch too.
    match have.saturating_mul(2) > most || most < 8192 {
        true => {
            book.look(
                "watches",
                format!("only {found}; the worker may have to do without file events"),
                format!("sysctl {key}=524288; to keep it: a line in /etc/sysctl.d"),
            );
        }
        false => book.good("watches", found),
    }
}

/// The keys that the policy names, and what there is when it names none.
fn keys(policy: &Policy, book: &mut Book) {
    let targets = policy.publish.iter().flat_map(|p| &p.targets);
    let peers = policy.peers.iter().map(|p| (&p.name, &p.remote));
    let all: Vec<(&String, &Remote)> = peers
        .chain(targets.map(|t| (&t.name, &t.remote)))
        .filter_map(|(name, remote)| Some((name, remote.as_ref()?)))
        .collect();
    let mut named: Vec<&Path> = all
        .iter()
        .filter_map(|(_, r)| r.identity.as_deref())
        .collect();
    named.sort_unstable();
    named.dedup();
    named.into_iter().for_each(|path| key(path, book));
    let nameless = all
        .iter()
        .filter(|(_, r)| r.identity.is_none() && r.ssh_config.is_none());
    let nameless: Vec<&str> = nameless.map(|(name, _)| name.as_str()).collect();
    if !nameless.is_empty() {
        agent(&nameless.join(", "), book);
    }
}

/// ssh refuses a key that others may read, and nobody types a passphrase for a timer.
fn key(path: &Path, book: &mut Book) {
    let at = shown(path);
    match plain_files::mode(path) {
        None => {
            book.bad(
                "key",
                format!("{at} is not there"),
                format!("ssh-keygen -t ed25519 -f {at}"),
            );
        }
        Some(mode) if mode & 0o077 != 0 => {
            let check = book.bad(
                "key",
                format!("{at} may be read by others, so ssh will not use it"),
                format!("chmod 600 {at}"),
            );
            check.mend = Some(Mend {
                act: Act::Private,
                path: at,
            });
        }
        Some(_) if needs_passphrase(path) => {
            book.look(
                "key",
                format!(
                    "{at} asks for a passphrase, which only an agent can give; a unit has none"
                ),
                format!("ssh-add {at}; for units: a key of its own without a passphrase"),
            );
        }
        Some(_) => book.good("key", format!("{at} is private")),
    }
}

fn needs_passphrase(path: &Path) -> bool {
    let ask = Invocation::new("ssh-keygen")
        .args(["-y", "-P", "", "-f"])
        .args([path.as_os_str()]);
    process::run(&ask, &[]).is_ok_and(|o| {
        o.code != Some(0) && String::from_utf8_lossy(&o.stderr).contains("passphrase")
    })
}

/// Peers without a key of their own get in with what the agent or the home directory has.
fn agent(peers: &str, book: &mut Book) {
    let home = env().home.unwrap_or_default();
    let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
    let default = names
        .iter()
        .map(|n| home.join(".ssh").join(n))
        .find(|p| plain_files::exists(p));
    let listed = variable("SSH_AUTH_SOCK").map(|_| {
        let said = process::run(&Invocation::new("ssh-add").args(["-l"]), &[]);
        said.ok().and_then(|o| o.code)
    });
    let fix = "set `identity` of the [[peer]] or target to a key without a passphrase";
    match (listed, default) {
        (_, Some(file)) => book.good(
            "agent",
            format!("{peers}: no `identity`; {} serves", file.display()),
        ),
        (Some(Some(0)), None) => {
            book.look(
                "agent",
                format!("{peers}: only the agent of this login has a key; a unit has no agent"),
                fix,
            );
        }
        _ => {
            // ssh's own configuration may name a key: whether one lets us in is seen by the connection.
            book.look(
                "agent",
                format!("{peers}: no `identity`, no key under a usual name in ~/.ssh, and no agent that has one"),
                fix,
            );
        }
    }
}

/// What a Mac keeps from programs that launchd starts, which nobody sees from a terminal.
pub(super) fn privacy(os: &str, home: Option<&Path>, root: &Path) -> Vec<(String, String)> {
    let Some(home) = home.filter(|_| os == "macos") else {
        return Vec::new();
    };
    let kept = ["Desktop", "Documents", "Downloads"];
    let inside = kept.iter().find(|d| root.starts_with(home.join(d)));
    let program = process::own_program().map_or_else(|| "ubos-sync".into(), |p| shown(&p));
    inside
        .map(|dir| {
            (
                format!("the root lies in ~/{dir}, which launchd may not let us read: \"Operation not permitted\""),
                format!("System Settings, Privacy & Security, Full Disk Access: add {program}, and again after each update of it"),
            )
        })
        .into_iter()
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mac_keeps_three_folders_from_agents() {
        let home = Some(Path::new("/Users/u"));
        let asked = |os, root: &str| privacy(os, home, Path::new(root));
        let rows = asked("macos", "/Users/u/Desktop/UBOS");
        assert!(rows[0].0.contains("~/Desktop") && rows[0].1.contains("Full Disk Access"));
        assert!(asked("macos", "/Users/u/Desktops").is_empty());
        assert!(asked("macos", "/Users/u/src").is_empty());
        assert!(asked("linux", "/Users/u/Desktop/UBOS").is_empty());
    }
}
