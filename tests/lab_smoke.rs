//! The lab proves itself before anything is proven with it.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use lab::{Lab, Side, Snapshot, Unison, truth_difference};

const SSH: [&str; 3] = ["ssh", "sshd", "ssh-keygen"];

#[test]
fn a_session_comes_in_over_ssh_and_finds_the_server_s_home() {
    if !lab::need(&SSH) {
        return;
    }
    let lab = Lab::new();
    let out = lab.ssh("cd; pwd; echo \"$HOME\"").expect(0);
    let home = lab.home(Side::Server);
    assert_eq!(out.stdout, format!("{0}\n{0}\n", home.display()));
}

#[test]
fn an_unknown_host_key_is_refused() {
    if !lab::need(&SSH) {
        return;
    }
    let lab = Lab::new();
    std::fs::write(lab.known_hosts(), "").unwrap();
    let out = lab.ssh("true").expect(255);
    assert!(out.stderr.contains("Host key verification failed"), "{out}");
}

#[test]
fn a_noisy_login_shell_speaks_before_the_command() {
    if !lab::need(&SSH) {
        return;
    }
    let lab = Lab::builder()
        .noisy("Welcome to balaur!\nIt's late.")
        .build();
    let out = lab.ssh("echo \"a  b\"; exit 3").expect(3);
    assert_eq!(out.stdout, "Welcome to balaur!\nIt's late.\na  b\n");
}

#[test]
fn the_server_s_clock_can_be_off() {
    if !lab::need(&[&SSH[..], &["faketime"]].concat()) {
        return;
    }
    let lab = Lab::builder().skew(-7200).build();
    let here = chrono::Utc::now().timestamp();
    let there: i64 = lab.ssh("date +%s").expect(0).stdout.trim().parse().unwrap();
    assert!(
        (here - there - 7200).abs() < 30,
        "here {here}, there {there}"
    );
}

#[test]
fn a_server_may_lack_unison_or_have_an_old_one() {
    if !lab::need(&SSH) {
        return;
    }
    let without = Lab::builder().unison(Side::Server, Unison::Missing).build();
    assert_ne!(without.ssh("command -v unison").code, 0);
    without.ssh("command -v cat").expect(0);

    if lab::unison_251().is_some() {
        let old = Lab::builder().unison(Side::Server, Unison::V251).build();
        let out = old.ssh("unison -version").expect(0);
        assert!(out.stdout.contains("2.51"), "{out}");
    }
}

#[test]
fn sshd_stops_and_starts_again_on_its_port() {
    if !lab::need(&SSH) {
        return;
    }
    let mut lab = Lab::new();
    let port = lab.sshd().port;
    lab.sshd().stop();
    lab.ssh("true").expect(255);
    lab.sshd().start();
    assert_eq!(lab.sshd().port, port);
    lab.ssh("true").expect(0);
}

#[test]
fn sessions_can_be_cut_off_in_the_middle() {
    if !lab::need(&SSH) {
        return;
    }
    let mut lab = Lab::new();
    let mut command = lab.tool(Side::Laptop, "ssh");
    command.arg("-F").arg(lab.ssh_config());
    command.args(["balaur", "echo ready; exec sleep 600"]);
    let running = lab.start(command);
    lab::wait_until("the session is up", || running.so_far().0.contains("ready"));
    lab.sshd().kill_sessions();
    running.wait().expect(255);
}

#[test]
fn one_program_of_a_session_can_be_killed_and_its_connection_lives_on() {
    if !lab::need(&SSH) {
        return;
    }
    let mut lab = Lab::new();
    let mut command = lab.tool(Side::Laptop, "ssh");
    command.arg("-F").arg(lab.ssh_config());
    command.args(["balaur", "echo ready; sleep 600; echo \"after: $?\""]);
    let running = lab.start(command);
    lab::wait_until("sleep runs", || lab.sshd().kill_program("sleep") == 1);
    let out = running.wait().expect(0);
    assert_eq!(out.stdout, "ready\nafter: 137\n");
}

