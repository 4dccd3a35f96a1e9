//! What real runs print with `--json` is as the published schemas say, and the schemas would see it if it were not.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::collections::BTreeSet;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use lab::{Lab, Side, faults, need};
use serde_json::{Value, json};

fn schema(name: &str) -> Value {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("schema");
    let file = dir.join(format!("ubos-sync.{name}.schema.json"));
    serde_json::from_slice(&std::fs::read(&file).expect(name)).unwrap()
}

#[test]
fn the_documents_of_real_runs_are_as_published() {
    if !need(&["unison", "rsync", "git"]) {
        return;
    }
    let schema = schema("record");
    let lab = Lab::builder().without_sshd().build();
    let target = lab.root().join("target");
    lab.local_policy(&format!(
        "[[peer.log]]\nremote = \"logs/m.jsonl\"\nlocal = \"logs/m.jsonl\"\n\
         [publish]\nremote = \"\"\nscan = \"off\"\n[[publish.target]]\nname = \"vm01\"\npath = {target:?}\n"
    ));
    std::fs::create_dir(&target).unwrap();
    for name in ["docs/a.md", "docs/b.md", "docs/\u{1b}odd\n.md"] {
        lab.write(Side::Laptop, name, "one");
    }
    lab.write(Side::Laptop, b"docs/\xff.md".as_slice(), "not UTF-8");
    lab.write(Side::Server, "logs/m.jsonl", "{}\n");
    let git = |args: &[&str]| {
        let mut git = lab.tool(Side::Laptop, "git");
        git.current_dir(lab.tree(Side::Laptop))
            .args(["-c", "user.name=t", "-c", "user.email=t@t"]);
        assert!(
            git.args(args).output().unwrap().status.success(),
            "{args:?}"
        );
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "docs/a.md"]);
    git(&["commit", "-qm", "one"]);
    let mut seen = Vec::new();
    let mut said = |args: &[&str]| {
        let document = lab.run(&[args, &["--json"]].concat()).json();
        let faults = faults(&schema, &document);
        assert!(faults.is_empty(), "{args:?}: {faults:#?}\n{document:#}");
        seen.push(document["outcome"].as_str().unwrap().to_owned());
        for lane in document["lanes"].as_array().unwrap() {
            seen.push(lane["lane"].as_str().unwrap().to_owned());
        }
    };
    said(&["full"]);
    said(&["full", "--apply"]);
    said(&["publish"]);
    said(&["publish", "--apply"]);
    said(&["verify"]);
    // A conflict that is left, a delete, and a guard that refuses.
    lab.write(Side::Laptop, "docs/a.md", "here");
    lab.write(Side::Server, "docs/a.md", "there, longer");
    lab.remove(Side::Laptop, "docs/b.md");
    said(&["truth", "--apply"]);
    said(&["rollback", "last"]);
    said(&["rollback", "last", "--apply"]);
    lab.remove(Side::Server, ".ubos-root");
    said(&["truth"]);
    said(&["runs", "show", "last"]);
    for word in ["truth", "log", "publish", "pending", "applied", "refused"] {
        assert!(seen.iter().any(|s| s == word), "no {word} in {seen:?}");
    }
}

/// Every place in a document, as JSON pointers.
fn places(value: &Value, at: &str, all: &mut Vec<String>) {
    let below: Vec<(String, &Value)> = match value {
        Value::Object(o) => o.iter().map(|(k, v)| (k.clone(), v)).collect(),
        Value::Array(a) => a
            .iter()
            .enumerate()
            .map(|(i, v)| (i.to_string(), v))
            .collect(),
        _ => return,
    };
    for (key, value) in below {
        let at = format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
        places(value, &at, all);
        all.push(at);
    }
}

/// That the document is as its schema says, and that whatever were of another kind or not there would be seen.
#[track_caller]
fn is_as_published(name: &str, document: &Value) {
    let schema = schema(name);
    let found = faults(&schema, document);
    assert!(found.is_empty(), "{name}: {found:#?}\n{document:#}");
    let mut all = Vec::new();
    places(document, "", &mut all);
    for at in all {
        let mut wrong = document.clone();
        *wrong.pointer_mut(&at).unwrap() = json!({ "of another": "kind" });
        assert!(
            !faults(&schema, &wrong).is_empty(),
            "{name}: any {at} will do"
        );
    }
    let required = schema["required"].as_array().unwrap();
    assert!(required.len() > 1, "{name}: {required:?}");
    for key in required {
        let mut wrong = document.clone();
        wrong.as_object_mut().unwrap().remove(key.as_str().unwrap());
        assert!(!faults(&schema, &wrong).is_empty(), "{name} without {key}");
    }
}

