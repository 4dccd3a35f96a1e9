//! Who drives, with whom, and what happens when the other is away or is not who it was.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::fs;

use lab::{Lab, Side, need};

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

fn in_sync(lab: &Lab, side: Side, when: &str) {
    let out = lab.run_on(side, &["truth", "--apply", "--json"]);
    assert_eq!(out.code, 0, "{when}\n{out}");
    assert_eq!(out.json()["outcome"], "in-sync", "{when}\n{out}");
    assert_eq!(out.json()["lanes"][0]["changes"].to_string(), "[]");
}

#[test]
fn either_host_drives_and_nothing_comes_back_or_conflicts_again() {
    if !ready() {
        return;
    }
    let mut lab = Lab::new();
    lab.policy("");
    lab.server_policy("");
    for n in 0..12 {
        lab.write(side(n), format!("docs/{n}.md"), format!("first {n}"));
    }
    for round in 0..4 {
        let driver = side(round);
        let when = format!("round {round}, {} drives", driver.host());
        if round > 0 {
            lab.remove(Side::Laptop, format!("docs/{round}.md"));
            lab.remove(Side::Server, format!("docs/{}.md", round + 4));
            lab.write(Side::Laptop, "docs/0.md", format!("mac {round}"));
            lab.write(Side::Server, "docs/11.md", format!("balaur {round}"));
            lab.write(Side::Server, format!("new/{round}/a.md"), "new");
            // Both edited it, the server two seconds later.
            let now = lab::mtime_ns(&lab.at(Side::Laptop, "docs/0.md")) - 9_000_000_000;
            lab.write_at(Side::Laptop, "docs/10.md", format!("older {round}"), now);
            let later = now + 2_000_000_000;
            lab.write_at(Side::Server, "docs/10.md", format!("newer {round}"), later);
        }
        let out = lab.run_on(driver, &["truth", "--apply"]);
        assert_eq!(out.code, 0, "{when}\n{out}");
        lab.assert_equal_truth(&[]);
        in_sync(&lab, driver.other(), &when);
        if round > 0 {
            assert_eq!(
                lab.read_text(Side::Laptop, "docs/10.md"),
                format!("newer {round}")
            );
            assert_eq!(
                lab.read_text(Side::Laptop, "docs/11.md"),
                format!("balaur {round}")
            );
            for gone in [round, round + 4] {
                assert!(
                    !lab.exists(Side::Server, format!("docs/{gone}.md")),
                    "{when}"
                );
            }
        }
    }
}

fn side(n: usize) -> Side {
    Side::BOTH[n % 2]
}

#[test]
fn ck_03_hosts_whose_clocks_differ_still_agree_on_what_came_last() {
    if !ready() || !need(&["faketime"]) {
        return;
    }
    let mut lab = Lab::new();
    lab.policy("[guards]\nmax_clock_skew = \"3h\"\n[snapshots]\nkeep = 2");
    lab.server_policy("[guards]\nmax_clock_skew = \"3h\"\n[snapshots]\nkeep = 2");
    lab.write(Side::Laptop, "docs/keep.md", "kept");
    lab.run(&["truth", "--apply"]).expect(0);
    // The server's program believes that it is an hour ago; its runs come later all the same.
    let late = |lab: &Lab| {
        let mut c = lab.command(Side::Server);
        c.env("LD_PRELOAD", lab::libfaketime().unwrap())
            .env("FAKETIME", "-3600s")
            .env("FAKETIME_DISABLE_SHM", "1")
            .args(["truth", "--apply"]);
        lab.start(c).wait()
    };
    for n in 0..5 {
        let name = format!("docs/{n}.md");
        lab.write(Side::Laptop, &name, "short-lived");
        let out = late(&lab);
        assert_eq!(out.code, 0, "{out}");
        lab.assert_equal_truth(&[]);
        lab.remove(side(n), &name);
        lab.run(&["truth", "--apply"]).expect(0);
        assert!(!lab.exists(Side::Laptop, &name), "{name} came back");
        assert!(!lab.exists(Side::Server, &name), "{name} stayed");
    }
}

#[test]
fn an_offline_peer_is_exit_5_and_nothing_is_touched() {
    if !ready() {
        return;
    }
    let mut lab = Lab::new();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "a");
    lab.run(&["truth", "--apply"]).expect(0);
    lab.write(Side::Laptop, "docs/b.md", "b");
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    lab.sshd().stop();
    for args in [&["truth", "--json"][..], &["truth", "--apply", "--json"]] {
        let out = lab.run(args).expect(5);
        assert_eq!(out.json()["outcome"], "offline", "{out}");
    }
    for (side, was) in Side::BOTH.iter().zip(&before) {
        was.assert_unchanged(&lab.tree(*side), "a run without its peer");
    }
    assert!(!lab.state_dir(Side::Laptop).join("lock.d").exists());
    lab.sshd().start();
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn se_13_an_unknown_and_a_changed_host_key_are_refused_and_nothing_is_accepted() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "a");
    let known = fs::read_to_string(lab.known_hosts()).unwrap();
    let other = fs::read_to_string(lab.root().join("ssh/client.pub")).unwrap();
    let key = other.split_whitespace().nth(1).unwrap();
    for (what, text) in [
        ("unknown", String::new()),
        ("changed", format!("balaur ssh-ed25519 {key}\n")),
    ] {
        fs::write(lab.known_hosts(), &text).unwrap();
        let before = lab.snapshot(Side::Server);
        let out = lab.run(&["truth", "--apply"]);
        assert!(out.code == 1 || out.code == 3, "{what}: {out}");
        let said = format!("{}{}", out.stdout, out.stderr).replace('\n', " ");
        for word in ["host key", "ssh-keyscan", "ssh-keygen -lf"] {
            assert!(said.contains(word), "{what}: no `{word}`\n{out}");
        }
        assert_eq!(fs::read_to_string(lab.known_hosts()).unwrap(), text);
        before.assert_unchanged(&lab.tree(Side::Server), what);
    }
    fs::write(lab.known_hosts(), known).unwrap();
    lab.run(&["truth", "--apply"]).expect(0);
}

