//! A source with a git checkout and a fleet of targets behind the lab's real sshd.
#![allow(dead_code, reason = "every test binary uses its own part")]
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::lab::{Lab, Output, Side};

pub struct Fleet {
    pub lab: Lab,
    pub names: Vec<String>,
    pub port: u16,
}

/// Names of target directories that would break whoever pastes them into a shell.
const ODD: [&str; 8] = [
    "plain",
    "with space",
    "it's",
    "`touch PWNED`",
    "q\"uote",
    "naïve 日本",
    "semi;colon",
    "star*",
];

impl Fleet {
    /// Eight targets over ssh, each with a key and a home of its own. `extra` goes into `[publish]`.
    pub fn new(extra: &str) -> Fleet {
        Fleet::of(Lab::new(), extra, "")
    }

    /// The same where programs of the hosts can be put aside or held up.
    pub fn injectable(extra: &str) -> Fleet {
        Fleet::of(Lab::builder().injectable().build(), extra, "")
    }

    pub fn of(mut lab: Lab, extra: &str, more: &str) -> Fleet {
        let port = lab.sshd().port;
        let mut text = format!(
            "schema = 1\n[site]\nname = \"mac\"\nroot = {:?}\n[guards]\nmin_free_space = \"1MiB\"\n{more}\n[publish]\nremote = \"\"\n{extra}\n",
            lab.tree(Side::Laptop)
        );
        if !extra.contains("scan ") {
            text += "scan = \"off\"\n";
        }
        // The lab's own key opens nothing here: a target that is reached was reached with its own.
        let authorized = lab.sshd().dir.join("authorized_keys");
        let mut keys = String::new();
        let mut names = Vec::new();
        for (i, dir) in ODD.iter().enumerate() {
            let name = format!("vm{i}");
            // Every other one by its home, the others absolute.
            let path = match i % 2 {
                0 => format!("~/fleet/{dir}"),
                _ => format!("{}/fleet/{dir}", home(&lab, i).display()),
            };
            let key = lab.root().join(format!("key-{name}"));
            keys += &key_for(&key, &home(&lab, i));
            writeln!(
                text,
                "[[publish.target]]\nname = \"{name}\"\nhost = \"balaur\"\nport = {port}\nidentity = {key:?}\nssh_config = {:?}\npath = {path:?}",
                lab.ssh_config()
            )
            .unwrap();
            names.push(name);
        }
        fs::write(&authorized, keys).unwrap();
        lab.write_policy(Side::Laptop, &text);
        let fleet = Fleet { lab, names, port };
        fleet.git(&["init", "-q", "-b", "main", "."]);
        fleet.write("README.md", "first");
        fleet.write("bin/run", "#!/bin/sh\n");
        fleet.lab.chmod(Side::Laptop, "bin/run", 0o755);
        fleet.write("docs/a b.md", "a");
        fleet.write("docs/deep/er/x.md", "x");
        fleet.lab.symlink(Side::Laptop, "link", "docs/a b.md");
        fleet
    }

    pub fn git(&self, args: &[&str]) -> String {
        self.lab.git(args)
    }

    pub fn write(&self, path: &str, text: &str) {
        self.lab.write(Side::Laptop, path, text);
    }

    /// Commits everything; returns the hash.
    pub fn commit(&self) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", "m"]);
        self.git(&["rev-parse", "HEAD"])
    }

    /// Where a session of this target is at home.
    pub fn home(&self, i: usize) -> PathBuf {
        home(&self.lab, i)
    }

    pub fn target(&self, i: usize) -> PathBuf {
        self.home(i).join("fleet").join(ODD[i])
    }

    pub fn read(&self, i: usize, path: &str) -> Option<String> {
        fs::read_to_string(self.target(i).join(path)).ok()
    }

    pub fn rev(&self, i: usize) -> Option<String> {
        self.read(i, ".sync_rev")
            .map(|r| r.trim_end_matches('\n').to_owned())
    }

    pub fn publish(&self, args: &[&str]) -> Output {
        let mut all = vec!["publish", "--apply"];
        all.extend(args);
        self.lab.run(&all)
    }

    /// The outcome of a target in a document.
    pub fn outcome(doc: &serde_json::Value, target: &str) -> String {
        doc["lanes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|l| l["target"] == target)
            .unwrap_or_else(|| panic!("no lane for {target}: {doc:#}"))["outcome"]
            .as_str()
            .unwrap()
            .to_owned()
    }
}

fn home(lab: &Lab, i: usize) -> PathBuf {
    lab.root().join(format!("home-vm{i}"))
}

/// Makes a key and a home; the line with which the server lets the one into the other.
fn key_for(key: &Path, home: &Path) -> String {
    fs::create_dir(home).unwrap();
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "", "-C", "target", "-f"])
        .arg(key)
        .status();
    assert!(made.unwrap().success());
    let public = fs::read_to_string(key.with_extension("pub")).unwrap();
    let home = home.display();
    format!("command=\"HOME={home} && cd && eval \\\"$SSH_ORIGINAL_COMMAND\\\"\" {public}")
}
