//! `init`, `check`, `profile`, `explain` and the global flags, through the binary.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use assert_cmd::Command;
use serde_json::Value;

const POLICY: &str = r#"schema = 1
[site]
name = "mac"
root = "tree"
state_dir = "state"
[truth]
include = ["docs"]
[[peer]]
name = "balaur"
host = "balaur.example"
root = "/srv/repo"
  [[peer.log]]
  remote = "logs/m.jsonl"
  local = "docs/m.jsonl"
  [[peer.log]]
  remote = "logs/**/*.log"
  local = "pulled"
[publish]
"#;

struct Lab(tempfile::TempDir);

impl Lab {
    fn new() -> Self {
        let lab = Self(tempfile::tempdir().unwrap());
        std::fs::create_dir_all(lab.path().join("tree/docs")).unwrap();
        lab.write("ubos-sync.toml", POLICY);
        lab
    }

    fn path(&self) -> &Path {
        self.0.path()
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path().join(name), text).unwrap();
    }

    /// Exit code, standard output, standard error.
    fn run(&self, args: &[&str]) -> (i32, String, String) {
        let output = Command::cargo_bin("ubos-sync")
            .unwrap()
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("HOME", self.path().join("home"))
            .output()
            .unwrap();
        (
            output.status.code().unwrap(),
            String::from_utf8(output.stdout).unwrap(),
            String::from_utf8(output.stderr).unwrap(),
        )
    }

    fn json(&self, args: &[&str]) -> (i32, Value) {
        let (code, out, _) = self.run(args);
        (
            code,
            serde_json::from_str(&out).unwrap_or_else(|e| panic!("{e}: {out}")),
        )
    }
}

#[test]
fn a_sound_policy_is_found_above_the_current_directory_and_shown_with_origins() {
    let lab = Lab::new();
    let (code, out, _) = lab.run(&["check", "--show"]);
    assert_eq!(code, 0);
    assert!(out.contains("[guards]\nmax_delete = \"20%\""), "{out}");
    assert!(
        out.lines()
            .any(|l| l.starts_with("include = [\"docs\"]") && l.ends_with("# line 7")),
        "{out}"
    );
    assert!(
        out.lines()
            .any(|l| l.starts_with("interval = \"5m\"") && l.ends_with("# default")),
        "{out}"
    );
    assert!(out.contains("[[peer.log]]\n"), "{out}");
    let (code, document) = lab.json(&["check", "--format", "json"]);
    assert_eq!((code, &document["exit_code"]), (0, &Value::from(0)));
    assert_eq!(document["faults"].as_array().unwrap().len(), 0);
}

#[test]
fn every_fault_is_reported_with_its_place_and_exit_code_2() {
    let lab = Lab::new();
    lab.write(
        "ubos-sync.toml",
        &POLICY
            .replace("include", "inclde")
            .replace("host =", "hots ="),
    );
    let (code, out, err) = lab.run(&["check"]);
    assert_eq!((code, out.as_str()), (2, ""));
    assert!(
        err.contains(
            "ubos-sync.toml:7:1: truth.inclde: unknown key in [truth] (`inclde`); try `include`"
        ),
        "{err}"
    );
    assert!(err.contains(":10:1: peer[0].hots"), "{err}");
    for args in [
        &["check", "--json"][..],
        &["check", "--format", "json"],
        &["profile", "--json"],
    ] {
        let (code, document) = lab.json(args);
        assert_eq!(code, 2);
        assert_eq!(document["faults"][0]["line"], 7);
        assert_eq!(document["faults"][0]["suggestion"], "`include`");
    }
}

#[test]
fn control_sequences_in_a_policy_do_not_reach_the_terminal() {
    let lab = Lab::new();
    lab.write(
        "ubos-sync.toml",
        "[site]\nroot = \"/x\"\n\"a\\u001b[31mb\" = 1\n",
    );
    let (code, _, err) = lab.run(&["check"]);
    assert_eq!(code, 2);
    assert!(!err.contains('\x1b'), "{err:?}");
}

#[test]
fn se_04_a_policy_that_others_may_write_to_is_refused() {
    let lab = Lab::new();
    let file = lab.path().join("ubos-sync.toml");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o666)).unwrap();
    let (code, _, err) = lab.run(&["check"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("may be written to by others") && err.contains("chmod go-w"),
        "{err}"
    );
}

