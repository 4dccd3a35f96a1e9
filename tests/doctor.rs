//! `doctor`: each planted fault is found and its fix named, and nothing is changed; what is safe to mend is mended when told to,
//! and nothing else is.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use lab::{Lab, Side, need};
use pair::{BALAUR, MAC, pair, pair_with, seed, sync};
use serde_json::Value;

#[track_caller]
fn doctor(lab: &Lab, code: i32) -> Vec<Value> {
    let json = lab.run(&["doctor", "--json"]).expect(code).json();
    json["checks"].as_array().unwrap().clone()
}

/// The bad row that speaks of this; its fix.
#[track_caller]
fn fix(rows: &[Value], about: &str) -> String {
    let bad = rows.iter().filter(|r| r["result"] != "ok");
    let found: Vec<&Value> = bad
        .filter(|r| r["found"].as_str().unwrap().contains(about))
        .collect();
    assert_eq!(found.len(), 1, "{about}: {rows:#?}");
    let fix = found[0]["fix"].as_str().unwrap();
    assert!(!fix.is_empty(), "{rows:#?}");
    fix.to_owned()
}

/// That a row that is not well speaks of this and names this.
#[track_caller]
fn names(rows: &[Value], about: &str, way_out: &str) {
    let fix = fix(rows, about);
    assert!(fix.contains(way_out), "{about}: {fix}");
}

fn mode(path: &Path, bits: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(bits)).unwrap();
}

fn bits(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o777
}

/// A program of the server that says this of its version.
fn program(lab: &Lab, name: &str, says: &str) -> String {
    let file = lab.home(BALAUR).join(name);
    fs::write(&file, format!("#!/bin/sh\necho '{says}'\n")).unwrap();
    mode(&file, 0o755);
    file.to_str().unwrap().to_owned()
}

/// The newest generation that a host holds.
fn newest_generation(lab: &Lab, side: Side) -> PathBuf {
    let dir = lab.state_dir(side).join("pairs/balaur+mac/archives");
    let mut all: Vec<PathBuf> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().path())
        .collect();
    all.sort();
    all.pop().unwrap()
}

#[test]
fn a_healthy_pair_is_well_and_looking_leaves_no_trace() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let rows = doctor(&lab, 0);
    assert!(rows.iter().all(|r| r["result"] != "bad"), "{rows:#?}");
    for what in [
        "policy",
        "program",
        "connection",
        "unison",
        "clocks",
        "roots",
        "space",
        "memory",
        "names",
        "events",
        "units",
    ] {
        assert!(rows.iter().any(|r| r["check"] == what), "{what}: {rows:#?}");
    }
    for side in Side::BOTH {
        assert!(!lab.state_dir(side).exists(), "a state directory was made");
    }
    assert!(!lab.home(MAC).join("logs").exists(), "records were begun");
    sync(&lab);
    let after = Side::BOTH.map(|s| lab.snapshot(s));
    assert_ne!(before[1].paths(), after[1].paths());
    doctor(&lab, 0);
    let text = lab.run(&["doctor"]).expect(0);
    assert!(text.stdout.contains("ok"), "{text}");
}