#[test]
fn vm_01_a_noisy_login_shell_is_named_or_survived() {
    if !ready() {
        return;
    }
    let lab = Lab::builder()
        .noisy("Welcome to balaur!\nIt is late.")
        .build();
    lab.policy("");
    lab.write(Side::Laptop, "docs/a.md", "a");
    let before = lab.snapshot(Side::Server);
    let out = lab.run(&["truth", "--apply"]);
    if out.code == 0 {
        lab.assert_equal_truth(&[]);
    } else {
        let said = format!("{}{}", out.stdout, out.stderr).replace('\n', " ");
        assert!(said.contains("login shell"), "{out}");
        before.assert_unchanged(&lab.tree(Side::Server), "a refused run");
    }
}

/// A directory on this machine as a further peer.
fn disk(lab: &Lab) -> (std::path::PathBuf, String) {
    let root = lab.root().join("disk");
    fs::create_dir(&root).unwrap();
    fs::write(root.join(".ubos-root"), "").unwrap();
    let text = format!("[[peer]]\nname = \"vault\"\nroot = {root:?}\n");
    (root, text)
}

#[test]
fn one_peer_that_is_away_does_not_keep_the_other_from_syncing() {
    if !ready() {
        return;
    }
    let mut lab = Lab::new();
    let (root, text) = disk(&lab);
    lab.policy(&text);
    lab.write(Side::Laptop, "docs/a.md", "a");
    lab.run(&["truth", "--apply"]).expect(0);
    lab.write(Side::Laptop, "docs/b.md", "b");
    lab.sshd().stop();
    let out = lab.run(&["truth", "--apply", "--json"]).expect(0);
    let lanes = out.json()["lanes"].clone();
    let outcome = |name: &str| {
        let all = lanes.as_array().unwrap().iter();
        let lane = all.clone().find(|l| l["peer"] == name).unwrap();
        lane["outcome"].as_str().unwrap().to_owned()
    };
    assert_eq!(outcome("balaur"), "offline", "{out}");
    assert_eq!(outcome("vault"), "applied", "{out}");
    assert_eq!(fs::read_to_string(root.join("docs/b.md")).unwrap(), "b");
    lab.sshd().start();
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
}

#[test]
fn cc_06_two_peers_share_the_local_root_and_a_change_reaches_all_three() {
    if !ready() {
        return;
    }
    let lab = Lab::new();
    let (root, text) = disk(&lab);
    lab.policy(&text);
    lab.write(Side::Server, "docs/server.md", "from the server");
    fs::create_dir(root.join("docs")).unwrap();
    fs::write(root.join("docs/disk.md"), "from the disk").unwrap();
    // What the second peer brings travels to the first with the next run.
    for _ in 0..2 {
        lab.run(&["truth", "--apply"]).expect(0);
    }
    let all = |name: &str| {
        [lab.tree(Side::Laptop), lab.tree(Side::Server), root.clone()]
            .map(|t| fs::read_to_string(t.join(name)).ok())
    };
    for (name, text) in [
        ("docs/server.md", "from the server"),
        ("docs/disk.md", "from the disk"),
    ] {
        assert_eq!(all(name), [(); 3].map(|()| Some(text.to_owned())), "{name}");
    }
    lab.remove(Side::Server, "docs/disk.md");
    fs::write(root.join("docs/server.md"), "edited on the disk").unwrap();
    for _ in 0..2 {
        lab.run(&["truth", "--apply"]).expect(0);
    }
    assert_eq!(all("docs/disk.md"), [None, None, None]);
    assert_eq!(
        all("docs/server.md"),
        [(); 3].map(|()| Some("edited on the disk".to_owned()))
    );
    let idle = lab.run(&["truth", "--apply", "--json"]).expect(0);
    assert_eq!(idle.json()["outcome"], "in-sync");
}

#[test]
fn a_directory_on_this_machine_is_a_peer_without_ssh() {
    if !need(&["unison"]) {
        return;
    }
    let lab = Lab::builder()
        .without_sshd()
        .hide(Side::Laptop, &["ssh"])
        .build();
    lab.local_policy("");
    lab.write(Side::Laptop, "docs/a.md", "a");
    lab.write(Side::Server, "docs/b.md", "b");
    lab.write(Side::Server, "docs/x_state.json", "stays");
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&["*_state.json"]);
    assert!(!lab.exists(Side::Laptop, "docs/x_state.json"));
    lab.remove(Side::Laptop, "docs/b.md");
    lab.run(&["truth", "--apply"]).expect(0);
    assert!(!lab.exists(Side::Server, "docs/b.md"));
    let idle = lab.run(&["truth", "--apply", "--json"]).expect(0);
    assert_eq!(idle.json()["outcome"], "in-sync");
}
