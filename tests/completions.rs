//! Completions in the real shells: commands and options, and the peers, targets and runs of the policy.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::path::Path;
use std::process::Command;

use lab::{Pty, need};

const POLICY: &str = r#"
schema = 1
[site]
name = "mac"
root = "tree"
state_dir = "state"
[[peer]]
name = "balaur"
root = "b"
  [[peer.log]]
  remote = "logs/m.jsonl"
  local = "logs/m.jsonl"
[[peer]]
name = "standby"
root = "s"
[publish]
remote = ""
  [[publish.target]]
  name = "vm01"
  path = "v"
"#;

/// What the shell offers for a line whose last word is being typed.
fn offered(dir: &Path, shell: &str, words: &[&str]) -> Option<Vec<String>> {
    let script = match shell {
        "bash" => format!(
            "source <(ubos-sync completions bash); COMP_WORDS=({}); COMP_CWORD={}; COMP_TYPE=9; \
             _clap_complete_ubos_sync ubos-sync '{}'; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words
                .iter()
                .map(|w| format!("'{w}'"))
                .collect::<Vec<_>>()
                .join(" "),
            words.len() - 1,
            words.last().unwrap()
        ),
        _ => format!(
            "ubos-sync completions fish | source; complete -C '{}'",
            words.join(" ")
        ),
    };
    let out = Command::new(shell)
        .args(["-c", &script])
        .current_dir(dir)
        .env("PATH", path())
        .env("HOME", dir)
        .env("UBOS_SYNC_POLICY", dir.join("ubos-sync.toml"))
        .output()
        .ok()?;
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    let text = String::from_utf8_lossy(&out.stdout).into_owned();
    let word = |l: &str| l.split('\t').next().unwrap_or("").trim().to_owned();
    Some(text.lines().map(word).filter(|l| !l.is_empty()).collect())
}

/// A private policy, and something in the replica.
fn site(dir: &Path) {
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(dir, std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = dir.join("ubos-sync.toml");
    std::fs::write(&file, POLICY).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    std::fs::create_dir_all(dir.join("tree/docs/deep")).unwrap();
    std::fs::write(dir.join("tree/docs/report.md"), "").unwrap();
}

/// The search path, with the program on it.
fn path() -> String {
    let bin = Path::new(env!("CARGO_BIN_EXE_ubos-sync")).parent().unwrap();
    format!("{}:{}", bin.display(), std::env::var("PATH").unwrap())
}

#[test]
fn shells_complete_commands_and_the_names_of_the_policy() {
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let file = dir.path().join("ubos-sync.toml");
    for shell in ["bash", "fish"] {
        let ask = |words: &[&str]| offered(dir.path(), shell, words);
        let Some(commands) = ask(&["ubos-sync", "roll"]) else {
            assert!(!need(&[shell]), "{shell} is there and cannot be asked");
            continue;
        };
        assert_eq!(commands, ["rollback"]);
        assert_eq!(ask(&["ubos-sync", "truth", "ba"]).unwrap(), ["balaur"]);
        assert_eq!(ask(&["ubos-sync", "publish", "v"]).unwrap(), ["vm01"]);
        let verify = ask(&["ubos-sync", "verify", ""]).unwrap();
        for name in ["balaur", "standby", "vm01", "logs/m.jsonl", "truth"] {
            assert!(verify.iter().any(|v| v == name), "{name}: {verify:?}");
        }
        assert_eq!(ask(&["ubos-sync", "rollback", "la"]).unwrap(), ["last"]);
        let docs = ask(&["ubos-sync", "explain", "docs/"]).unwrap();
        assert_eq!(docs, ["docs/deep/", "docs/report.md"]);
        let path = ask(&["ubos-sync", "truth", "--path", "docs/r"]).unwrap();
        assert_eq!(path, ["docs/report.md"]);
        let options = ask(&["ubos-sync", "truth", "--full"]).unwrap();
        assert_eq!(options, ["--full-scan"]);
    }
    // Without a policy nothing is offered and nothing is said.
    std::fs::remove_file(&file).unwrap();
    let none = offered(dir.path(), "bash", &["ubos-sync", "truth", "ba"]).unwrap();
    assert_eq!(none, Vec::<String>::new());
}

/// At the prompt of a real zsh, with the Tab key.
#[test]
fn zsh_completes_what_is_typed() {
    if !need(&["zsh"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    site(dir.path());
    let mut zsh = Command::new("zsh");
    zsh.args(["-f", "-i"]).current_dir(dir.path());
    // Where the shell stands has nothing to do with where paths start.
    zsh.env("PATH", path())
        .env("HOME", dir.path())
        .env("TERM", "xterm")
        .env("PS1", "at> ");
    zsh.env("UBOS_SYNC_POLICY", dir.path().join("ubos-sync.toml"));
    let mut pty = Pty::start(zsh);
    pty.sees("at> ");
    pty.press("autoload -Uz compinit && compinit -u -D && source <(ubos-sync completions zsh) && echo re''ady\r");
    pty.sees("ready");
    for (typed, whole) in [
        ("ubos-sync rollb", "ubos-sync rollback"),
        ("ubos-sync truth ba", "ubos-sync truth balaur"),
        ("ubos-sync publish v", "ubos-sync publish vm01"),
        ("ubos-sync rollback la", "ubos-sync rollback last"),
        ("ubos-sync explain docs/de", "ubos-sync explain docs/deep"),
        ("ubos-sync verify logs/", "ubos-sync verify logs/m.jsonl"),
        ("ubos-sync truth --full", "ubos-sync truth --full-scan"),
    ] {
        pty.press(typed);
        pty.press("\t");
        pty.sees(whole);
        // The line is thrown away, the next one starts on an empty screen.
        pty.press("\x15\x0c");
    }
    pty.press("exit\r");
}

#[test]
fn every_command_has_a_page_in_the_manual() {
    let dir = tempfile::tempdir().unwrap();
    let out = Command::new(env!("CARGO_BIN_EXE_ubos-sync"))
        .args(["man", "--out"])
        .arg(dir.path().join("man"))
        .output()
        .unwrap();
    assert!(out.status.success());
    for page in [
        "ubos-sync",
        "ubos-sync-truth",
        "ubos-sync-rollback",
        "ubos-sync-report",
    ] {
        let text = std::fs::read_to_string(dir.path().join(format!("man/{page}.1"))).unwrap();
        assert!(text.contains(".TH ") && text.contains("SYNOPSIS"), "{page}");
    }
}
