//! What the README tells a new user to type, typed: its own blocks, in its own order, in two homes joined by a real sshd. Its
//! picture is what the program prints.
//!
//! What differs on this machine is put in: the server's address, root and user, and where ssh finds its host key.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use lab::{Lab, Output, Side, find_program, need};

const README: &str = include_str!("../README.md");

/// The fenced blocks of a language, without their indentation.
fn blocks(language: &str) -> Vec<String> {
    let mut all = Vec::new();
    let mut open: Option<(usize, bool, String)> = None;
    for line in README.lines() {
        let text = line.trim_start();
        match (&mut open, text.strip_prefix("```")) {
            (None, Some(word)) => {
                open = Some((line.len() - text.len(), word == language, String::new()));
            }
            (Some(_), Some(_)) => {
                all.extend(
                    open.take()
                        .filter(|(_, is, _)| *is)
                        .map(|(.., block)| block),
                );
            }
            (Some((indent, _, block)), None) => {
                block.push_str(line.get(*indent..).unwrap_or_default());
                block.push('\n');
            }
            (None, None) => {}
        }
    }
    all
}

/// The laptop of somebody who reads the README.
struct Reader {
    lab: Lab,
    path: String,
    blocks: Vec<String>,
}

impl Reader {
    fn new() -> Reader {
        let lab = Lab::new();
        // ssh looks for its files in the home of the account, not in $HOME: here it is told.
        let bin = lab.root().join("reader-bin");
        fs::create_dir(&bin).unwrap();
        let ssh = find_program("ssh").unwrap();
        let text = format!(
            "#!/bin/sh\nexec '{}' -F '{}' \"$@\"\n",
            ssh.display(),
            lab.ssh_config().display()
        );
        fs::write(bin.join("ssh"), text).unwrap();
        fs::set_permissions(bin.join("ssh"), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(env!("CARGO_BIN_EXE_ubos-sync"), bin.join("ubos-sync")).unwrap();
        let tools = lab.tool(Side::Laptop, "true");
        let known = tools.get_envs().find(|(name, _)| *name == "PATH");
        let known = known.and_then(|(_, path)| path).unwrap();
        let gitleaks = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/tools");
        let path = format!(
            "{}:{}:{}",
            bin.display(),
            known.to_str().unwrap(),
            gitleaks.display()
        );
        fs::remove_file(lab.tree(Side::Server).join(".ubos-root")).unwrap();
        let keys = lab.home(Side::Laptop).join(".ssh");
        fs::create_dir(&keys).unwrap();
        fs::copy(
            lab.root().join("ssh/client"),
            keys.join("id_ed25519_balaur"),
        )
        .unwrap();
        let reader = Reader {
            lab,
            path,
            blocks: blocks("sh"),
        };
        for (file, text) in [
            ("docs/plan.md", "plan"),
            ("docs/old.md", "old"),
            ("missions/first.md", "first"),
            ("config/agent.toml", "a = 1"),
            ("config/agent_state.json", "{}"),
            ("scripts/deploy.sh", "true"),
        ] {
            reader.write(file, text);
        }
        reader
    }

    fn tree(&self) -> PathBuf {
        self.lab.home(Side::Laptop).join("Desktop/UBOS")
    }

    fn write(&self, file: &str, text: &str) {
        let place = self.tree().join(file);
        fs::create_dir_all(place.parent().unwrap()).unwrap();
        fs::write(place, text).unwrap();
    }

    /// A text of the README with what differs here.
    fn here(&self, text: &str) -> String {
        let root = self.lab.tree(Side::Server);
        text.replace("balaur@balaur.example", "balaur")
            .replace("balaur.example", "balaur")
            .replace("/srv/janus/repo", root.to_str().unwrap())
    }

    fn policy(&self, text: &str) {
        let known = |line: &&str| !line.starts_with("user ");
        let text: Vec<&str> = text.lines().filter(known).collect();
        let file = self.tree().join("ubos-sync.toml");
        fs::write(&file, self.here(&text.join("\n"))).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
    }

    /// Types a text into a shell in the tree.
    fn types(&self, text: &str) -> Output {
        let mut shell = self.lab.tool(Side::Laptop, "/bin/sh");
        shell.env("PATH", &self.path).current_dir(self.tree());
        shell.args(["-e", "-c", &self.here(text)]);
        self.lab.start(shell).wait()
    }

    /// Takes the next block of the README, which must hold these words.
    fn block(&mut self, words: &str) -> String {
        let block = self.blocks.remove(0);
        assert!(
            block.contains(words),
            "the README's next block is not `{words}`:\n{block}"
        );
        block
    }

    /// Types the next block, line by line, and sees each succeed.
    fn follows(&mut self, words: &str) -> Vec<Output> {
        let block = self.block(words);
        let typed = |line: &str| {
            let out = self.types(line);
            assert_eq!(out.code, 0, "{line}\n{out}");
            out
        };
        block.lines().map(typed).collect()
    }
}

#[test]
fn a_new_user_gets_from_the_readme_to_a_synced_pair_and_through_all_of_its_commands() {
    let tools = [
        "ssh",
        "sshd",
        "ssh-keygen",
        "unison",
        "rsync",
        "git",
        "gitleaks",
    ];
    if !need(&tools) {
        return;
    }
    let mut reader = Reader::new();

    // The demo has a test of its own; that `make demo` runs it is all there is to see here.
    assert_eq!(reader.block("make demo").trim(), "make demo");
    assert!(include_str!("../Makefile").contains("target/debug/ubos-sync demo\n"));

    reader.follows("balaur.example true");
    reader.follows("ubos-sync init");
    let policy = blocks("toml");
    reader.policy(&policy[0]);
    reader.follows(".ubos-root");
    let outs = reader.follows("ubos-sync truth --apply");
    assert!(outs[1].stdout.contains("docs/plan.md"), "{}", outs[1]);
    let server = reader.lab.tree(Side::Server);
    assert_eq!(
        fs::read_to_string(server.join("docs/plan.md")).unwrap(),
        "plan"
    );
    assert!(!server.join("config/agent_state.json").exists());

    // Logs: the README shows the lines of the policy and what comes of them.
    fs::create_dir_all(server.join("logs")).unwrap();
    fs::write(server.join("logs/mission_log.jsonl"), "{\"n\":1}\n").unwrap();
    let with_logs = format!("{}\n{}", policy[0], policy[1]);
    reader.policy(&with_logs);
    let out = reader.types("ubos-sync logs --apply").expect(0);
    assert!(out.stdout.contains("logs/mission_log.jsonl"), "{out}");
    assert!(reader.tree().join("logs/mission_log.jsonl").is_file());

    reader.write("docs/plan.md", "plan, better");
    reader.types("ubos-sync truth --apply").expect(0);
    reader.follows("ubos-sync rollback last --apply");
    assert_eq!(
        fs::read_to_string(reader.tree().join("docs/plan.md")).unwrap(),
        "plan, better"
    );
    assert_eq!(
        fs::read_to_string(server.join("docs/plan.md")).unwrap(),
        "plan"
    );

    // A conflict for each way in which the README ends one.
    reader.types("ubos-sync truth --apply").expect(0);
    let block = reader.block("ubos-sync conflicts");
    for line in block.lines() {
        reader.write("docs/plan.md", &format!("the laptop's, before `{line}`"));
        let theirs = format!("the server's, before `{line}`");
        fs::write(server.join("docs/plan.md"), theirs).unwrap();
        // What is kept is still open: a tie, which nobody wins.
        let is_tie = line.contains(" keep ");
        let theirs = fs::metadata(server.join("docs/plan.md")).unwrap();
        let theirs = theirs.modified().unwrap();
        let time = if is_tie {
            theirs
        } else {
            theirs - Duration::from_secs(5)
        };
        let mut ours = fs::File::options();
        let ours = ours.write(true).open(reader.tree().join("docs/plan.md"));
        ours.unwrap().set_modified(time).unwrap();
        let out = reader.types("ubos-sync truth --apply");
        out.expect(if is_tie { 4 } else { 0 });
        let out = reader.types(line);
        assert_eq!(out.code, 0, "{line}\n{out}");
        assert!(out.stdout.contains("docs/plan.md"), "{line}\n{out}");
    }
    let beside = |e: fs::DirEntry| {
        e.file_name()
            .to_string_lossy()
            .starts_with("plan.md.balaur-")
    };
    assert!(
        fs::read_dir(reader.tree().join("docs"))
            .unwrap()
            .any(|e| beside(e.unwrap()))
    );

    // By itself. Installing needs a service manager, which tests/systemd_real.rs boots: here the files and commands are shown.
    let block = reader.block("ubos-sync service install");
    for line in block.lines() {
        let line = line.replace("service install --apply", "service install");
        let out = reader.types(&line);
        assert_eq!(out.code, 0, "{line}\n{out}");
    }

    // The writer's three lines end by themselves when nobody wants it to hold still.
    let block = reader.block("sync-pause");
    reader.types(&block).expect(0);

    publishing(&mut reader, &with_logs);
    assert!(
        reader.blocks.is_empty(),
        "blocks that nothing runs: {:#?}",
        reader.blocks
    );
}

fn publishing(reader: &mut Reader, policy: &str) {
    let repo = reader.lab.root().join("repo");
    let git = |args: &[&str]| {
        let mut git = reader.lab.tool(Side::Laptop, "git");
        git.arg("-C").arg(reader.lab.root()).args(args);
        reader.lab.start(git).wait().expect(0);
    };
    git(&["init", "-q", "-b", "main", "repo"]);
    fs::write(repo.join("app.sh"), "echo 1\n").unwrap();
    git(&["-C", "repo", "add", "."]);
    let who = ["-c", "user.name=t", "-c", "user.email=t@example"];
    git(&[&["-C", "repo"], &who[..], &["commit", "-qm", "first"]].concat());
    git(&["-C", "repo", "tag", "v1.4"]);
    let target = |name: &str| {
        let path = reader.lab.root().join(name);
        format!("[[publish.target]]\nname = \"{name}\"\npath = {path:?}\n")
    };
    reader.policy(&format!(
        "{policy}\n[publish]\nsource = {repo:?}\nremote = \"\"\n{}{}",
        target("vm01"),
        target("vm03")
    ));
    reader.follows("ubos-sync publish --apply");
    assert!(reader.lab.root().join("vm03/app.sh").is_file());
}

#[test]
fn the_picture_is_what_the_program_prints() {
    if !need(&["unison"]) {
        return;
    }
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/picture.sh");
    let out = Command::new(script)
        .args([env!("CARGO_BIN_EXE_ubos-sync"), "--check"])
        .output()
        .unwrap();
    assert!(
        out.status.success(),
        "{}",
        String::from_utf8_lossy(&out.stderr)
    );
    assert!(README.contains("docs/plan.svg"));
}
