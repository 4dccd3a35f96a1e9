//! `.ci/ensure-tools` on made-up machines: a private `PATH` with fake package managers that note what they are
//! asked, so that the commands for systems that are not at hand are tested too.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use tempfile::TempDir;

const MANAGERS: [&str; 5] = ["apt-get", "dnf", "pacman", "apk", "brew"];
const PROGRAMS: [&str; 17] = [
    "cc",
    "unison",
    "rsync",
    "ssh",
    "sshd",
    "ssh-keygen",
    "git",
    "faketime",
    "inotifywait",
    "unison-2.51+4.13.1",
    "systemd-analyze",
    "dbus-daemon",
    "nsenter",
    "ip",
    "chromium",
    "zsh",
    "fish",
];

/// A machine with everything installed, until something is taken away.
struct Machine {
    dir: TempDir,
}

struct Said {
    ok: bool,
    out: String,
    err: String,
    /// The commands that reached a package manager or sudo, in order.
    commands: Vec<String>,
}

impl Machine {
    fn new(uid: u32) -> Machine {
        let machine = Machine {
            dir: TempDir::new().unwrap(),
        };
        fs::create_dir_all(machine.bin()).unwrap();
        fs::create_dir_all(machine.dir.path().join("usr/sbin")).unwrap();
        for real in ["sh", "env", "chmod", "rm"] {
            let found = ["/bin", "/usr/bin"].map(|dir| Path::new(dir).join(real));
            let found = found.iter().find(|file| file.exists()).unwrap();
            symlink(found, machine.bin().join(real)).unwrap();
        }
        machine.script("id", &format!("echo {uid}"));
        for program in PROGRAMS.iter().chain(&["cargo"]) {
            machine.script(program, "");
        }
        machine
    }

    /// Has a manager that installs whatever is missing, and lists that were fetched once.
    fn with(self, manager: &str) -> Machine {
        let mut install = String::from("printf '%s\\n' \"${0##*/} $*\" >>\"$LOG\"\n");
        install
            .push_str("case \" $* \" in *' install '*|*' -S '*|*' add '*) ;; *) exit 0 ;; esac\n");
        install.push_str(
            "[ -e \"$ROOT/usr/sbin/policy-rc.d\" ] && echo '(services held)' >>\"$LOG\"\n",
        );
        for program in PROGRAMS {
            install.push_str(&format!(
                "[ -e \"$BIN/{program}\" ] || {{ : >\"$BIN/{program}\"; chmod 755 \"$BIN/{program}\"; }}\n"
            ));
        }
        self.script(manager, &install);
        for lists in [
            "var/lib/apt/lists/mirror_Packages.lz4",
            "var/lib/pacman/sync/core.db",
        ] {
            let file = self.dir.path().join(lists);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, "").unwrap();
        }
        self
    }

    fn with_failing(self, manager: &str) -> Machine {
        self.script(manager, "printf '%s\\n' \"${0##*/} $*\" >>\"$LOG\"\nexit 1");
        self
    }

    fn with_sudo(self) -> Machine {
        self.script("sudo", "printf 'sudo: ' >>\"$LOG\"\nexec \"$@\"");
        self
    }

    fn without(self, programs: &[&str]) -> Machine {
        for program in programs {
            fs::remove_file(self.bin().join(program)).unwrap();
        }
        self
    }

    fn without_lists(self) -> Machine {
        fs::remove_dir_all(self.dir.path().join("var")).unwrap();
        self
    }

    fn bin(&self) -> PathBuf {
        self.dir.path().join("bin")
    }

    fn script(&self, name: &str, body: &str) {
        let file = self.bin().join(name);
        fs::write(&file, format!("#!/bin/sh\n{body}\n")).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    }

    fn run(&self, args: &[&str]) -> Said {
        let log = self.dir.path().join("log");
        let out = Command::new("/bin/sh")
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join(".ci/ensure-tools"))
            .args(args)
            .env_clear()
            .env("PATH", self.bin())
            .env("HOME", self.dir.path())
            .env("ENSURE_TOOLS_ROOT", self.dir.path())
            .env("ROOT", self.dir.path())
            .env("BIN", self.bin())
            .env("LOG", &log)
            .stdin(Stdio::null())
            .output()
            .unwrap();
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        Said {
            ok: out.status.success(),
            out: text(&out.stdout),
            err: text(&out.stderr),
            commands: fs::read_to_string(log)
                .unwrap_or_default()
                .lines()
                .map(str::to_owned)
                .collect(),
        }
    }
}

#[test]
fn it_says_one_line_and_runs_nothing_when_all_is_there() {
    for manager in MANAGERS {
        let said = Machine::new(0).with(manager).run(&["test"]);
        assert!(said.ok, "{}", said.err);
        assert_eq!(said.out.lines().count(), 1, "{}", said.out);
        assert_eq!(said.err, "");
        assert!(said.commands.is_empty(), "{:?}", said.commands);
    }
}

