//! The files of a service manager, filled from templates: systemd's timer, services and their hardening, launchd's agent. Pure.
//!
//! Invariants: no text of a policy reaches a unit but escaped; a file of ours says so in its first lines, and how it was made.

use std::time::Duration;

const SERVICE: &str = include_str!("../../systemd/ubos-sync.service");
const TIMER: &str = include_str!("../../systemd/ubos-sync.timer");
const WATCH: &str = include_str!("../../systemd/ubos-sync-watch.service");
const FAILURE: &str = include_str!("../../systemd/ubos-sync-failure@.service");
const HARD_SYSTEM: &str = include_str!("../../systemd/hardening-system.conf");
const HARD_USER: &str = include_str!("../../systemd/hardening-user.conf");
const PLIST: &str = include_str!("../../launchd/ubos-sync.plist");

/// Below the configuration of a manager (`~/.config`, `/etc`): a file for each secret that the policy names a variable for.
pub const SECRETS: &str = "ubos-sync/credentials";
/// The credential of `[notify] webhook_url_file`.
pub const WEBHOOK: &str = "webhook-url";
/// What stands in a credential that could not be loaded: without it the unit would not start.
pub const EMPTY: &str = "-";

/// By which a file is known for ours.
const OURS: &str = "Written by ubos-sync;";
pub const LABEL: &str = "ubos-sync";
/// What launchd writes down of its agent, in the directory of the records, and how long it may grow before a new one is begun.
pub const AGENT_LOG: &str = "launchd.log";
pub const AGENT_LOG_MOST: u64 = 1 << 20;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    Systemd,
    Launchd,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Timer,
    Watch,
}

/// What was chosen; it stands in each file, so that a later command finds it again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    pub kind: Kind,
    pub mode: Mode,
    /// `full`, `truth` or `logs`.
    pub lane: String,
    pub applies: bool,
    /// A system unit runs as this user.
    pub run_as: Option<String>,
    pub interval: Duration,
    pub jitter: Duration,
    /// The interval was given on the command line and is not the policy's.
    pub own_interval: bool,
}

/// A secret that the service manager hands to the unit in a private file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Credential {
    pub id: String,
    /// Where it lies; `None`: under its own name among the manager's [`SECRETS`].
    pub file: Option<String>,
}

/// The credential that is the key of a peer.
pub fn key_of_peer(name: &str) -> String {
    format!("key.{name}")
}

/// The credential that is the key of a target.
pub fn key_of_target(name: &str) -> String {
    format!("target-key.{name}")
}

/// What the machine and the policy say.
#[derive(Debug, Clone)]
pub struct Place {
    pub program: String,
    pub policy: String,
    /// Directories that a system unit may write to.
    pub writable: Vec<String>,
    pub memory_max: String,
    pub cpu_quota: String,
    pub wants: Vec<String>,
    /// What it takes to tell somebody, and the keys of peers and targets.
    pub secrets: Vec<Credential>,
    pub keys: Vec<Credential>,
    /// Where launchd's agent says its last words.
    pub log: String,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnitFile {
    pub name: String,
    pub content: String,
}

impl Choice {
    fn line(&self) -> String {
        format!(
            "spec: mode={} lane={} apply={} interval={} jitter={} run-as={}",
            match self.mode {
                Mode::Timer => "timer",
                Mode::Watch => "watch",
            },
            self.lane,
            if self.applies { "yes" } else { "no" },
            self.interval.as_secs(),
            self.jitter.as_secs(),
            self.run_as.as_deref().unwrap_or("-"),
        ) + if self.own_interval {
            " own-interval"
        } else {
            ""
        }
    }

    /// Reads back what [`line`](Self::line) wrote.
    pub fn of(kind: Kind, content: &str) -> Option<Choice> {
        let line = content.lines().find_map(|l| l.split_once("spec: "))?.1;
        let get = |key: &str| {
            let mut words = line.split_whitespace();
            words.find_map(|w| w.strip_prefix(key)?.strip_prefix('='))
        };
        let seconds = |key| get(key)?.parse().ok().map(Duration::from_secs);
        Some(Choice {
            kind,
            mode: match get("mode")? {
                "watch" => Mode::Watch,
                _ => Mode::Timer,
            },
            lane: get("lane")
                .filter(|l| ["full", "truth", "logs"].contains(l))?
                .to_owned(),
            applies: get("apply")? == "yes",
            run_as: get("run-as").filter(|u| *u != "-").map(str::to_owned),
            interval: seconds("interval")?,
            jitter: seconds("jitter")?,
            own_interval: line.split_whitespace().any(|w| w == "own-interval"),
        })
    }
}

/// Whether a file of a service manager is one of ours.
pub fn is_ours(content: &str) -> bool {
    content.lines().take(6).any(|l| l.contains(OURS))
}

/// The name of the unit that is switched on and off.
pub fn switch(choice: &Choice) -> &'static str {
    match (choice.kind, choice.mode) {
        (Kind::Launchd, _) => LABEL,
        (_, Mode::Timer) => "ubos-sync.timer",
        (_, Mode::Watch) => "ubos-sync-watch.service",
    }
}

