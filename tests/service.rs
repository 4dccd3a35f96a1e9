//! The units: shown, written, recognised, taken away; checked by systemd's own tools where they are.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Command;

use lab::{Lab, Output, need};
use pair::{MAC, pair};
use serde_json::Value;

fn service(lab: &Lab, args: &[&str]) -> Output {
    let mut all = vec!["service"];
    all.extend(args);
    lab.run(&all)
}

fn printed(lab: &Lab, args: &[&str]) -> Vec<(PathBuf, String)> {
    let mut all = vec!["print", "--json"];
    all.extend(args);
    let json = service(lab, &all).expect(0).json();
    let files = json["files"].as_array().unwrap();
    files
        .iter()
        .map(|f| {
            (
                f["path"].as_str().unwrap().into(),
                f["content"].as_str().unwrap().to_owned(),
            )
        })
        .collect()
}

fn units(lab: &Lab) -> PathBuf {
    lab.home(MAC).join(".config/systemd/user")
}

#[test]
fn every_unit_is_clean_for_systemd_and_the_system_unit_is_closed() {
    let Some(lab) = pair() else { return };
    if !cfg!(target_os = "linux") || !need(&["systemd-analyze"]) {
        return;
    }
    let variants: [(&str, &[&str]); 4] = [
        ("timer", &[]),
        ("watch", &["--mode", "watch"]),
        ("system", &["--system", "--run-as", "root", "--apply"]),
        (
            "system-watch",
            &["--system", "--run-as", "root", "--mode", "watch"],
        ),
    ];
    lab.policy("identity = \"/etc/k e%y\"\n[notify]\nwebhook_url_env = \"HOOK\"\n");
    for (name, args) in variants {
        let dir = lab.root().join(name);
        fs::create_dir(&dir).unwrap();
        let files = printed(&lab, args);
        let mut paths = Vec::new();
        for (path, content) in &files {
            let to = dir.join(path.file_name().unwrap());
            fs::write(&to, content).unwrap();
            // Of a template an instance is looked at, as OnFailure= starts it.
            let instance = to.to_string_lossy().replace('@', "@ubos-sync.service");
            fs::write(&instance, content).unwrap();
            paths.push(PathBuf::from(instance));
        }
        let mut verify = Command::new("systemd-analyze");
        verify.args(["--man=no", "--recursive-errors=no", "verify"]);
        if !name.starts_with("system") {
            verify.arg("--user").env("XDG_RUNTIME_DIR", lab.root());
        }
        let out = verify.args(&paths).output().unwrap();
        assert!(
            out.status.success() && out.stderr.is_empty(),
            "{name}: {}",
            String::from_utf8_lossy(&out.stderr)
        );
        if name.starts_with("system") {
            let unit = paths
                .iter()
                .find(|p| p.extension().unwrap() == "service")
                .unwrap();
            let mut security = Command::new("systemd-analyze");
            security
                .args(["security", "--offline=true", "--threshold=30"])
                .arg(unit);
            let out = security.output().unwrap();
            assert!(
                out.status.success(),
                "{}",
                String::from_utf8_lossy(&out.stdout)
            );
        }
        let calendar = files
            .iter()
            .find_map(|(_, c)| c.lines().find_map(|l| l.strip_prefix("OnCalendar=")));
        if let Some(calendar) = calendar {
            let out = Command::new("systemd-analyze")
                .args(["calendar", calendar])
                .output()
                .unwrap();
            assert!(out.status.success(), "{calendar}");
        }
    }
}

#[test]
fn the_agent_is_a_property_list_that_says_what_was_meant() {
    let Some(lab) = pair() else { return };
    for mode in ["timer", "watch"] {
        let files = printed(&lab, &["--kind", "launchd", "--mode", mode, "--apply"]);
        assert!(
            files[0].0.ends_with("Library/LaunchAgents/ubos-sync.plist"),
            "{files:?}"
        );
        let list = plist::Value::from_reader_xml(files[0].1.as_bytes()).unwrap();
        let list = list.as_dictionary().unwrap();
        let words: Vec<&str> = list["ProgramArguments"]
            .as_array()
            .unwrap()
            .iter()
            .map(|v| v.as_string().unwrap())
            .collect();
        let policy = lab.policy_file(MAC);
        assert!(
            words.contains(&policy.to_str().unwrap()) && words.contains(&"--apply"),
            "{words:?}"
        );
        match mode {
            "timer" => {
                assert_eq!(list["StartCalendarInterval"].as_array().unwrap().len(), 12);
                assert!(words.contains(&"--jitter"));
            }
            _ => assert!(words.contains(&"watch") && list.contains_key("KeepAlive")),
        }
    }
}