/// Everything that does not hide anything else, in one lab.
#[test]
fn many_planted_faults_are_found_at_once_with_their_fixes() {
    let builder = Lab::builder()
        .hide(MAC, &["gitleaks"])
        .hide(BALAUR, &["rsync"]);
    let Some(lab) = pair_with(builder, "") else {
        return;
    };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    lab.write_at(MAC, "docs/b.md", "later", pair::T);
    sync(&lab);
    lab.run(&["service", "install", "--apply"]);

    let key = lab.root().join("own-key");
    fs::copy(lab.root().join("ssh/client"), &key).unwrap();
    mode(&key, 0o644);
    let old = program(&lab, "old-unison", "unison version 2.40.102");
    lab.policy(&format!(
        "identity = {key:?}\nunison = {old:?}\n\
         [[peer.log]]\nremote = \"logs/m.jsonl\"\nlocal = \"logs/m.jsonl\"\n\
         [guards]\nmin_free_space = \"900TiB\"\n\
         [notify]\nwebhook_url_env = \"NO_SUCH_HOOK\"\n\
         [schedule]\ninterval = \"7m\"\n\
         [publish]\nremote = \"\"\n[[publish.target]]\nname = \"vm\"\npath = {:?}\n",
        lab.root().join("vm")
    ));
    lab.run(&["hold", "balaur", "--why", "a reason"]).expect(0);
    fs::remove_file(lab.tree(BALAUR).join(".ubos-root")).unwrap();
    for side in Side::BOTH {
        mode(&lab.state_dir(side), 0o755);
    }
    let manifest = newest_generation(&lab, BALAUR).join("manifest");
    let mut bytes = fs::read(&manifest).unwrap();
    bytes.push(b'x');
    fs::write(&manifest, bytes).unwrap();
    let lock = lab.state_dir(BALAUR).join("lock.d");
    fs::create_dir(&lock).unwrap();
    let owner =
        "nonce=n\npid=4194304\nborn=1\nboot=b\nremote=1\nrun=20250101T000000Z-truth-abcdef\n";
    fs::write(lock.join("owner"), owner).unwrap();

    let rows = doctor(&lab, 1);
    names(&rows, "gitleaks is not installed", "install gitleaks");
    names(
        &rows,
        "no rsync that can append on balaur",
        "install rsync 3 on balaur",
    );
    names(&rows, "may be read by others", "chmod 600");
    names(
        &rows,
        "2.40 on balaur is too old; 2.51 is the oldest",
        "on balaur",
    );
    names(&rows, "free on mac, and 900.0 TiB must stay free", "df -h");
    names(&rows, "free on balaur, and", "on balaur: df -h");
    names(
        &rows,
        "NO_SUCH_HOOK is not set",
        ".config/ubos-sync/credentials/NO_SUCH_HOOK",
    );
    names(&rows, "a reason", "ubos-sync release balaur");
    names(&rows, "balaur has no .ubos-root", "touch");
    names(
        &rows,
        &format!("{} may be entered", lab.state_dir(MAC).display()),
        "chmod 700",
    );
    names(
        &rows,
        &format!("{} may be entered", lab.state_dir(BALAUR).display()),
        "chmod 700",
    );
    names(&rows, "is damaged on balaur", "ubos-sync truth balaur");
    names(
        &rows,
        "20250101T000000Z-truth-abcdef died on balaur",
        "ubos-sync truth balaur",
    );
    names(
        &rows,
        "ubos-sync.timer, ",
        "ubos-sync service install --apply",
    );
    names(&rows, "run only while", "loginctl enable-linger");
    // It was only looked at.
    assert!(lock.join("owner").exists());
    assert_eq!(bits(&key), 0o644);
    let screen = lab.run(&["doctor"]).expect(1);
    assert!(
        screen.stdout.starts_with("BAD"),
        "the worst comes first: {screen}"
    );
}