#[test]
fn every_other_document_is_as_published_and_a_wrong_one_would_be_seen() {
    if !need(&["unison", "rsync", "ssh"]) {
        return;
    }
    let lab = Lab::builder().injectable().without_sshd().build();
    let events = lab.root().join("events");
    let rest = format!(
        "[[peer.log]]\nremote = \"logs/m.jsonl\"\nlocal = \"logs/m.jsonl\"\n\
         [truth]\nconflicts = \"manual\"\n[snapshots]\nkeep = 1\n\
         [notify]\non = [\"success\"]\ncommand = [\"sh\", \"-c\", \"cat >>{}\"]\n",
        events.display()
    );
    lab.local_policy(&rest);
    // A service manager that is content with everything.
    let manager = lab.root().join("laptop-bin/systemctl");
    let _ = std::fs::remove_file(&manager);
    std::fs::write(&manager, "#!/bin/sh\necho ActiveState=active\n").unwrap();
    std::fs::set_permissions(&manager, std::fs::Permissions::from_mode(0o755)).unwrap();

    let mut seen: BTreeSet<String> = ["record", "event"].map(str::to_owned).into();
    let mut said = |name: &str, code: i32, args: &[&str]| {
        let out = lab.run(&[args, &["--json"]].concat());
        let document = out.expect(code).json();
        is_as_published(name, &document);
        if let Some(told) = document.get("exit_code") {
            assert_eq!(told, code, "{args:?}");
        }
        seen.insert(name.to_owned());
        document
    };
    // Before there is anything.
    said("status", 0, &["status", "--offline"]);
    said("runs-list", 0, &["runs"]);
    said("error", 2, &["runs", "show", "last"]);
    said("error", 3, &["service", "enable", "--kind", "systemd"]);
    said(
        "service-status",
        0,
        &["service", "status", "--kind", "systemd"],
    );
    said(
        "init",
        0,
        &["init", lab.root().join("new").to_str().unwrap()],
    );

    for name in ["docs/a.md", "docs/b.md", "docs/c.md"] {
        lab.write(Side::Laptop, name, "one");
    }
    lab.write(Side::Server, "logs/m.jsonl", "{}\n");
    said("status", 0, &["status"]);
    said("record", 0, &["full", "--apply"]);
    lab.write(Side::Laptop, "docs/b.md", "two");
    lab.write(Side::Laptop, "docs/a.md", "here");
    lab.write(Side::Server, "docs/a.md", "there, longer");
    said("record", 4, &["truth", "--apply"]);
    let told = said("status", 0, &["status"]);
    assert_eq!(told["peers"][0]["conflicts"], 1, "{told:#}");
    said("conflicts-list", 0, &["conflicts"]);
    said("conflicts-show", 0, &["conflicts", "show", "docs/a.md"]);
    said(
        "record",
        0,
        &["conflicts", "keep", "peer", "docs/a.md", "--apply"],
    );
    let told = said("conflicts-list", 0, &["conflicts"]);
    assert!(told["conflicts"][0]["loser"].is_object(), "{told:#}");
    said("runs-list", 0, &["runs"]);
    said("runs-verify", 0, &["runs", "verify"]);
    said("snapshots-list", 0, &["snapshots"]);
    said("snapshots-prune", 0, &["snapshots", "prune"]);
    said("explain", 0, &["explain", "docs/b.md"]);
    said("explain", 0, &["explain", "logs/m.jsonl"]);
    said("check", 0, &["check"]);
    said("profile", 0, &["profile"]);
    said("health", 0, &["health"]);
    said("doctor", 0, &["doctor", "--fix"]);
    said("librarian", 0, &["librarian"]);
    said("librarian", 0, &["librarian", "--apply"]);
    said(
        "report",
        0,
        &[
            "report",
            "--out",
            lab.root().join("r.html").to_str().unwrap(),
        ],
    );
    said("stop", 0, &["stop"]);
    said("hold", 0, &["hold", "balaur", "--why", "a reason"]);
    said("hold", 0, &["release", "balaur"]);
    let service = |rest: &[&'static str]| [&["service"], rest, &["--kind", "systemd"]].concat();
    said("service-print", 0, &service(&["print"]));
    said("service-commands", 0, &service(&["install", "--apply"]));
    let told = said("service-status", 0, &service(&["status"]));
    assert_eq!(told["active"], true, "{told:#}");
    if cfg!(target_os = "linux") {
        let told = said("status", 0, &["status", "--offline"]);
        assert_eq!(told["service"][0]["active"], true, "{told:#}");
    }
    said("service-uninstall", 0, &service(&["uninstall", "--apply"]));
    let told = std::fs::read(&events).unwrap();
    let told = serde_json::Deserializer::from_slice(&told).into_iter::<Value>();
    let told: Vec<Value> = told.map(Result::unwrap).collect();
    assert!(!told.is_empty());
    told.iter()
        .for_each(|event| is_as_published("event", event));

    // What goes wrong: nobody there, an unknown name, a policy with faults.
    let away = lab.policy_file(Side::Laptop);
    let text = std::fs::read_to_string(&away).unwrap();
    let there = "name = \"balaur\"\n";
    let nobody = text.replace(there, &format!("{there}host = \"127.0.0.1\"\nport = 1\n"));
    lab.write_policy(Side::Laptop, &nobody);
    said("record", 5, &["truth"]);
    said("status", 0, &["status"]);
    said("error", 1, &["conflicts", "show", "docs/a.md"]);
    said("hold", 1, &["hold", "balaur", "--why", "a reason"]);
    said("error", 2, &["truth", "balur"]);
    said("error", 2, &["runs", "show", "nosuch"]);
    lab.write_policy(Side::Laptop, &text.replace("[truth]", "[trut]"));
    let told = said("error", 2, &["check", "--format", "json"]);
    assert_eq!(told["faults"][0]["key"], "trut", "{told:#}");

    let published = std::fs::read_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/schema")).unwrap();
    let names = published.filter_map(|e| {
        let name = e.unwrap().file_name().into_string().unwrap();
        let name = name
            .strip_prefix("ubos-sync.")?
            .strip_suffix(".schema.json")?;
        Some(name.to_owned())
    });
    assert_eq!(names.collect::<BTreeSet<_>>(), seen);
}
