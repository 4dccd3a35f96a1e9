//! Units on this host: shown, installed, changed, taken away, through the service manager's own programs.
//!
//! Invariants: a file that is not ours is neither replaced nor removed; nothing is done that was not shown first.

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::host::policy_file::{env, variable};
use crate::host::{clock, files, plain_files, process};
use crate::model::invocation::Invocation;
use crate::model::policy::Policy;
use crate::model::text::neutral_bytes;
use crate::tool::units::{self, Choice, Credential, Kind, LABEL, Place, UnitFile};

/// A file as it would be, and what stands there now.
pub struct Planned {
    pub path: PathBuf,
    pub file: UnitFile,
    pub now: Now,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Now {
    Absent,
    Same,
    /// Ours, but another text.
    Other,
    /// Written by somebody else.
    Foreign,
}

/// This host's kind of service manager.
pub fn native() -> Kind {
    match std::env::consts::OS {
        "macos" => Kind::Launchd,
        _ => Kind::Systemd,
    }
}

/// Where units of this kind lie.
pub fn dir(kind: Kind, is_system: bool) -> Option<PathBuf> {
    let home = env().home;
    Some(match (kind, is_system) {
        (Kind::Systemd, true) => "/etc/systemd/system".into(),
        (Kind::Systemd, false) => variable("XDG_CONFIG_HOME")
            .map(PathBuf::from)
            .filter(|p| p.is_absolute())
            .or(home.map(|h| h.join(".config")))?
            .join("systemd/user"),
        (Kind::Launchd, true) => "/Library/LaunchDaemons".into(),
        (Kind::Launchd, false) => home?.join("Library/LaunchAgents"),
    })
}

/// What the policy and this machine say.
pub fn place(policy: &Policy) -> Place {
    let shown = |p: &Path| p.display().to_string();
    let mut writable = vec![
        shown(&policy.site.root),
        shown(&policy.site.state_dir),
        shown(&policy.audit.dir),
    ];
    for peer in &policy.peers {
        if peer.remote.is_none() {
            writable.push(peer.root.clone());
        }
        let outside = peer
            .logs
            .iter()
            .filter(|l| !l.local.starts_with(&policy.site.root));
        writable.extend(outside.filter_map(|l| Some(shown(l.local.parent()?))));
    }
    writable.sort();
    writable.dedup();
    let (secrets, keys) = handed(policy);
    Place {
        program: process::own_program().map_or_else(|| "ubos-sync".into(), |p| shown(&p)),
        policy: shown(&policy.file),
        writable,
        memory_max: policy.service.memory_max.clone(),
        cpu_quota: policy.service.cpu_quota.clone(),
        wants: policy.service.wants.clone(),
        secrets,
        keys,
        log: shown(&policy.audit.dir.join(units::AGENT_LOG)),
    }
}

/// What the manager hands over: secrets for telling somebody, and keys.
fn handed(policy: &Policy) -> (Vec<Credential>, Vec<Credential>) {
    let lying = |id: String, file: &Path| {
        let file = file.display().to_string();
        // A unit would read on in its next line, or lose the blank.
        let plain = !file.ends_with(['\\', ' ']);
        plain.then_some(Credential {
            id,
            file: Some(file),
        })
    };
    let notify = &policy.notify;
    let named = [&notify.webhook_url_env, &notify.ping_url_env];
    let mut secrets: Vec<Credential> = named
        .into_iter()
        .flatten()
        .map(|id| Credential {
            id: id.clone(),
            file: None,
        })
        .collect();
    secrets.dedup();
    let file = notify.webhook_url_file.as_ref();
    secrets.extend(file.and_then(|f| lying(units::WEBHOOK.into(), f)));
    let peers = policy.peers.iter();
    let peers = peers.map(|p| (units::key_of_peer(&p.name), &p.remote));
    let targets = policy.publish.iter().flat_map(|p| &p.targets);
    let targets = targets.map(|t| (units::key_of_target(&t.name), &t.remote));
    let keys = peers.chain(targets);
    let keys = keys.filter_map(|(id, remote)| lying(id, remote.as_ref()?.identity.as_ref()?));
    (secrets, keys.collect())
}

/// The files of a choice, each with what stands in its place.
pub fn planned(choice: &Choice, place: &Place) -> Result<Vec<Planned>, String> {
    let dir = dir(choice.kind, choice.run_as.is_some()).ok_or("this user has no home directory")?;
    let all = units::render(choice, place)
        .ok_or("a path or name holds a line break, which no unit can")?;
    Ok(all
        .into_iter()
        .map(|file| {
            let path = dir.join(&file.name);
            let now = match read(&path) {
                None => Now::Absent,
                Some(text) if text == file.content => Now::Same,
                Some(text) if units::is_ours(&text) => Now::Other,
                Some(_) => Now::Foreign,
            };
            Planned { path, file, now }
        })
        .collect())
}

fn read(path: &Path) -> Option<String> {
    let bytes = files::read_bounded(path, 1 << 16).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Files of ours that lie in the directory of this kind, with how they were made.
pub fn installed(kind: Kind, is_system: bool) -> Vec<(PathBuf, Option<Choice>)> {
    let Some(dir) = dir(kind, is_system) else {
        return Vec::new();
    };
    let all = units::names(kind).iter().map(|n| dir.join(n));
    all.filter_map(|path| {
        let text = read(&path).filter(|t| units::is_ours(t))?;
        let choice = Choice::of(kind, &text);
        Some((path, choice))
    })
    .collect()
}

/// A command of the service manager.
pub type Command = Vec<String>;

pub(super) fn words(all: &[&str]) -> Command {
    all.iter().map(|w| (*w).to_owned()).collect()
}

pub(super) fn systemctl(is_system: bool, rest: &[&str]) -> Command {
    let scope: &[&str] = if is_system { &[] } else { &["--user"] };
    words(&[&["systemctl"], scope, rest].concat())
}

pub(super) fn domain(is_system: bool) -> String {
    match is_system {
        true => "system".into(),
        false => format!("gui/{}", process::user_id()),
    }
}

/// What has to be there before a unit that may write nowhere else runs for the first time: it could not make these itself.
pub fn to_prepare(choice: &Choice, policy: &Policy) -> Vec<Command> {
    let (Kind::Systemd, Some(user)) = (choice.kind, &choice.run_as) else {
        return Vec::new();
    };
    let make = |dir: &&PathBuf| {
        let shown = dir.display().to_string();
        match dir.parent().is_some_and(plain_files::leads_to_dir) {
            true => words(&["install", "-d", "-m", "0700", "-o", user, &shown]),
            // As the user, so that what is made on the way is theirs as well.
            false => words(&[
                "runuser", "-u", user, "--", "mkdir", "-p", "-m", "0700", &shown,
            ]),
        }
    };
    let all = [&policy.site.state_dir, &policy.audit.dir];
    let absent = all.into_iter().filter(|d| !plain_files::leads_to_dir(d));
    absent.map(|d| make(&d)).collect()
}

/// What makes the service manager take the files in.
pub fn to_install(choice: &Choice, path: &Path) -> Vec<Command> {
    let is_system = choice.run_as.is_some();
    match choice.kind {
        Kind::Systemd => {
            let unit = units::switch(choice);
            let other = match unit {
                "ubos-sync.timer" => "ubos-sync-watch.service",
                _ => "ubos-sync.timer",
            };
            let mut all = vec![systemctl(is_system, &["daemon-reload"])];
            if installed(choice.kind, is_system)
                .iter()
                .any(|(p, _)| p.ends_with(other))
            {
                all.push(systemctl(is_system, &["disable", "--now", other]));
            }
            all.push(systemctl(is_system, &["enable", unit]));
            all.push(systemctl(is_system, &["restart", unit]));
            all
        }
        Kind::Launchd => {
            let (domain, path) = (domain(is_system), path.display().to_string());
            let target = format!("{domain}/{LABEL}");
            vec![
                words(&["launchctl", "bootout", &target]),
                words(&["launchctl", "bootstrap", &domain, &path]),
            ]
        }
    }
}

/// What lets it go.
pub fn to_uninstall(kind: Kind, is_system: bool, units: &[String]) -> Vec<Command> {
    match kind {
        Kind::Systemd => {
            let switches = units
                .iter()
                .filter(|u| *u != "ubos-sync.service" && !u.contains('@'));
            switches
                .map(|u| systemctl(is_system, &["disable", "--now", u]))
                .collect()
        }
        Kind::Launchd => vec![words(&[
            "launchctl",
            "bootout",
            &format!("{}/{LABEL}", domain(is_system)),
        ])],
    }
}

/// What has to be said when the files are gone: the stamp of the persistent timer goes too.
pub fn after_uninstall(kind: Kind, is_system: bool, units: &[String]) -> Vec<Command> {
    match kind {
        Kind::Systemd => {
            let mut all = Vec::new();
            if units.iter().any(|u| u == "ubos-sync.timer") {
                all.push(systemctl(
                    is_system,
                    &["clean", "--what=state", "ubos-sync.timer"],
                ));
            }
            all.push(systemctl(is_system, &["daemon-reload"]));
            // A unit that has failed is remembered without its file. A pattern, because a plain name that is not remembered is an
            // error.
            all.push(systemctl(
                is_system,
                &[
                    "reset-failed",
                    "ubos-sync.servic[e]",
                    "ubos-sync-watch.servic[e]",
                    "ubos-sync-failure@*.service",
                ],
            ));
            all
        }
        Kind::Launchd => Vec::new(),
    }
}

pub fn to_switch(choice: &Choice, on: bool, path: &Path) -> Vec<Command> {
    let is_system = choice.run_as.is_some();
    let word = if on { "enable" } else { "disable" };
    match choice.kind {
        Kind::Systemd => vec![systemctl(
            is_system,
            &[word, "--now", units::switch(choice)],
        )],
        Kind::Launchd => {
            let target = format!("{}/{LABEL}", domain(is_system));
            let bootout = words(&["launchctl", "bootout", &target]);
            let bootstrap = words(&[
                "launchctl",
                "bootstrap",
                &domain(is_system),
                &path.display().to_string(),
            ]);
            let switch = words(&["launchctl", word, &target]);
            match on {
                // What is loaded already would not be loaded again.
                true => vec![switch, bootout, bootstrap],
                false => vec![bootout, switch],
            }
        }
    }
}

pub fn to_trigger(choice: &Choice) -> Command {
    let is_system = choice.run_as.is_some();
    match choice.kind {
        Kind::Systemd => {
            let unit = match choice.mode {
                units::Mode::Timer => "ubos-sync.service",
                units::Mode::Watch => "ubos-sync-watch.service",
            };
            let verb = if choice.mode == units::Mode::Timer {
                "start"
            } else {
                "restart"
            };
            systemctl(is_system, &[verb, unit])
        }
        Kind::Launchd => words(&[
            "launchctl",
            "kickstart",
            "-k",
            &format!("{}/{LABEL}", domain(is_system)),
        ]),
    }
}

pub fn to_read_log(choice: &Choice, lines: &str) -> Command {
    let unit = match choice.mode {
        units::Mode::Timer => "ubos-sync.service",
        units::Mode::Watch => "ubos-sync-watch.service",
    };
    match choice.run_as {
        Some(_) => words(&["journalctl", "--no-pager", "-n", lines, "-u", unit]),
        None => words(&[
            "journalctl",
            "--user",
            "--no-pager",
            "-n",
            lines,
            "-u",
            unit,
        ]),
    }
}

/// How long launchd may take to let an agent go.
const SETTLES: Duration = Duration::from_secs(10);

/// How long the answer to a question may take: it is a matter of milliseconds, unless the manager or its bus hangs.
const ANSWERS: Duration = Duration::from_secs(3);

/// Runs a command of the service manager: what it said, or why it failed. launchd lets an agent go behind our back, and for as long as
/// that takes it refuses the next one.
pub fn call(command: &Command) -> Result<String, String> {
    let until = clock::monotonic() + SETTLES;
    loop {
        match once(command, |what| process::run(what, &[])) {
            Err(why)
                if command.iter().any(|w| w == "bootstrap")
                    && why.contains("5: Input/output error")
                    && clock::monotonic() < until =>
            {
                clock::sleep(Duration::from_millis(250));
            }
            other => return other,
        }
    }
}

/// Asks the service manager, which may hang: whoever asks waits no longer than this.
pub fn ask(command: &Command) -> Result<String, String> {
    once(command, |what| process::ask(what, ANSWERS))
}

/// Whether a command only lets go what may not be there.
pub fn may_fail(command: &Command) -> bool {
    command.iter().any(|w| w == "bootout")
}

fn once(
    command: &Command,
    run: impl FnOnce(&Invocation) -> std::io::Result<process::Output>,
) -> Result<String, String> {
    let Some((program, rest)) = command.split_first() else {
        return Ok(String::new());
    };
    let path = process::which(program).ok_or_else(|| format!("{program} is not on this host"))?;
    let what = Invocation::new(&path).args(rest.iter().map(String::as_str));
    let out = run(&what).map_err(|e| format!("{program}: {e}"))?;
    match out.code {
        Some(0) => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        _ => Err(neutral_bytes(out.stderr.trim_ascii())),
    }
}

/// Writes a file of ours.
pub fn write(planned: &Planned) -> Result<(), String> {
    if let Some(dir) = planned.path.parent() {
        plain_files::make_dir(dir).map_err(|e| format!("{}: {e}", dir.display()))?;
    }
    // No secret stands in it, and the user that a system unit runs as wants to see it too.
    plain_files::replace_public(&planned.path, planned.file.content.as_bytes())
        .map_err(|e| format!("{}: {e}", planned.path.display()))
}

pub fn remove(path: &Path) -> Result<(), String> {
    files::remove_file(path).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tool::units::Mode;
    use crate::tool::units::choice;

    #[test]
    fn each_kind_is_triggered_and_its_log_read_in_its_own_scope() {
        let said = |kind, mode, run_as| {
            let choice = choice(kind, mode, run_as);
            [to_trigger(&choice), to_read_log(&choice, "9")].map(|c| c.join(" "))
        };
        let timer = said(Kind::Systemd, Mode::Timer, None);
        assert_eq!(timer[0], "systemctl --user start ubos-sync.service");
        let log = "journalctl --user --no-pager -n 9 -u ubos-sync.service";
        assert_eq!(timer[1], log);
        let watch = said(Kind::Systemd, Mode::Watch, Some("th"));
        assert_eq!(watch[0], "systemctl restart ubos-sync-watch.service");
        let log = "journalctl --no-pager -n 9 -u ubos-sync-watch.service";
        assert_eq!(watch[1], log);
        let daemon = said(Kind::Launchd, Mode::Timer, Some("th"));
        assert_eq!(daemon[0], format!("launchctl kickstart -k system/{LABEL}"));
        let agent = &said(Kind::Launchd, Mode::Timer, None)[0];
        assert!(agent.ends_with(&format!(" gui/{}/{LABEL}", process::user_id())));
    }

    #[test]
    fn what_launchd_has_loaded_is_let_go_before_it_is_loaded_again() {
        let path = Path::new("/Library/LaunchDaemons/x.plist");
        let said = |choice: &Choice, on| -> Vec<String> {
            let all = to_switch(choice, on, path);
            all.iter().map(|c| c.join(" ")).collect()
        };
        let daemon = choice(Kind::Launchd, Mode::Watch, Some("th"));
        let of = |word: &str| format!("launchctl {word} system/{LABEL}");
        let load = "launchctl bootstrap system /Library/LaunchDaemons/x.plist".to_owned();
        assert_eq!(said(&daemon, true), [of("enable"), of("bootout"), load]);
        assert_eq!(said(&daemon, false), [of("bootout"), of("disable")]);
        let timer = choice(Kind::Systemd, Mode::Timer, None);
        assert_eq!(
            said(&timer, false),
            ["systemctl --user disable --now ubos-sync.timer"]
        );
        assert!(may_fail(&to_switch(&daemon, false, path)[0]));
        assert!(!may_fail(&to_switch(&daemon, false, path)[1]));
    }

    #[test]
    fn a_program_that_is_not_there_or_fails_says_so() {
        let of = |all: &[&str]| call(&words(all));
        assert_eq!(of(&[]), Ok(String::new()));
        assert_eq!(of(&["echo", "well"]).as_deref(), Ok("well\n"));
        let absent = of(&["no-such-manager", "start"]).unwrap_err();
        assert_eq!(absent, "no-such-manager is not on this host");
        let failed = of(&["sh", "-c", "echo no bus >&2; exit 1"]).unwrap_err();
        assert_eq!(failed, "no bus");
    }
}