/// Those that hide everything behind them, one after the other.
#[test]
fn faults_that_end_the_look_are_found_with_their_fixes() {
    let Some(mut lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    let policy = lab.policy_file(MAC);
    mode(&policy, 0o666);
    let rows = doctor(&lab, 2);
    names(&rows, "may be written to by others", "chmod go-w");
    lab.run(&["doctor", "--fix", "--apply"]).expect(2);
    assert_eq!(
        bits(&policy),
        0o666,
        "whoever wrote to it could have written anything"
    );
    mode(&policy, 0o600);

    let (tree, aside) = (lab.tree(BALAUR), lab.home(BALAUR).join("aside"));
    fs::rename(&tree, &aside).unwrap();
    names(&doctor(&lab, 1), "on balaur is missing", "mount it");
    lab.run(&["doctor", "--fix", "--apply"]).expect(1);
    assert!(!tree.exists(), "a root is never made");
    fs::rename(&aside, &tree).unwrap();

    let known = fs::read_to_string(lab.known_hosts()).unwrap();
    fs::write(lab.known_hosts(), "").unwrap();
    names(
        &doctor(&lab, 1),
        "a host key that nobody has accepted",
        "ssh-keyscan",
    );
    let other = fs::read_to_string(lab.root().join("ssh/client.pub")).unwrap();
    let other: Vec<&str> = other.split_whitespace().take(2).collect();
    fs::write(lab.known_hosts(), format!("balaur {}\n", other.join(" "))).unwrap();
    names(
        &doctor(&lab, 1),
        "another host key than the one you accepted",
        "ssh-keyscan",
    );
    fs::write(lab.known_hosts(), known).unwrap();
    doctor(&lab, 0);

    let config = lab.sshd().dir.join("sshd_config");
    let text = fs::read_to_string(&config).unwrap();
    lab.sshd().stop();
    names(&doctor(&lab, 1), "balaur is offline", "ssh -p");
    fs::write(&config, text.replace("MaxSessions 64", "MaxSessions 1")).unwrap();
    lab.sshd().start();
    names(
        &doctor(&lab, 1),
        "lets no second session into a connection",
        "MaxSessions",
    );
}

#[test]
fn a_skewed_clock_and_a_talking_shell_are_found() {
    let builder = Lab::builder().skew(3600).noisy("welcome to balaur");
    let Some(lab) = pair_with(builder, "") else {
        return;
    };
    let rows = doctor(&lab, 1);
    names(&rows, "the clock of balaur is", "chrony");
    names(&rows, "quiet login shell", "start-up files");
}

#[test]
fn a_peer_without_unison_and_a_root_that_may_not_be_written_are_found() {
    let builder = Lab::builder()
        .unprivileged_server()
        .hide(BALAUR, &["unison", "inotifywait", "fswatch"]);
    let Some(lab) = pair_with(builder, "") else {
        return;
    };
    mode(&lab.tree(BALAUR), 0o555);
    let rows = doctor(&lab, 1);
    names(&rows, "unison was not found on balaur", "install unison");
    names(&rows, "may not be read, written and entered", "chmod u+rwx");
    let events = rows.iter().find(|r| r["check"] == "events").unwrap();
    let found = events["found"].as_str().unwrap();
    assert!(found.contains("at its interval"), "{found}");
    mode(&lab.tree(BALAUR), 0o755);
}

#[test]
fn too_few_watches_are_found() {
    let Some(lab) = pair() else { return };
    if !cfg!(target_os = "linux") || !rustix::process::geteuid().is_root() || !need(&["unshare"]) {
        return;
    }
    for i in 0..9 {
        lab.write_at(MAC, format!("docs/{i}/a.md"), "a", pair::T);
    }
    // A limit of a namespace of its own, so that nobody else has to live with it.
    let mut command = lab.tool(MAC, "unshare");
    command.args(["--user", "--map-root-user", "sh", "-c"]);
    command.arg("echo 12 >/proc/sys/user/max_inotify_watches && exec \"$0\" doctor --json");
    command.arg(env!("CARGO_BIN_EXE_ubos-sync"));
    command.env("UBOS_SYNC_POLICY", lab.policy_file(MAC));
    let out = lab.start(command).wait();
    if out.stderr.contains("unshare failed") && std::env::var_os("CI").is_none() {
        return;
    }
    let rows = out.expect(0).json()["checks"].as_array().unwrap().clone();
    names(
        &rows,
        "only 12 directories can be watched",
        "sysctl user.max_inotify_watches",
    );
}

/// A host that only publishes has no pair that would look at its root.
#[test]
fn what_the_root_and_the_keys_of_a_publisher_lack_is_found() {
    let lab = Lab::builder().without_sshd().build();
    if !need(&["ssh-keygen"]) {
        return;
    }
    let home = lab.home(MAC);
    let keys = ["plain", "locked", "absent"].map(|n| home.join(n));
    for (key, passphrase) in keys.iter().zip(["", "secret"]) {
        let mut make = lab.tool(MAC, "ssh-keygen");
        make.args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]);
        make.arg(key);
        lab.start(make).wait().expect(0);
    }
    let mut text = format!(
        "schema = 1\n[site]\nname = \"mac\"\nroot = {:?}\n[notify]\nwebhook_url_file = {:?}\n[publish]\nremote = \"\"\n",
        lab.tree(MAC),
        home.join("hook")
    );
    let named = keys.iter().map(|key| format!("identity = {key:?}"));
    for (i, key) in named.chain([String::new()]).enumerate() {
        text += &format!(
            "[[publish.target]]\nname = \"t{i}\"\nhost = \"127.0.0.1\"\n{key}\npath = \"~/site{i}\"\n"
        );
    }
    lab.write_policy(MAC, &text);
    let rows = doctor(&lab, 1);
    names(&rows, "locked asks for a passphrase", "a key of its own");
    names(&rows, "absent is not there", "ssh-keygen -t ed25519");
    names(&rows, "t3: no `identity`, no key", "set `identity`");
    names(&rows, "hook is not there", "mode 0600");
    let is_well = |rows: &[Value], about: &str| {
        let well = rows.iter().filter(|r| r["result"] == "ok");
        let found = well.filter(|r| r["found"].as_str().unwrap().contains(about));
        assert_eq!(found.count(), 1, "{about}: {rows:#?}");
    };
    is_well(&rows, "plain is private");
    is_well(&rows, "is there, with its marker");

    fs::create_dir(home.join(".ssh")).unwrap();
    fs::copy(&keys[0], home.join(".ssh/id_ed25519")).unwrap();
    fs::write(home.join("hook"), "https://localhost/").unwrap();
    fs::remove_file(lab.tree(MAC).join(".ubos-root")).unwrap();
    let rows = doctor(&lab, 1);
    is_well(&rows, ".ssh/id_ed25519 serves");
    names(&rows, "has no .ubos-root", "touch");
    assert!(!rows.iter().any(|r| r["check"] == "notify"), "{rows:#?}");
    fs::rename(lab.tree(MAC), home.join("aside")).unwrap();
    names(&doctor(&lab, 1), "tree is missing", "mount it");
}