#[test]
fn a_lost_connection_ends_the_near_side() {
    if !lab::need(&SSH) {
        return;
    }
    let mut lab = Lab::new();
    let mut command = lab.tool(Side::Laptop, "ssh");
    command.arg("-F").arg(lab.ssh_config());
    command.args(["balaur", "echo ready; exec sleep 600"]);
    let running = lab.start(command);
    // The far side says "ready" before it becomes sleep; cut in between, the shell may die of the lost pipe instead.
    lab::wait_until("the session is up and sleeps", || {
        running.so_far().0.contains("ready")
            && lab.processes().iter().any(|p| p.program() == "sleep")
    });
    assert_eq!(
        running.children().len(),
        0,
        "ssh has no children of its own"
    );
    lab.sshd().drop_connections();
    running.wait().expect(255);
    // What ran on the far side is an orphan now; the lab still knows it for its own.
    assert!(lab.processes().iter().any(|p| p.program() == "sleep"));
}

#[test]
fn the_way_back_leads_to_the_laptop_s_home() {
    if !lab::need(&SSH) {
        return;
    }
    let mut lab = Lab::new();
    lab.policy("");
    lab.server_policy("");
    let mut command = lab.tool(Side::Server, "ssh");
    command.arg("-F").arg(lab.ssh_config());
    command.args(["mac", "echo \"$HOME\""]);
    let out = lab.start(command).wait().expect(0);
    assert_eq!(out.stdout.trim(), lab.home(Side::Laptop).to_str().unwrap());
    for side in Side::BOTH {
        let text = std::fs::read_to_string(lab.policy_file(side)).unwrap();
        let policy: toml::Table = text.parse().unwrap();
        assert_eq!(policy["site"]["name"].as_str(), Some(side.host()));
        assert_eq!(
            policy["peer"][0]["name"].as_str(),
            Some(side.other().host())
        );
    }
}

#[test]
fn a_snapshot_sees_a_file_that_was_merely_touched() {
    let lab = Lab::builder().without_sshd().build();
    lab.write_at(Side::Laptop, "docs/a.md", "a", 1_700_000_000_123_456_789);
    let before = lab.snapshot(Side::Laptop);
    assert_eq!(
        before.entries[&b"docs/a.md"[..]].mtime_ns,
        1_700_000_000_123_456_789
    );
    before.assert_unchanged(&lab.tree(Side::Laptop), "reading");

    // Same mode and same time again: only the ctime tells.
    lab.chmod(
        Side::Laptop,
        "docs/a.md",
        lab.mode(Side::Laptop, "docs/a.md"),
    );
    lab.set_mtime(Side::Laptop, "docs/a.md", 1_700_000_000_123_456_789);
    let diff = before.diff(&lab.snapshot(Side::Laptop));
    assert!(diff.starts_with("~ docs/a.md: ctime "), "{diff}");
    assert_eq!(diff.lines().count(), 1, "{diff}");
}

#[test]
fn a_comparison_as_truth_looks_past_what_it_is_told_to_ignore() {
    let lab = Lab::builder().without_sshd().build();
    for side in Side::BOTH {
        lab.write_at(side, b"docs/\xff.md", "same", 1_700_000_000_000_000_000);
        lab.chmod(side, b"docs/\xff.md", 0o644);
        lab.write(side, "hub/x_state.json", side.host());
        lab.write(side, "models/m.bin", side.host());
    }
    lab.assert_equal_truth(&["*_state.json", "models/"]);

    lab.set_mtime(Side::Server, b"docs/\xff.md", 1_700_000_000_000_000_999);
    lab.assert_equal_truth(&["*_state.json", "models"]);
    lab.set_mtime(Side::Server, b"docs/\xff.md", 1_700_000_000_000_002_000);
    lab.chmod(Side::Server, b"docs/\xff.md", 0o755);
    let diff = truth_difference(
        &lab.snapshot(Side::Laptop),
        &lab.snapshot(Side::Server),
        &["hub", "models"],
    );
    assert!(
        diff.contains(r"~ docs/\xff.md: mode 0644 → 0755, mtime (µs)"),
        "{diff}"
    );
    assert!(Snapshot::of(&lab.root().join("absent")).entries.is_empty());
}

#[test]
fn teardown_leaves_no_process_and_no_directory() {
    if !lab::need(&SSH) {
        return;
    }
    let lab = Lab::new();
    // An orphan: it has left its session, its parent and its pipes.
    lab.ssh("nohup sleep 600 </dev/null >/dev/null 2>&1 & echo $!")
        .expect(0);
    let ids: Vec<u32> = lab.processes().iter().map(|p| p.pid).collect();
    assert!(
        ids.len() >= 2,
        "the listener and the orphan: {:?}",
        lab.processes()
    );
    let root = lab.root().to_owned();
    drop(lab);
    assert!(!root.exists());
    for pid in ids {
        assert!(!lab::alive(pid), "{pid} is still there");
    }
}
