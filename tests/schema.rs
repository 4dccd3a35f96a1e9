//! What real runs print with `--json` is as the published schema says.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, faults, need};
use serde_json::Value;

#[test]
fn the_documents_of_real_runs_are_as_published() {
    if !need(&["unison", "rsync", "git"]) {
        return;
    }
    let file = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/schema/ubos-sync.record.schema.json"
    );
    let schema: Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
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