#[track_caller]
fn mended(lab: &Lab, args: &[&str], code: i32) -> (Vec<(String, String)>, Value) {
    let mut all = vec!["doctor", "--json", "--fix"];
    all.extend(args);
    let json = lab.run(&all).expect(code).json();
    let rows = json["mended"].as_array().unwrap().iter();
    let text = |v: &Value| v.as_str().unwrap().to_owned();
    let rows = rows.map(|m| (text(&m["does"]), text(&m["result"])));
    (rows.collect(), json)
}

#[test]
fn what_is_safe_is_mended_on_both_hosts_when_told_to_and_recorded() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    let markers = Side::BOTH.map(|s| lab.tree(s).join(".ubos-root"));
    for (side, marker) in Side::BOTH.into_iter().zip(&markers) {
        fs::remove_file(marker).unwrap();
        mode(&lab.state_dir(side), 0o755);
    }
    let before = Side::BOTH.map(|s| lab.snapshot(s));
    let (all, json) = mended(&lab, &[], 1);
    assert_eq!(json["mode"], "dry-run");
    assert_eq!(all.len(), 4, "{json:#}");
    assert!(
        all.iter().all(|(_, result)| result == "planned"),
        "{json:#}"
    );
    for (side, before) in Side::BOTH.into_iter().zip(&before) {
        before.assert_unchanged(&lab.tree(side), "without --apply");
        assert_eq!(bits(&lab.state_dir(side)), 0o755);
    }
    let screen = lab.run(&["doctor", "--fix"]).expect(1);
    assert!(screen.stdout.contains("doctor --fix --apply"), "{screen}");

    let (all, json) = mended(&lab, &["--apply"], 0);
    assert_eq!(json["mode"], "apply");
    assert!(all.iter().all(|(_, result)| result == "done"), "{json:#}");
    for (side, marker) in Side::BOTH.into_iter().zip(&markers) {
        assert!(marker.is_file());
        assert_eq!(bits(&lab.state_dir(side)), 0o700);
    }
    let run = json["run"].as_str().unwrap();
    let record = lab.run(&["runs", "show", run, "--json"]).expect(0).json();
    let shown = [&record["command"], &record["mode"], &record["outcome"]];
    assert_eq!(shown, ["doctor", "apply", "applied"], "{record:#}");
    lab.run(&["runs", "verify"]).expect(0);
    assert_eq!(sync(&lab)["outcome"], "in-sync");
    let (all, json) = mended(&lab, &["--apply"], 0);
    assert!(all.is_empty(), "{json:#}");
}