/// Every name that a file of ours can have.
pub fn names(kind: Kind) -> &'static [&'static str] {
    match kind {
        Kind::Launchd => &["ubos-sync.plist"],
        Kind::Systemd => &[
            "ubos-sync.timer",
            "ubos-sync.service",
            "ubos-sync-watch.service",
            "ubos-sync-failure@.service",
        ],
    }
}

/// The files of a choice. `None`: a text that no unit can hold (a line break, or what is not text).
pub fn render(choice: &Choice, place: &Place) -> Option<Vec<UnitFile>> {
    let texts = [
        &place.program,
        &place.policy,
        &place.log,
        &place.memory_max,
        &place.cpu_quota,
    ];
    let mut all = texts
        .into_iter()
        .chain(&place.writable)
        .chain(&place.wants)
        .chain(place.keys.iter().filter_map(|c| c.file.as_ref()))
        .chain(place.secrets.iter().filter_map(|c| c.file.as_ref()))
        .chain(&choice.run_as);
    if all.any(|t| t.chars().any(char::is_control)) {
        return None;
    }
    Some(match choice.kind {
        Kind::Systemd => systemd(choice, place),
        Kind::Launchd => vec![launchd(choice, place)],
    })
}

fn words(choice: &Choice, place: &Place) -> Vec<String> {
    let mut words = vec![
        place.program.clone(),
        "--policy".into(),
        place.policy.clone(),
        "--no-progress".into(),
    ];
    match choice.mode {
        Mode::Watch => {
            words.extend([
                "watch".into(),
                "--interval".into(),
                choice.interval.as_secs().to_string(),
            ]);
        }
        Mode::Timer => words.push(choice.lane.clone()),
    }
    if choice.applies {
        words.push("--apply".into());
    }
    words
}

fn fill(template: &str, values: &[(&str, String)]) -> String {
    // Each place once and from left to right, so that nothing that was filled in is looked at again.
    let mut out = String::new();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once("{{") {
        out += before;
        let (key, after) = after.split_once("}}").unwrap_or(("", after));
        out += values
            .iter()
            .find(|(k, _)| *k == key)
            .map_or("", |(_, v)| v);
        rest = after;
    }
    out + rest
}

/// A word of a command line or a path, as systemd reads it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' | '\\' => out.extend(['\\', c]),
            '%' => out += "%%",
            '$' => out += "$$",
            c => out.push(c),
        }
    }
    out + "\""
}

/// A path in a setting: no variables are read there.
fn quoted_path(text: &str) -> String {
    quoted(text).replace("$$", "$")
}

/// The manager reads these as itself and shows the unit copies that nobody else can read; a file that is not there is no fault.
fn credentials<'a>(all: impl Iterator<Item = &'a Credential>) -> String {
    all.map(|c| {
        let from = match &c.file {
            // Taken as it stands, but for the sign of a specifier.
            Some(file) => file.replace('%', "%%"),
            None => format!("%E/{SECRETS}/{}", c.id),
        };
        let id = &c.id;
        format!("SetCredential={id}:{EMPTY}\nLoadCredential={id}:{from}\n")
    })
    .collect()
}

