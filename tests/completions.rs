//! Completions in the real shells: commands and options, and the peers, targets and runs of the policy.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::path::Path;
use std::process::Command;

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
    let program = env!("CARGO_BIN_EXE_ubos-sync");
    let bin = Path::new(program).parent().unwrap();
    let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap());
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
        .env("PATH", path)
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

#[test]
fn shells_complete_commands_and_the_names_of_the_policy() {
    use std::os::unix::fs::PermissionsExt as _;
    let dir = tempfile::tempdir().unwrap();
    std::fs::set_permissions(dir.path(), std::fs::Permissions::from_mode(0o700)).unwrap();
    let file = dir.path().join("ubos-sync.toml");
    std::fs::write(&file, POLICY).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    for shell in ["bash", "fish"] {
        let ask = |words: &[&str]| offered(dir.path(), shell, words);
        let Some(commands) = ask(&["ubos-sync", "roll"]) else {
            assert_ne!(shell, "bash", "there is no bash");
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
        let options = ask(&["ubos-sync", "truth", "--full"]).unwrap();
        assert_eq!(options, ["--full-scan"]);
    }
    // Without a policy nothing is offered and nothing is said.
    std::fs::remove_file(&file).unwrap();
    let none = offered(dir.path(), "bash", &["ubos-sync", "truth", "ba"]).unwrap();
    assert_eq!(none, Vec::<String>::new());
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