#[test]
fn every_manager_gets_its_own_names_and_only_what_is_missing() {
    let missing = ["unison", "ssh", "ssh-keygen", "faketime", "inotifywait"];
    let expected = [
        (
            "apt-get",
            "apt-get install -y --no-install-recommends unison openssh-client faketime inotify-tools",
        ),
        (
            "dnf",
            "dnf install -y unison openssh-clients openssh libfaketime inotify-tools",
        ),
        (
            "pacman",
            "pacman -S --needed --noconfirm unison openssh libfaketime inotify-tools",
        ),
        (
            "apk",
            "apk add --no-cache unison openssh-client openssh-keygen libfaketime inotify-tools",
        ),
        ("brew", "brew install unison openssh libfaketime fswatch"),
    ];
    for (manager, command) in expected {
        let said = Machine::new(0)
            .with(manager)
            .without(&missing)
            .run(&["test"]);
        assert!(said.ok, "{manager}: {}", said.err);
        assert_eq!(said.commands, [command]);
    }
}

#[test]
fn the_demo_asks_for_less_than_the_tests() {
    let machine = Machine::new(0).with("apt-get");
    let said = machine
        .without(&["rsync", "sshd", "git", "faketime"])
        .run(&["demo"]);
    assert!(said.ok, "{}", said.err);
    assert_eq!(
        said.commands,
        ["apt-get install -y --no-install-recommends rsync"]
    );
}

#[test]
fn lists_that_were_never_fetched_are_fetched_once() {
    let apt = Machine::new(0).with("apt-get").without_lists();
    assert_eq!(
        apt.without(&["rsync"]).run(&["demo"]).commands,
        [
            "apt-get update",
            "apt-get install -y --no-install-recommends rsync"
        ]
    );
    let pacman = Machine::new(0).with("pacman").without_lists();
    assert_eq!(
        pacman.without(&["rsync"]).run(&["demo"]).commands,
        [
            "pacman -Sy --noconfirm",
            "pacman -S --needed --noconfirm rsync"
        ]
    );
}

#[test]
fn an_ordinary_user_goes_through_sudo() {
    for manager in MANAGERS.iter().filter(|&&m| m != "brew") {
        let machine = Machine::new(1000).with(manager).with_sudo();
        let said = machine.without(&["rsync"]).run(&["demo"]);
        assert!(said.ok, "{manager}: {}", said.err);
        let [command] = &said.commands[..] else {
            panic!("{:?}", said.commands)
        };
        assert!(
            command.starts_with(&format!("sudo: {manager} ")),
            "{command}"
        );
    }
}

#[test]
fn root_needs_no_sudo_and_homebrew_never_gets_it() {
    let root = Machine::new(0).with("dnf").with_sudo();
    assert_eq!(
        root.without(&["rsync"]).run(&["demo"]).commands,
        ["dnf install -y rsync"]
    );
    let brew = Machine::new(501).with("brew").with_sudo();
    assert_eq!(
        brew.without(&["rsync"]).run(&["demo"]).commands,
        ["brew install rsync"]
    );
}

#[test]
fn without_sudo_it_names_the_packages_and_the_command() {
    let said = Machine::new(1000)
        .with("apt-get")
        .without(&["unison", "ssh"])
        .run(&["demo"]);
    assert!(!said.ok);
    assert!(said.commands.is_empty(), "{:?}", said.commands);
    assert!(said.err.contains("there is no sudo"), "{}", said.err);
    assert!(
        said.err.contains("packages: unison openssh-client\n"),
        "{}",
        said.err
    );
    let manual = "by hand: sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y \
                  --no-install-recommends unison openssh-client\n";
    assert!(said.err.contains(manual), "{}", said.err);
}

#[test]
fn without_sudo_homebrew_beside_another_manager_helps() {
    let machine = Machine::new(1000).with("apt-get").with("brew");
    let said = machine.without(&["rsync"]).run(&["demo"]);
    assert!(said.ok, "{}", said.err);
    assert_eq!(said.commands, ["brew install rsync"]);
}

#[test]
fn without_a_manager_it_names_the_programs() {
    let said = Machine::new(0).without(&["unison", "git"]).run(&["test"]);
    assert!(!said.ok);
    assert!(said.err.contains("missing: unison git\n"), "{}", said.err);
    assert!(
        said.err
            .contains("none of apt-get, dnf, pacman, apk and brew"),
        "{}",
        said.err
    );
}