fn systemd(choice: &Choice, place: &Place) -> Vec<UnitFile> {
    let command = |words: &[String]| {
        words
            .iter()
            .map(|w| quoted(w))
            .collect::<Vec<_>>()
            .join(" ")
    };
    let is_system = choice.run_as.is_some();
    let line = |key: &str, value: String| format!("{key}={value}\n");
    let wants: String = match place.wants.is_empty() {
        true => String::new(),
        false => line("Wants", place.wants.join(" ")) + &line("After", place.wants.join(" ")),
    };
    let network = match is_system {
        true => {
            line("Wants", "network-online.target".into())
                + &line("After", "network-online.target".into())
        }
        // A user's manager knows no such target; the tool itself waits for its peers.
        false => String::new(),
    };
    let paths = place
        .writable
        .iter()
        .map(|p| line("ReadWritePaths", quoted_path(&format!("-{p}"))));
    let hardening = match is_system {
        true => fill(HARD_SYSTEM, &[("PATHS", paths.collect())]),
        false => HARD_USER.to_owned(),
    };
    let (calendar, delay, every) = calendar(choice.interval, choice.jitter);
    let failure = [
        place.program.clone(),
        "--policy".into(),
        place.policy.clone(),
        "unit-failed".into(),
    ];
    let values = |words: &[String], handed: String| {
        [
            ("CREDENTIALS", handed),
            ("SPEC", choice.line()),
            ("COMMAND", command(words)),
            (
                "USER",
                choice
                    .run_as
                    .as_ref()
                    .map_or(String::new(), |u| line("User", u.clone())),
            ),
            ("WANTS", wants.clone()),
            ("NETWORK", network.clone()),
            ("MEMORY", place.memory_max.clone()),
            ("CPU", place.cpu_quota.clone()),
            ("HARDENING", hardening.clone()),
            ("CALENDAR", calendar.clone()),
            ("DELAY", format!("{delay}s")),
            ("EVERY", every.clone()),
            (
                "TARGET",
                if is_system {
                    "multi-user.target"
                } else {
                    "default.target"
                }
                .into(),
            ),
        ]
    };
    let own = values(
        &words(choice, place),
        credentials(place.secrets.iter().chain(&place.keys)),
    );
    let mut files = match choice.mode {
        Mode::Timer => vec![
            ("ubos-sync.service", fill(SERVICE, &own)),
            ("ubos-sync.timer", fill(TIMER, &own)),
        ],
        Mode::Watch => vec![("ubos-sync-watch.service", fill(WATCH, &own))],
    };
    files.push((
        "ubos-sync-failure@.service",
        fill(
            FAILURE,
            &values(&failure, credentials(place.secrets.iter())),
        ),
    ));
    files
        .into_iter()
        .map(|(name, content)| UnitFile {
            name: name.into(),
            content,
        })
        .collect()
}

/// The wall-clock expression, the one-sided delay in seconds, and the interval in words. A clock face can only be cut into equal
/// parts: an interval that is none becomes the next shorter one.
pub fn calendar(interval: Duration, jitter: Duration) -> (String, u64, String) {
    let seconds = interval.as_secs();
    if seconds < 60 {
        let step = [5, 6, 10, 12, 15, 20, 30]
            .into_iter()
            .rfind(|s| *s <= seconds)
            .unwrap_or(5);
        let delay = jitter.as_secs().min(step);
        return (format!("*:*:0/{step}"), delay, format!("{step} seconds"));
    }
    if seconds < 3600 {
        let step = minutes(interval);
        let jitter = jitter.as_secs().min(step * 60 / 2);
        let begin = (step * 60 - jitter) % (step * 60);
        let (minute, second) = (begin / 60, begin % 60);
        return (
            format!("*:{minute}/{step}:{second:02}"),
            jitter * 2,
            format!("{step} minutes"),
        );
    }
    let step = hours(interval);
    let jitter = jitter.as_secs().min(step * 3600 / 2);
    let begin = (step * 3600 - jitter) % (step * 3600);
    let (hour, minute, second) = (begin / 3600, begin / 60 % 60, begin % 60);
    let text = match step {
        24 => format!("{hour:02}:{minute:02}:{second:02}"),
        step => format!("{hour}/{step}:{minute:02}:{second:02}"),
    };
    (text, jitter * 2, format!("{step} hours"))
}

fn largest(steps: &[u64], most: u64) -> u64 {
    steps.iter().copied().rfind(|s| *s <= most).unwrap_or(1)
}

fn minutes(interval: Duration) -> u64 {
    largest(
        &[1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30],
        interval.as_secs() / 60,
    )
}

fn hours(interval: Duration) -> u64 {
    largest(&[1, 2, 3, 4, 6, 8, 12, 24], interval.as_secs() / 3600)
}