#[test]
fn directories_of_ours_are_made_before_the_first_run() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    let (all, json) = mended(&lab, &["--apply"], 0);
    assert_eq!(all.len(), 3, "{json:#}");
    for side in Side::BOTH {
        assert_eq!(bits(&lab.state_dir(side)), 0o700);
    }
    assert!(lab.home(MAC).join("logs/runs").is_dir());
}

#[test]
fn no_marker_comes_where_the_tree_is_not() {
    let Some(lab) = pair() else { return };
    let marker = lab.tree(BALAUR).join(".ubos-root");
    fs::remove_file(&marker).unwrap();
    // A new peer's empty root looks like the place of a disk that is not mounted.
    let (all, json) = mended(&lab, &["--apply"], 1);
    assert!(
        all.iter().all(|(does, _)| !does.contains(".ubos-root")),
        "{json:#}"
    );
    assert!(!marker.exists());
    names(
        json["checks"].as_array().unwrap(),
        "the root holds no file",
        "touch",
    );
    // Before the first sync any file shows the tree.
    lab.write_at(BALAUR, "docs/own.md", "theirs", pair::T);
    mended(&lab, &["--apply"], 0);
    assert!(marker.is_file());
    seed(&lab, &["docs/a.md", "docs/b.md"]);
    sync(&lab);
    // The disk is gone, and somebody wrote into the place where it was.
    fs::rename(lab.tree(BALAUR), lab.home(BALAUR).join("aside")).unwrap();
    lab.write_at(BALAUR, "docs/stray.md", "stray", pair::T);
    let (all, json) = mended(&lab, &["--apply"], 1);
    assert!(all.is_empty(), "{json:#}");
    assert!(!marker.exists());
    let about = "only 0 of 4 files of the last sync are there";
    names(json["checks"].as_array().unwrap(), about, "touch");
}

#[test]
fn a_gone_memory_is_not_made_anew() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    for side in Side::BOTH {
        fs::rename(lab.state_dir(side), lab.home(side).join("aside")).unwrap();
        let rows = doctor(&lab, 1);
        let gone = format!("{} is gone", lab.state_dir(side).display());
        names(&rows, &gone, "mount it, or restore it");
        assert!(rows.iter().all(|r| r["can_mend"] == false), "{rows:#?}");
        fs::rename(lab.home(side).join("aside"), lab.state_dir(side)).unwrap();
    }
}

#[test]
fn to_apply_is_to_fix() {
    let Some(lab) = pair() else { return };
    lab.run(&["doctor", "--apply"]).expect(2);
    lab.run(&["doctor", "--fix", "--apply", "--dry-run"])
        .expect(2);
}