#[test]
fn install_is_dry_writes_once_and_uninstall_leaves_nothing() {
    let Some(lab) = pair() else { return };
    let dry = service(&lab, &["install"]).expect(0);
    assert!(
        dry.stdout.contains("OnCalendar=*:4/5:30") && dry.stdout.contains("--apply"),
        "{dry}"
    );
    assert!(!units(&lab).exists());
    // No service manager runs here: the files are written, and what is left to type is said.
    let out = service(&lab, &["install", "--apply"]);
    assert!(matches!(out.code, 0 | 1), "{out}");
    if out.code == 1 {
        assert!(
            out.stderr
                .contains("systemctl --user enable ubos-sync.timer"),
            "{out}"
        );
    }
    let timer = units(&lab).join("ubos-sync.timer");
    let first = fs::read_to_string(&timer).unwrap();
    let mode = fs::metadata(&timer).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode, 0o644, "the user of a unit may look at it");
    service(&lab, &["install", "--apply"]);
    assert_eq!(fs::read_to_string(&timer).unwrap(), first);
    let status = service(&lab, &["status", "--json"]).expect(0).json();
    assert_eq!(
        (&status["installed"], &status["applies"]),
        (&Value::Bool(true), &Value::Bool(true))
    );
    assert_eq!(status["drift"], Value::Array(vec![]), "{status:#}");
    service(&lab, &["interval", "10m", "--apply"]);
    assert!(
        fs::read_to_string(&timer)
            .unwrap()
            .contains("OnCalendar=*:9/10:30")
    );
    let text = fs::read_to_string(&timer).unwrap();
    fs::write(&timer, text.replace("AccuracySec=1s", "AccuracySec=9s")).unwrap();
    let status = service(&lab, &["status", "--json"]).expect(0).json();
    assert_eq!(status["drift"][0], timer.to_str().unwrap(), "{status:#}");
    service(&lab, &["uninstall"]).expect(0);
    assert!(timer.exists(), "dry by default");
    service(&lab, &["uninstall", "--apply"]).expect(0);
    assert_eq!(fs::read_dir(units(&lab)).unwrap().count(), 0);
    service(&lab, &["trigger"]).expect(3);
}

#[test]
fn a_unit_of_somebody_else_stays() {
    let Some(lab) = pair() else { return };
    fs::create_dir_all(units(&lab)).unwrap();
    let timer = units(&lab).join("ubos-sync.timer");
    fs::write(&timer, "[Timer]\nOnCalendar=daily\n").unwrap();
    let out = service(&lab, &["install", "--apply"]).expect(3);
    assert!(out.stderr.contains("not written by this program"), "{out}");
    service(&lab, &["uninstall", "--apply"]).expect(0);
    assert_eq!(
        fs::read_to_string(&timer).unwrap(),
        "[Timer]\nOnCalendar=daily\n"
    );
    service(&lab, &["install", "--system"]).expect(2);
    service(&lab, &["install", "--system", "--run-as", "a b"]).expect(2);
}

/// What `status` tells of the units, and what `service status` tells.
#[track_caller]
fn agreed(lab: &Lab) -> Value {
    let own = service(lab, &["status", "--json"]).expect(0).json();
    let all = lab.run(&["status", "--offline", "--json"]).expect(0).json();
    assert_eq!(all["service"], own["all"], "{own:#}\n{all:#}");
    let first = all["service"].get(0).cloned();
    for (key, value) in first.iter().flat_map(|f| f.as_object().unwrap()) {
        assert_eq!(&own[key], value, "{key}: {own:#}");
    }
    assert_eq!(own["installed"], first.is_some(), "{own:#}");
    let line = |out: Output| {
        let mut lines = out.stdout.lines();
        lines
            .find(|l| l.starts_with("Service: "))
            .map(str::to_owned)
    };
    let shown = line(service(lab, &["status"]).expect(0));
    assert_eq!(shown.is_some(), first.is_some());
    assert_eq!(line(lab.run(&["status", "--offline"]).expect(0)), shown);
    own
}