fn xml(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

fn launchd(choice: &Choice, place: &Place) -> UnitFile {
    let mut words = words(choice, place);
    if choice.mode == Mode::Timer && !choice.jitter.is_zero() {
        // launchd knows no jitter.
        words.extend(["--jitter".into(), choice.jitter.as_secs().to_string()]);
    }
    let arguments: String = words
        .iter()
        .map(|w| format!("\t\t<string>{}</string>\n", xml(w)))
        .collect();
    let schedule = match choice.mode {
        Mode::Watch => "\t<key>KeepAlive</key>\n\t<dict>\n\t\t<key>SuccessfulExit</key>\n\t\t<false/>\n\t</dict>\n\t<key>ThrottleInterval</key>\n\t<integer>30</integer>\n".to_owned(),
        Mode::Timer => format!("\t<key>StartCalendarInterval</key>\n\t<array>\n{}\t</array>\n", times(choice.interval)),
    };
    UnitFile {
        name: "ubos-sync.plist".into(),
        content: fill(
            PLIST,
            &[
                // Two dashes would end the comment.
                ("SPEC", choice.line().replace("--", "")),
                ("LABEL", LABEL.into()),
                (
                    "USER",
                    choice.run_as.as_ref().map_or(String::new(), |u| {
                        format!("\t<key>UserName</key>\n\t<string>{}</string>\n", xml(u))
                    }),
                ),
                ("ARGUMENTS", arguments),
                ("SCHEDULE", schedule),
                ("LOG", xml(&place.log)),
            ],
        ),
    }
}

/// One entry for each time of an hour or a day: only those are made up for after sleep.
fn times(interval: Duration) -> String {
    let entry = |pairs: &[(&str, u64)]| {
        let inner: String = pairs
            .iter()
            .map(|(key, n)| format!("\t\t\t<key>{key}</key>\n\t\t\t<integer>{n}</integer>\n"))
            .collect();
        format!("\t\t<dict>\n{inner}\t\t</dict>\n")
    };
    let every = |n: u64| usize::try_from(n).unwrap_or(1);
    match interval.as_secs() < 3600 {
        true => (0..60)
            .step_by(every(minutes(interval)))
            .map(|m| entry(&[("Minute", m)]))
            .collect(),
        false => (0..24)
            .step_by(every(hours(interval)))
            .map(|h| entry(&[("Hour", h), ("Minute", 0)]))
            .collect(),
    }
}

/// One for tests.
#[cfg(test)]
pub(crate) fn choice(kind: Kind, mode: Mode, run_as: Option<&str>) -> Choice {
    Choice {
        kind,
        mode,
        lane: "full".into(),
        applies: true,
        run_as: run_as.map(str::to_owned),
        interval: Duration::from_secs(300),
        jitter: Duration::from_secs(30),
        own_interval: false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            program: "/usr/local/bin/ubos-sync".into(),
            policy: "/home/é a/100% \"$x\" & <y>\\z/ubos-sync.toml".into(),
            writable: vec!["/srv/a b".into(), "/srv/100%".into()],
            memory_max: "768M".into(),
            cpu_quota: "50%".into(),
            wants: vec!["app.service".into()],
            secrets: vec![Credential {
                id: "UBOS_SYNC_WEBHOOK".into(),
                file: None,
            }],
            keys: vec![Credential {
                id: key_of_peer("balaur"),
                file: Some("/home/é a/100% \"$x\"/id".into()),
            }],
            log: "/tmp/a&b.log".into(),
        }
    }

    fn golden(name: &str, choice: &Choice) {
        let files = render(choice, &place()).unwrap();
        let text: String = files
            .iter()
            .map(|f| format!("==> {}\n{}\n", f.name, f.content))
            .collect();
        insta::with_settings!({ snapshot_path => "../../tests/golden", prepend_module_to_snapshot => false }, {
            insta::assert_snapshot!(name, text);
        });
        assert!(
            files
                .iter()
                .all(|f| is_ours(&f.content) && !f.content.contains("{{"))
        );
        assert_eq!(
            Choice::of(choice.kind, &files[0].content).as_ref(),
            Some(choice)
        );
    }

    #[test]
    fn every_variant_is_as_its_golden() {
        golden(
            "units-timer-user",
            &choice(Kind::Systemd, Mode::Timer, None),
        );
        golden(
            "units-timer-system",
            &choice(Kind::Systemd, Mode::Timer, Some("th")),
        );
        golden(
            "units-watch-user",
            &choice(Kind::Systemd, Mode::Watch, None),
        );
        golden(
            "units-launchd-timer",
            &choice(Kind::Launchd, Mode::Timer, None),
        );
        golden(
            "units-launchd-watch",
            &choice(Kind::Launchd, Mode::Watch, None),
        );
    }

    #[test]
    fn a_face_of_the_clock_is_cut_into_equal_parts() {
        let of = |interval: u64, jitter: u64| {
            let (text, delay, _) =
                calendar(Duration::from_secs(interval), Duration::from_secs(jitter));
            format!("{text} {delay}")
        };
        assert_eq!(of(300, 30), "*:4/5:30 60");
        assert_eq!(of(300, 0), "*:0/5:00 0");
        assert_eq!(of(420, 0), "*:0/6:00 0");
        assert_eq!(of(3600, 60), "0/1:59:00 120");
        assert_eq!(of(7200, 0), "0/2:00:00 0");
        assert_eq!(of(86_400, 0), "00:00:00 0");
        assert_eq!(of(10, 3), "*:*:0/10 3");
    }

    #[test]
    fn an_interval_of_the_command_line_is_remembered_as_such() {
        let mut own = choice(Kind::Systemd, Mode::Watch, None);
        own.own_interval = true;
        let files = render(&own, &place()).unwrap();
        assert_eq!(Choice::of(own.kind, &files[0].content), Some(own));
    }

    #[test]
    fn a_line_break_in_any_text_is_refused() {
        let mut place = place();
        place.policy = "a\nExecStartPre=evil".into();
        assert!(render(&choice(Kind::Systemd, Mode::Timer, None), &place).is_none());
    }
}