#[test]
fn without_a_policy_the_places_are_named() {
    let lab = Lab::new();
    std::fs::remove_file(lab.path().join("ubos-sync.toml")).unwrap();
    let (code, _, err) = lab.run(&["check"]);
    assert_eq!(code, 2);
    assert!(
        err.contains("ubos-sync.toml") && err.contains(".config/ubos-sync/policy.toml"),
        "{err}"
    );
}

#[test]
fn init_writes_a_sound_starter_and_the_marker_and_overwrites_nothing() {
    let lab = Lab::new();
    let (code, _, err) = lab.run(&["init", "new"]);
    assert_eq!(code, 0, "{err}");
    let file = lab.path().join("new/ubos-sync.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    assert!(text.starts_with("#:schema "));
    assert!(lab.path().join("new/.ubos-root").is_file());
    assert_eq!(lab.run(&["--policy", "new/ubos-sync.toml", "check"]).0, 0);
    std::fs::write(&file, "mine").unwrap();
    assert_eq!(lab.run(&["init", "new"]).0, 2);
    assert_eq!(std::fs::read_to_string(&file).unwrap(), "mine");
    assert_eq!(lab.run(&["init", "--markers"]).0, 0);
    assert!(lab.path().join("tree/.ubos-root").is_file());
}

#[test]
fn profiles_are_printed_written_and_compared() {
    let lab = Lab::new();
    let (code, out, _) = lab.run(&["profile"]);
    assert_eq!(code, 0);
    assert!(
        out.contains("\nprefer = newer\n") && out.contains("_state\\.json"),
        "{out}"
    );
    assert_eq!(lab.run(&["profile", "--check", "out"]).0, 1);
    assert_eq!(lab.run(&["profile", "balaur", "--out", "out"]).0, 0);
    assert_eq!(
        std::fs::read_to_string(lab.path().join("out/balaur.prf")).unwrap(),
        out
    );
    assert_eq!(lab.run(&["profile", "--check", "out"]).0, 0);
    lab.write("out/balaur.prf", "stale");
    let (code, document) = lab.json(&["profile", "--check", "out", "--json"]);
    assert_eq!(
        (code, &document["profiles"][0]["state"]),
        (1, &Value::from("stale"))
    );
    let (code, _, err) = lab.run(&["profile", "balaurr"]);
    assert_eq!(code, 2);
    assert!(err.contains("did you mean balaur?"), "{err}");
}

#[test]
fn explain_names_the_rule_and_the_lane() {
    let lab = Lab::new();
    let table = [
        (
            "docs/a.md",
            "truth",
            Value::from("docs"),
            Value::from("truth"),
        ),
        (
            "docs/x_state.json",
            "state",
            Value::from("*_state.json"),
            Value::Null,
        ),
        (
            "docs/models/",
            "excluded",
            Value::from("models/"),
            Value::Null,
        ),
        ("other", "not-included", Value::Null, Value::Null),
        (
            "docs/m.jsonl",
            "never",
            Value::from("a pulled log"),
            Value::from("log"),
        ),
        (
            "pulled/a/b.log",
            "never",
            Value::from("a pulled log"),
            Value::from("log"),
        ),
        (
            "logs/b.log",
            "never",
            Value::from("a pulled log"),
            Value::from("log"),
        ),
    ];
    for (path, verdict, rule, lane) in table {
        let (code, document) = lab.json(&["explain", path, "--json"]);
        assert_eq!(code, 0);
        assert_eq!(document["verdict"], verdict, "{path}");
        assert_eq!(
            (&document["rule"], &document["lane"]),
            (&rule, &lane),
            "{path}"
        );
    }
    let (_, out, _) = lab.run(&["explain", "docs/x_state.json"]);
    assert!(out.contains("never crosses, in any lane"), "{out}");
    assert_eq!(lab.run(&["explain", "/etc/passwd"]).0, 2);
}

#[test]
fn bad_usage_is_exit_code_2_and_help_is_0() {
    let lab = Lab::new();
    for args in [
        &["nonsense"][..],
        &["check", "--nonsense"],
        &[],
        &["check", "--allow", "state_leak"],
        &["check", "--allow", "max_delet"],
        &["check", "--wait", "soon"],
        &["check", "-q", "-v"],
        &["profile", "--out", "a", "--check", "b"],
    ] {
        assert_eq!(lab.run(args).0, 2, "{args:?}");
    }
    assert_eq!(lab.run(&["--help"]).0, 0);
    assert_eq!(
        lab.run(&[
            "check", "--allow", "held", "--wait", "5m", "--color", "never"
        ])
        .0,
        0
    );
}