#[test]
fn both_status_commands_tell_the_same_and_drift_is_seen() {
    let Some(lab) = pair() else { return };
    agreed(&lab);
    service(&lab, &["install", "--apply", "--report-only"]);
    let told = agreed(&lab);
    let shown = [&told["scope"], &told["mode"], &told["unit"]];
    assert_eq!(shown, ["user", "timer", "ubos-sync.timer"]);
    assert_eq!(
        (&told["applies"], &told["interval_seconds"]),
        (&Value::Bool(false), &300.into())
    );
    assert_eq!(told["drift"], Value::Array(vec![]), "{told:#}");
    // An interval of the command line is kept; one that the policy has changed is not.
    service(&lab, &["interval", "10m", "--apply"]);
    let told = agreed(&lab);
    assert_eq!(
        (&told["drift"], &told["interval_seconds"]),
        (&Value::Array(vec![]), &600.into())
    );
    service(&lab, &["install", "--apply", "--report-only"]);
    lab.policy("[schedule]\ninterval = \"20m\"\n");
    let told = agreed(&lab);
    assert!(!told["drift"].as_array().unwrap().is_empty(), "{told:#}");
    assert_eq!(
        told["install"],
        "ubos-sync service install --apply --report-only"
    );
    service(&lab, &["install", "--apply", "--report-only"]);
    assert_eq!(agreed(&lab)["drift"], Value::Array(vec![]));
    service(&lab, &["uninstall", "--apply"]).expect(0);
    agreed(&lab);
}

#[test]
fn units_hand_over_keys_and_addresses_and_runs_use_them() {
    let Some(lab) = pair() else { return };
    let key = lab.root().join("no such %key");
    lab.policy(&format!(
        "identity = {key:?}\n[notify]\nwebhook_url_env = \"HOOK\"\nping_url_env = \"PING\"\n"
    ));
    let files = printed(&lab, &[]);
    let of = |name: &str| &files.iter().find(|(p, _)| p.ends_with(name)).unwrap().1;
    let escaped = key.display().to_string().replace('%', "%%");
    for line in [
        "LoadCredential=HOOK:%E/ubos-sync/credentials/HOOK".to_owned(),
        "LoadCredential=PING:%E/ubos-sync/credentials/PING".to_owned(),
        format!("LoadCredential=key.balaur:{escaped}"),
    ] {
        assert!(of("ubos-sync.service").lines().any(|l| l == line), "{line}");
        let tells = of("ubos-sync-failure@.service").lines().any(|l| l == line);
        assert_eq!(tells, !line.contains("key."), "{line}");
    }
    // As the manager would: the key that the policy names is not there, the one that was handed over is. Only that key is let in.
    let config = fs::read_to_string(lab.ssh_config()).unwrap();
    let plain: String = config
        .lines()
        .filter(|l| !l.contains("IdentityFile"))
        .map(|l| format!("{l}\n"))
        .collect();
    fs::write(lab.ssh_config(), plain).unwrap();
    let dir = lab.root().join("credentials");
    fs::create_dir(&dir).unwrap();
    let run = || {
        let mut command = lab.command(MAC);
        command
            .args(["truth", "--json"])
            .env("CREDENTIALS_DIRECTORY", &dir);
        lab.start(command).wait()
    };
    fs::write(dir.join("key.balaur"), "-").unwrap();
    run().expect(1);
    fs::copy(lab.root().join("ssh/client"), dir.join("key.balaur")).unwrap();
    run().expect(0);
}

/// Every name that could mean something to a unit, a property list or a shell.
const SPECIAL: &str = "1 00% \"q\" 'q' $x & <ä> \\z;#";