#[test]
fn a_failing_install_is_tried_behind_fresh_lists_and_then_reported() {
    let said = Machine::new(0)
        .with("apt-get")
        .with_failing("apt-get")
        .without(&["rsync"])
        .run(&["demo"]);
    assert!(!said.ok);
    // The fake's update fails as well, so there is no second install.
    assert_eq!(
        said.commands,
        [
            "apt-get install -y --no-install-recommends rsync",
            "apt-get update"
        ]
    );
    assert!(
        said.err.contains("apt-get could not install them"),
        "{}",
        said.err
    );
    assert!(
        said.err.contains("do it by hand: env DEBIAN_FRONTEND"),
        "{}",
        said.err
    );

    for manager in ["dnf", "apk", "brew"] {
        let machine = Machine::new(0).with_failing(manager);
        let said = machine.without(&["rsync"]).run(&["demo"]);
        assert!(!said.ok);
        assert_eq!(said.commands.len(), 1, "{:?}", said.commands);
        assert!(said.err.contains("packages: rsync\n"), "{}", said.err);
    }
}

#[test]
fn a_manager_that_lies_about_success_is_found_out() {
    let machine = Machine::new(0).with("dnf").without(&["rsync"]);
    machine.script("dnf", "exit 0");
    let said = machine.run(&["demo"]);
    assert!(!said.ok);
    assert!(
        said.err.contains("something is still missing"),
        "{}",
        said.err
    );
}

#[test]
fn the_second_unison_is_wanted_but_not_required() {
    let second = "unison-2.51+4.13.1";
    let said = Machine::new(0)
        .with("apt-get")
        .without(&[second])
        .run(&["test"]);
    assert!(said.ok, "{}", said.err);
    assert_eq!(
        said.commands,
        [format!(
            "apt-get install -y --no-install-recommends {second}"
        )]
    );
    let said = Machine::new(0)
        .with_failing("apt-get")
        .with("dnf")
        .without(&[second])
        .run(&["test"]);
    assert!(said.ok, "{}", said.err);
    assert!(said.err.contains("not to be had here"), "{}", said.err);
    // Other systems have no such package and are not asked for it.
    let said = Machine::new(0)
        .with("dnf")
        .without(&[second])
        .run(&["test"]);
    assert!(said.ok && said.commands.is_empty(), "{:?}", said.commands);
}

#[test]
fn no_service_is_started_while_sshd_is_installed() {
    let machine = Machine::new(0).with("apt-get").without(&["sshd"]);
    let said = machine.run(&["test"]);
    assert!(said.ok, "{}", said.err);
    assert_eq!(
        said.commands,
        [
            "apt-get install -y --no-install-recommends openssh-server",
            "(services held)"
        ]
    );
    assert!(!machine.dir.path().join("usr/sbin/policy-rc.d").exists());
}

#[test]
fn an_administrator_s_own_service_policy_is_left_alone() {
    let machine = Machine::new(0).with("apt-get").without(&["sshd"]);
    let policy = machine.dir.path().join("usr/sbin/policy-rc.d");
    fs::write(&policy, "theirs").unwrap();
    assert!(machine.run(&["test"]).ok);
    assert_eq!(fs::read_to_string(&policy).unwrap(), "theirs");
}

#[test]
fn sshd_is_found_where_an_ordinary_user_s_path_does_not_look() {
    let machine = Machine::new(1000).without(&["sshd"]);
    let file = machine.dir.path().join("usr/sbin/sshd");
    fs::write(&file, "").unwrap();
    fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
    let said = machine.run(&["test"]);
    assert!(said.ok, "{}", said.err);
}

#[test]
fn print_shows_the_commands_and_runs_none() {
    let machine = Machine::new(1000)
        .with("apt-get")
        .with_sudo()
        .without_lists();
    let said = machine
        .without(&["rsync", "sshd"])
        .run(&["--print", "test"]);
    assert!(said.ok, "{}", said.err);
    assert!(said.commands.is_empty(), "{:?}", said.commands);
    let shown: Vec<&str> = said.out.lines().filter(|l| !l.starts_with('#')).collect();
    assert_eq!(
        shown,
        [
            "sudo env DEBIAN_FRONTEND=noninteractive apt-get update",
            "sudo env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends rsync openssh-server",
        ]
    );
}

#[test]
fn a_missing_cargo_is_named_with_the_way_to_get_it() {
    let said = Machine::new(0)
        .with("apt-get")
        .without(&["cargo"])
        .run(&["demo"]);
    assert!(!said.ok);
    assert!(said.err.contains("cargo is missing"), "{}", said.err);
    assert!(said.err.contains("rustup.rs"), "{}", said.err);
    assert!(said.commands.is_empty());
}

#[test]
fn an_unknown_group_is_a_usage_error() {
    let said = Machine::new(0).run(&["everything"]);
    assert!(!said.ok);
    assert!(said.err.starts_with("usage: "), "{}", said.err);
}