#[test]
fn a_fault_that_several_peers_meet_is_mended_once() {
    let lab = Lab::builder().without_sshd().build();
    if !need(&["unison"]) {
        return;
    }
    let disk = lab.root().join("disk");
    fs::create_dir(&disk).unwrap();
    fs::write(disk.join(".ubos-root"), "").unwrap();
    lab.local_policy(&format!("[[peer]]\nname = \"disk\"\nroot = {disk:?}\n"));
    seed(&lab, &["docs/a.md", "docs/b.md"]);
    sync(&lab);
    fs::remove_file(lab.tree(MAC).join(".ubos-root")).unwrap();
    let (all, json) = mended(&lab, &["--apply"], 0);
    assert_eq!(all.len(), 1, "{json:#}");
    assert_eq!(json["mended"][0]["host"], "mac");
    assert!(lab.tree(MAC).join(".ubos-root").is_file());

    // Another tree lies there now. A peer that is new knows nothing of the one that is gone, so any file would do for it.
    fs::rename(lab.tree(MAC), lab.home(MAC).join("aside")).unwrap();
    lab.write_at(MAC, "docs/stray.md", "stray", pair::T);
    let new = lab.root().join("new");
    fs::create_dir(&new).unwrap();
    fs::write(new.join(".ubos-root"), "").unwrap();
    lab.local_policy(&format!("[[peer]]\nname = \"new\"\nroot = {new:?}\n"));
    for peers in [&["new"][..], &[]] {
        let mut args = vec!["--apply"];
        args.extend(peers);
        let (all, json) = mended(&lab, &args, 1);
        assert!(
            all.iter().all(|(does, _)| !does.contains(".ubos-root")),
            "{json:#}"
        );
    }
    assert!(!lab.tree(MAC).join(".ubos-root").exists());
}

#[test]
fn nothing_is_mended_while_a_run_is_under_way() {
    let Some(lab) = pair() else { return };
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    let marker = lab.tree(BALAUR).join(".ubos-root");
    fs::remove_file(&marker).unwrap();
    let lock = fs::File::options()
        .read(true)
        .write(true)
        .open(lab.state_dir(MAC).join("lock"));
    let lock = lock.unwrap();
    lock.lock().unwrap();
    lab.run(&["doctor", "--fix", "--apply"]).expect(6);
    assert!(!marker.exists());
    drop(lock);
    lab.run(&["doctor", "--fix", "--apply"]).expect(0);
    assert!(marker.is_file());
}

#[test]
fn se_12_an_rsync_with_known_holes_is_named_unless_the_distribution_mended_it() {
    let builder = || Lab::builder().hide(MAC, &["rsync", "dpkg-query"]);
    let policy = "[[peer.log]]\nremote = \"logs/m.jsonl\"\nlocal = \"logs/m.jsonl\"\n";
    let tells = |version: &str| {
        format!(
            "#!/bin/sh\nexec /usr/bin/rsync \"$@\" | sed 's/version 3[.0-9]*/version {version}/'\n"
        )
    };
    for (version, revision, is_named) in [
        ("3.2.7", None, true),
        ("3.1.3", Some("3.1.3-8"), true),
        ("3.1.3", Some("3.1.3-8+deb10u2"), false),
        ("3.2.3", Some("3.2.3-8ubuntu3.1"), false),
        ("3.4.0", None, false),
        ("3.5.0", None, false),
    ] {
        let Some(lab) = pair_with(builder(), policy) else {
            return;
        };
        let put = |name: &str, script: &str| {
            let file = lab.root().join("laptop-bin").join(name);
            fs::write(&file, script).unwrap();
            mode(&file, 0o755);
        };
        put("rsync", &tells(version));
        if let Some(revision) = revision {
            put(
                "dpkg-query",
                &format!("#!/bin/sh\nprintf %s '{revision}'\n"),
            );
        }
        let said = lab.run(&["doctor", "--json"]).stdout;
        assert_eq!(
            said.contains("CVE-2024-12084"),
            is_named,
            "{version} {revision:?}\n{said}"
        );
        let is_mended = said.contains("mended by the distribution");
        assert_eq!(
            is_mended,
            revision.is_some() && !is_named,
            "{version} {revision:?}\n{said}"
        );
    }
}