#[test]
fn a_property_list_keeps_every_special_character() {
    let Some(lab) = pair() else { return };
    let dir = lab.home(MAC).join(SPECIAL);
    fs::create_dir(&dir).unwrap();
    let policy = dir.join("ubos-sync.toml");
    fs::copy(lab.policy_file(MAC), &policy).unwrap();
    let mut command = lab.command(MAC);
    command.args(["service", "print", "--json", "--kind", "launchd"]);
    command.env("UBOS_SYNC_POLICY", &policy);
    let json = lab.start(command).wait().expect(0).json();
    let content = json["files"][0]["content"].as_str().unwrap();
    let list = plist::Value::from_reader_xml(content.as_bytes()).unwrap();
    let words = list.as_dictionary().unwrap()["ProgramArguments"]
        .as_array()
        .unwrap();
    let words: Vec<&str> = words.iter().map(|w| w.as_string().unwrap()).collect();
    assert!(words.contains(&policy.to_str().unwrap()), "{words:?}");
    let log = list.as_dictionary().unwrap()["StandardOutPath"]
        .as_string()
        .unwrap();
    assert_eq!(log, dir.join("logs/launchd.log").to_str().unwrap());
    if need(&["python3"]) {
        let file = lab.root().join("agent.plist");
        fs::write(&file, content).unwrap();
        let read = "import json, plistlib, sys; print(json.dumps(plistlib.load(open(sys.argv[1], 'rb'))['ProgramArguments']))";
        let out = Command::new("python3")
            .args(["-c", read])
            .arg(&file)
            .output()
            .unwrap();
        let read: Vec<String> = serde_json::from_slice(&out.stdout).unwrap();
        assert_eq!(read, words);
    }
}

/// A launchctl that lets an agent go slowly, and refuses the next one while it does.
const LAUNCHCTL: &str = r#"#!/bin/sh
cd "$HOME" && echo "$*" >>calls
case $1 in
bootout)
  [ -e loaded ] || { echo 'Boot-out failed: 3: No such process' >&2; exit 3; }
  rm loaded && echo 3 >going ;;
bootstrap)
  n=$(cat going 2>/dev/null || echo 0)
  if [ "$n" -gt 0 ] || [ -e broken ]; then
    echo $((n - 1)) >going
    echo 'Bootstrap failed: 5: Input/output error' >&2
    exit 5
  fi
  : >loaded ;;
print) [ -e loaded ] || exit 113; printf 'gui/1/ubos-sync = {\n\tstate = running\n\tlast exit code = 3\n}\n' ;;
esac
"#;

#[test]
fn an_agent_that_is_let_go_slowly_is_loaded_again() {
    let Some(lab) = pair() else { return };
    let bin = lab.root().join("fake");
    fs::create_dir(&bin).unwrap();
    let fake = bin.join("launchctl");
    fs::write(&fake, LAUNCHCTL).unwrap();
    fs::set_permissions(&fake, fs::Permissions::from_mode(0o755)).unwrap();
    let run = |args: &[&str]| {
        let mut command = lab.command(MAC);
        command
            .arg("service")
            .args(args)
            .args(["--kind", "launchd"]);
        command.env("PATH", format!("{}:/usr/bin:/bin", bin.display()));
        lab.start(command).wait()
    };
    let loaded = lab.home(MAC).join("loaded");
    run(&["install", "--apply"]).expect(0);
    assert!(loaded.exists());
    run(&["install", "--apply", "--mode", "watch"]).expect(0);
    assert!(loaded.exists(), "the race was lost");
    let told = run(&["status", "--json"]).expect(0).json();
    let shown = [&told["active"], &told["enabled"], &told["last_result"]];
    assert_eq!(
        shown,
        [
            &Value::Bool(true),
            &Value::Bool(true),
            &"exit code 3".into()
        ],
        "{told:#}"
    );
    run(&["disable"]).expect(0);
    assert!(!loaded.exists());
    run(&["enable"]).expect(0);
    assert!(loaded.exists());
    fs::create_dir_all(lab.home(MAC).join("logs")).unwrap();
    fs::write(lab.home(MAC).join("logs/launchd.log"), "one\ntwo\nthree\n").unwrap();
    assert_eq!(run(&["logs", "-n", "2"]).expect(0).stdout, "two\nthree\n");
    run(&["uninstall", "--apply"]).expect(0);
    assert!(!loaded.exists());
    // What stays refused is a failure, and says what is left to type.
    fs::write(lab.home(MAC).join("broken"), "").unwrap();
    let out = run(&["install", "--apply"]).expect(1);
    assert!(out.stderr.contains("launchctl bootstrap"), "{out}");
}

#[test]
fn a_daemon_of_the_system_runs_as_the_user_that_was_named() {
    let Some(lab) = pair() else { return };
    let files = printed(&lab, &["--kind", "launchd", "--system", "--run-as", "th"]);
    assert!(files[0].0.starts_with("/Library/LaunchDaemons"));
    let list = plist::Value::from_reader_xml(files[0].1.as_bytes()).unwrap();
    assert_eq!(
        list.as_dictionary().unwrap()["UserName"].as_string(),
        Some("th")
    );
}
