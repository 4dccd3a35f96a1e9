//! Runs that die: every file is whole, the next run finishes by itself, and nothing that a user did is undone.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use lab::{At, Lab, Side, need, wait_until};
use rustix::process::Signal;

const PAIR: &str = "balaur+mac";
/// Changes of a killed apply; a kill comes after a tenth, two tenths … of them.
const CHANGES: usize = 2000;

fn ready() -> bool {
    need(&["ssh", "sshd", "ssh-keygen", "unison"])
}

fn lab() -> Lab {
    let lab = Lab::builder().injectable().in_memory().build();
    lab.policy("[guards]\nmax_delete = \"50%\"");
    lab
}

fn whole(tag: &str, n: usize) -> String {
    format!("{tag} {n}\n").repeat(60)
}

/// One round of changes: a third created, the others overwritten, some of the last round's creations deleted, both ways.
struct Round {
    /// Path, old content, new content.
    paths: Vec<(String, Option<String>, Option<String>)>,
}

fn change(lab: &Lab, round: usize) -> Round {
    let mut paths = Vec::new();
    let gone = if round == 0 { 0 } else { CHANGES / 10 };
    let new = CHANGES / 10 + if round == 0 { CHANGES * 7 / 10 } else { 0 };
    let kept = CHANGES - gone - new;
    for n in 0..new {
        let text = whole("new", n);
        let path = format!("made/{round}/{}/{n}.txt", n % 7);
        lab.write(side(n), &path, &text);
        paths.push((path, None, Some(text)));
    }
    for n in 0..kept {
        let text = whole(&format!("round {round}"), n);
        let path = format!("kept/{}/{n}.txt", n % 7);
        let before =
            (round > 0 && lab.exists(side(n), &path)).then(|| lab.read_text(side(n), &path));
        lab.write(side(n), &path, &text);
        paths.push((path, before, Some(text)));
    }
    for n in 0..gone {
        let path = format!("made/{}/{}/{n}.txt", round - 1, n % 7);
        let text = lab.read_text(side(n), &path);
        lab.remove(side(n), &path);
        paths.push((path, Some(text), None));
    }
    Round { paths }
}

fn side(n: usize) -> Side {
    Side::BOTH[n % 2]
}

impl Round {
    /// Each file is the old one or the new one, on each side.
    fn assert_whole(&self, lab: &Lab, when: &str) {
        for (path, old, new) in &self.paths {
            for side in Side::BOTH {
                let now = fs::read(lab.at(side, path))
                    .ok()
                    .map(|b| String::from_utf8_lossy(&b).into_owned());
                assert!(
                    now == *old || now == *new,
                    "{when}: {path} on {} is neither old nor new: {now:?}",
                    side.host()
                );
            }
        }
    }

    fn assert_done(&self, lab: &Lab, when: &str) {
        for (path, _, new) in &self.paths {
            for side in Side::BOTH {
                let now = fs::read_to_string(lab.at(side, path)).ok();
                assert_eq!(now, *new, "{when}: {path} on {}", side.host());
            }
        }
    }
}

/// Every name below a directory, links not followed.
fn names(dir: &Path, out: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|t| t.is_dir()) {
            names(&entry.path(), out);
        }
        out.push(entry.path());
    }
}

#[track_caller]
fn assert_clean(lab: &Lab) {
    for side in Side::BOTH {
        let mut all = Vec::new();
        names(&lab.tree(side), &mut all);
        let state = lab.state_dir(side);
        assert!(!state.join("lock.d").exists(), "lock.d on {}", side.host());
        // What was killed on its way to its name is swept from there after ten minutes.
        let ours = fs::read_dir(&state).unwrap().flatten().map(|e| e.path());
        let begun = |p: &PathBuf| {
            let name = p.file_name().unwrap_or_default();
            name.to_string_lossy().starts_with(".ubos-sync.")
        };
        all.extend(ours.filter(|p| !begun(p)));
        let litter: Vec<_> = all
            .iter()
            .filter(|p| {
                let name = p.file_name().unwrap().to_string_lossy();
                [".unison.", ".ubos-sync.", "run-"]
                    .iter()
                    .any(|l| name.starts_with(l))
            })
            .collect();
        assert!(litter.is_empty(), "{litter:?}");
        let runs = fs::read_dir(pair(lab, side).join("runs")).map_or(0, Iterator::count);
        assert!(runs <= 11, "{runs} run folders on {}", side.host());
    }
}

fn pair(lab: &Lab, side: Side) -> PathBuf {
    lab.state_dir(side).join("pairs").join(PAIR)
}

/// How many items the engines of the newest run on the laptop have finished.
fn finished(lab: &Lab) -> usize {
    let mut runs = Vec::new();
    names(&pair(lab, Side::Laptop).join("runs"), &mut runs);
    let newest = runs
        .iter()
        .filter(|p| p.parent().unwrap().ends_with("runs"))
        .max();
    let mut ends = 0;
    for file in runs.iter().filter(|p| {
        newest.is_some_and(|n| p.starts_with(n)) && p.extension().is_some_and(|e| e == "err")
    }) {
        let text = fs::read(file).unwrap_or_default();
        ends += String::from_utf8_lossy(&text).matches("[END] ").count();
    }
    ends
}

/// Kills one of the three at ten points. With UBOS_TORTURE every point of each, otherwise every third, so that together
/// the three tests meet all ten.
fn killed_at_ten_points(first: usize, kill: impl Fn(&mut Lab, &lab::Running)) {
    let mut lab = lab();
    change(&lab, 0);
    lab.run(&["truth", "--apply"]).expect(0);
    let step = if std::env::var_os("UBOS_TORTURE").is_some() {
        1
    } else {
        3
    };
    for (round, point) in (first..10).step_by(step).enumerate() {
        let when = format!("killed at {point}/10");
        let changes = change(&lab, round + 1);
        let before = finished(&lab);
        let mut run = lab.spawn(&["truth", "--apply"]);
        wait_until("the apply has come so far", || {
            let now = finished(&lab);
            // Another run's folder is the newest only once this run has one.
            run.finished() || (now != before && now > point * CHANGES / 12)
        });
        kill(&mut lab, &run);
        let died = run.wait();
        changes.assert_whole(&lab, &when);
        let next = lab.run(&["truth", "--apply", "--wait", "20s"]);
        assert_eq!(next.code, 0, "{when}\nfirst: {died}\nnext: {next}");
        changes.assert_done(&lab, &when);
        lab.assert_equal_truth(&[]);
        assert_clean(&lab);
        lab.run(&["runs", "verify"]).expect(0);
        if died.code == 137 {
            let list = lab.run(&["runs", "list", "--json"]).expect(0);
            assert!(list.stdout.contains("\"interrupted\""), "{when}\n{list}");
        }
    }
}

#[test]
fn cr_01_04_killed_at_any_point_every_file_is_whole_and_the_next_run_finishes() {
    if ready() {
        killed_at_ten_points(0, |_, run| run.kill());
    }
}

#[test]
fn cr_03_sixty_quick_kills_block_no_later_run() {
    if !ready() {
        return;
    }
    let lab = lab();
    lab.write(Side::Laptop, "docs/0.md", "a");
    lab.write(Side::Laptop, "docs/1.md", "a");
    lab.run(&["truth", "--apply"]).expect(0);
    let mut took = Duration::from_millis(900);
    for n in 0..60_u32 {
        let n = n as usize;
        // Each side has its own file: a conflict would keep its loser, and that is another matter.
        let path = format!("docs/{}.md", n % 2);
        lab.write(side(n), &path, whole("kill", n));
        let run = lab.spawn(&["truth", "--apply"]);
        // From hardly begun to nearly done.
        std::thread::sleep(took.mul_f64((n * 7 % 60) as f64 / 60.0));
        run.kill();
        run.wait();
        if n % 20 == 19 {
            let began = Instant::now();
            let next = lab.run(&["truth", "--apply", "--wait", "20s"]);
            assert_eq!(next.code, 0, "after {} kills: {next}", n + 1);
            took = began.elapsed().min(Duration::from_secs(2));
            assert_eq!(lab.read_text(side(n + 1), &path), whole("kill", n));
            assert_clean(&lab);
        }
    }
    lab.assert_equal_truth(&[]);
    lab.run(&["runs", "verify"]).expect(0);
}

#[test]
fn cr_01_a_killed_engine_leaves_every_file_whole_and_the_next_run_finishes() {
    if ready() {
        killed_at_ten_points(1, |_, run| {
            run.kill_program("unison");
        });
    }
}

#[test]
fn cr_10_a_killed_far_end_leaves_every_file_whole_and_the_next_run_finishes() {
    if ready() {
        killed_at_ten_points(2, |lab, _| lab.sshd().kill_sessions());
    }
}

#[test]
fn cr_02_a_stop_wish_closes_the_record_and_leaves_no_process() {
    if !ready() {
        return;
    }
    let mut lab = lab();
    lab.write(Side::Laptop, "docs/a.md", "a");
    for (at, host, signal, code) in [
        (At::Start, Side::Server, Signal::TERM, 143),
        (At::Start, Side::Laptop, Signal::INT, 130),
        (At::Proceed, Side::Laptop, Signal::TERM, 143),
        (At::Proceed, Side::Laptop, Signal::INT, 130),
    ] {
        let gate = lab.gate(host, at);
        let run = lab.spawn(&["truth", "--apply", "--json"]);
        gate.wait();
        run.signal(signal);
        let out = run.wait().expect(code);
        assert_eq!(out.json()["outcome"], "interrupted", "{out}");
        lab.no_stand_in(host, "unison");
        gate.open();
        wait_until("the server's sessions are over", || {
            lab.sshd().sessions().is_empty()
        });
        wait_until("nothing but the sshd is left", || {
            let left = lab.processes();
            left.iter().all(|p| p.command.contains("sshd"))
        });
        let id = out.json()["run"].as_str().unwrap().to_owned();
        let record = lab.run(&["runs", "show", &id, "--json"]).expect(0);
        assert_eq!(record.json()["outcome"], "interrupted", "{record}");
        assert_eq!(record.json()["complete"], true, "{record}");
    }
    lab.run(&["truth", "--apply"]).expect(0);
    lab.assert_equal_truth(&[]);
    assert_clean(&lab);
    lab.run(&["runs", "verify"]).expect(0);
}

/// Lets a run deliver everything and kills it where its commit renames on the given host.
fn die_at_commit(lab: &Lab, host: Side) {
    let gate = lab.gate_call(host, "mv", "*archives/.new-*");
    let run = lab.spawn(&["truth", "--apply"]);
    gate.wait();
    let rename: Vec<u32> = lab
        .processes()
        .iter()
        .filter(|p| p.command.contains("-bin/mv") || p.command.starts_with("sleep"))
        .map(|p| p.pid)
        .collect();
    run.kill();
    for pid in rename {
        lab::signal(pid, Signal::KILL);
    }
    run.wait().expect(137);
    lab.no_stand_in(host, "mv");
}

#[test]
fn cr_12_what_a_dead_run_delivered_and_its_user_deleted_stays_deleted() {
    if !ready() {
        return;
    }
    for died_on in Side::BOTH {
        for driver in Side::BOTH {
            let when = format!("died on {}, {} drives", died_on.host(), driver.host());
            let mut lab = lab();
            lab.server_policy("[guards]\nmax_delete = \"50%\"");
            for n in 0..9 {
                lab.write(Side::Laptop, format!("docs/{n}.md"), "kept");
            }
            lab.run(&["truth", "--apply"]).expect(0);
            lab.write(Side::Laptop, "docs/here.md", "1");
            lab.write(Side::Laptop, "docs/there.md", "2");
            lab.write(Side::Server, "docs/back.md", "3");
            lab.write(Side::Laptop, "whole/new/x.md", "4");
            lab.write(Side::Laptop, "whole/new/y.md", "5");
            lab.write(Side::Laptop, "whole/z.md", "6");
            lab.remove(Side::Laptop, "docs/0.md");
            die_at_commit(&lab, died_on);
            lab.assert_equal_truth(&[]);
            lab.remove(Side::Laptop, "docs/here.md");
            lab.remove(Side::Server, "docs/there.md");
            lab.remove(Side::Laptop, "docs/back.md");
            lab.remove(Side::Server, "whole/new/x.md");
            lab.write(Side::Server, "docs/0.md", "born again");
            lab.write(Side::Laptop, "whole/z.md", "edited");
            let out = lab.run_on(driver, &["truth", "--apply", "--json", "--wait", "20s"]);
            assert_eq!(out.code, 0, "{when}\n{out}");
            lab.assert_equal_truth(&[]);
            for gone in [
                "docs/here.md",
                "docs/there.md",
                "docs/back.md",
                "whole/new/x.md",
            ] {
                assert!(
                    !lab.exists(Side::Laptop, gone),
                    "{when}: {gone} came back\n{out}"
                );
            }
            assert_eq!(lab.read_text(Side::Laptop, "docs/0.md"), "born again");
            assert_eq!(lab.read_text(Side::Server, "whole/z.md"), "edited");
            assert_eq!(lab.read_text(Side::Server, "whole/new/y.md"), "5");
            let idle = lab.run_on(driver.other(), &["truth", "--apply", "--json"]);
            assert_eq!(idle.json()["outcome"], "in-sync", "{when}\n{idle}");
            assert_clean(&lab);
        }
    }
}

#[test]
fn cr_12_a_mode_that_a_dead_run_carried_says_nothing_of_what_lies_below() {
    if !ready() {
        return;
    }
    let mut lab = lab();
    lab.server_policy("[guards]\nmax_delete = \"100%\"");
    lab.write(Side::Laptop, "a/kept.md", "kept");
    lab.run(&["truth", "--apply"]).expect(0);
    lab.write(Side::Laptop, "a/b/c.md", "new");
    lab.chmod(Side::Server, "a", 0o700);
    die_at_commit(&lab, Side::Laptop);
    // As it is when the engine dies between the two: it has carried the mode, and not come to the directory.
    fs::remove_dir_all(lab.tree(Side::Server).join("a/b")).unwrap();
    let mut logs = 0;
    for run in fs::read_dir(pair(&lab, Side::Laptop).join("runs")).unwrap() {
        for file in fs::read_dir(run.unwrap().path()).unwrap() {
            let file = file.unwrap().path();
            if file.extension().is_some_and(|e| e == "err") {
                let said = fs::read_to_string(&file).unwrap();
                let mode = "[END] Copying properties for a\n";
                if said.contains(mode) {
                    fs::write(&file, mode).unwrap();
                    logs += 1;
                } else {
                    fs::write(&file, "").unwrap();
                }
            }
        }
    }
    assert_eq!(logs, 1, "the engine said that it carried the mode");
    let out = lab.run_on(
        Side::Server,
        &["truth", "--apply", "--json", "--wait", "20s"],
    );
    out.expect(0);
    assert_eq!(lab.read_text(Side::Laptop, "a/b/c.md"), "new");
    assert_eq!(lab.read_text(Side::Server, "a/b/c.md"), "new");
    lab.assert_equal_truth(&[]);
}

#[test]
fn cr_13_what_a_dead_run_had_taken_away_for_another_kind_comes_back() {
    if !ready() {
        return;
    }
    let lab = lab();
    lab.write(Side::Laptop, "docs/a.md", "kept");
    lab.write(Side::Laptop, "swap/in.md", "inside");
    lab.run(&["truth", "--apply"]).expect(0);
    fs::remove_dir_all(lab.tree(Side::Server).join("swap")).unwrap();
    lab.write(Side::Server, "swap", "a file now");
    // Which of two runs of one second was the last, their names do not tell.
    std::thread::sleep(Duration::from_millis(1_100));
    die_at_commit(&lab, Side::Laptop);
    // As it is for a moment: the directory is gone, the file not there yet.
    lab.remove(Side::Laptop, "swap");
    lab.run(&["rollback", "last", "--apply", "--wait", "20s"])
        .expect(0);
    assert_eq!(lab.read_text(Side::Laptop, "swap/in.md"), "inside");
    assert_eq!(lab.read_text(Side::Server, "swap"), "a file now");
}

/// A pair with three generations; the newest delivered `docs/2.md`.
fn three_generations() -> Lab {
    let lab = lab();
    for n in 0..3 {
        lab.write(Side::Laptop, format!("docs/{n}.md"), whole("text", n));
        lab.run(&["truth", "--apply"]).expect(0);
    }
    lab
}

fn newest(lab: &Lab, side: Side) -> PathBuf {
    let dir = fs::read_dir(pair(lab, side).join("archives")).unwrap();
    dir.flatten().map(|e| e.path()).max().unwrap()
}

#[test]
fn cr_06_damaged_engine_archives_heal_and_bring_nothing_back() {
    if !ready() {
        return;
    }
    for (damage, sides) in [
        ("missing", &[Side::Laptop][..]),
        ("truncated", &[Side::Server]),
        ("flipped", &Side::BOTH),
        ("empty", &[Side::Server]),
        ("missing", &Side::BOTH),
        ("truncated", &Side::BOTH),
    ] {
        let lab = three_generations();
        for side in sides {
            let dir = newest(&lab, *side).join("unison");
            for file in fs::read_dir(&dir).unwrap().flatten().map(|e| e.path()) {
                let mut bytes = fs::read(&file).unwrap();
                let half = bytes.len() / 2;
                match damage {
                    "missing" => {
                        fs::remove_file(&file).unwrap();
                        continue;
                    }
                    "truncated" => bytes.truncate(half),
                    "flipped" => bytes.iter_mut().skip(half).for_each(|b| *b ^= 0xff),
                    _ => bytes.clear(),
                }
                fs::write(&file, bytes).unwrap();
            }
        }
        lab.remove(Side::Laptop, "docs/0.md");
        lab.remove(Side::Server, "docs/1.md");
        lab.write(Side::Server, "docs/3.md", "more");
        let out = lab.run(&["truth", "--apply"]);
        assert_eq!(out.code, 0, "{damage} on {sides:?}\n{out}");
        lab.assert_equal_truth(&[]);
        assert_eq!(
            lab.snapshot(Side::Laptop).paths(),
            [".ubos-root", "docs", "docs/2.md", "docs/3.md"],
            "{damage} on {sides:?}"
        );
    }
}

#[test]
fn cr_06_a_damaged_manifest_deletes_nothing_that_no_user_deleted() {
    if !ready() {
        return;
    }
    for side in Side::BOTH {
        let lab = three_generations();
        let file = newest(&lab, side).join("manifest");
        let mut bytes = fs::read(&file).unwrap();
        let half = bytes.len() / 2;
        bytes[half] ^= 0xff;
        fs::write(&file, bytes).unwrap();
        lab.write(Side::Server, "docs/3.md", "more");
        for _ in 0..2 {
            let out = lab.run(&["truth", "--apply"]);
            assert_eq!(out.code, 0, "damaged on {}\n{out}", side.host());
            lab.assert_equal_truth(&[]);
            for n in 0..4 {
                assert!(lab.exists(Side::Laptop, format!("docs/{n}.md")));
            }
        }
    }
}

/// What the run before took away must not come back by an older base, so that the other host's copy of the newest is what counts.
#[test]
fn cr_06_a_manifest_that_is_damaged_on_one_host_is_read_from_the_other_and_written_anew() {
    if !ready() {
        return;
    }
    for side in Side::BOTH {
        for file in ["manifest", "delta"] {
            let mut lab = three_generations();
            lab.server_policy("[guards]\nmax_delete = \"50%\"");
            lab.write(Side::Laptop, "docs/born.md", "young");
            lab.run(&["truth", "--apply"]).expect(0);
            fs::write(newest(&lab, side).join(file), "d\t755\tdocs\n").unwrap();
            // Unknown to every older base, so that by one of those it would go over again instead of away.
            lab.remove(Side::Laptop, "docs/born.md");
            let out = lab.run(&["truth", "--apply"]).expect(0);
            assert!(
                !lab.exists(Side::Server, "docs/born.md"),
                "{file} on {side:?}\n{out}"
            );
            lab.assert_equal_truth(&[]);
            // The host that was damaged can drive, and has a sound one afterwards.
            lab.write(side, "docs/4.md", "x");
            lab.run_on(side, &["truth", "--apply"]).expect(0);
            lab.assert_equal_truth(&[]);
            let both = Side::BOTH.map(|s| fs::read(newest(&lab, s).join("manifest")).unwrap());
            assert_eq!(both[0], both[1], "{file} on {side:?}");
        }
    }
}

#[test]
fn cr_06_a_damaged_manifest_is_read_from_the_other_host() {
    if !ready() {
        return;
    }
    for side in Side::BOTH {
        let lab = three_generations();
        lab.remove(Side::Laptop, "docs/1.md");
        lab.run(&["truth", "--apply"]).expect(0);
        // Somebody takes it from his backup: older generations know it so.
        lab.write(Side::Server, "docs/1.md", whole("text", 1));
        fs::write(newest(&lab, side).join("manifest"), "damaged").unwrap();
        lab.run(&["truth", "--apply"]).expect(0);
        lab.assert_equal_truth(&[]);
        let text = lab.read_text(Side::Server, "docs/1.md");
        assert_eq!(text, whole("text", 1), "damaged on {}", side.host());
    }
}

#[test]
fn vm_03_an_engine_that_cannot_read_the_memory_of_the_one_before_deletes_and_brings_back_what_it_should()
 {
    if !ready() || lab::unison_251().is_none() {
        return;
    }
    for is_foreign in [false, true] {
        let old = |side| (side, lab::Unison::V251);
        let mut builder = Lab::builder().in_memory();
        for (side, unison) in Side::BOTH.map(old) {
            builder = builder.unison(side, unison);
        }
        let lab = builder.build();
        lab.policy("[guards]\nmax_delete = 400\n");
        // More than an engine without a memory would be given.
        for n in 0..600 {
            lab.write(Side::Laptop, format!("d{}/{n}", n % 7), format!("{n}"));
        }
        lab.run(&["truth", "--apply"]).expect(0);
        for side in Side::BOTH {
            let engine = lab
                .root()
                .join(["laptop-bin/unison", "server-bin/unison"][side as usize]);
            fs::remove_file(&engine).unwrap();
            std::os::unix::fs::symlink("/usr/bin/unison", &engine).unwrap();
            for file in fs::read_dir(newest(&lab, side).join("unison"))
                .unwrap()
                .flatten()
            {
                let mut bytes = fs::read(file.path()).unwrap();
                if is_foreign && let Some(digit) = bytes.iter().position(u8::is_ascii_digit) {
                    bytes[digit] = b'9';
                    fs::write(file.path(), bytes).unwrap();
                }
            }
        }
        for n in 0..300 {
            lab.remove(Side::Laptop, format!("d{}/{n}", n % 7));
            lab.write(
                Side::Server,
                format!("d{}/{}", (n + 300) % 7, n + 300),
                "edited there",
            );
        }
        let json = lab.run(&["truth", "--apply", "--json"]).expect(0).json();
        let versions = json["lanes"][0]["versions"].to_string();
        assert!(!versions.contains("2.51"), "{versions}");
        lab.assert_equal_truth(&[]);
        for n in 0..300 {
            assert!(!lab.exists(Side::Server, format!("d{}/{n}", n % 7)));
            let other = format!("d{}/{}", (n + 300) % 7, n + 300);
            assert_eq!(lab.read_text(Side::Laptop, other), "edited there");
        }
        let again = lab.run(&["truth", "--apply", "--json"]).expect(0).json();
        assert_eq!(again["outcome"], "in-sync");
    }
}

/// A host that never drives has nobody else who would read it, and the doctor names this way out.
#[test]
fn cr_06_a_run_that_reads_everything_writes_what_is_damaged_over_there_anew() {
    if !ready() {
        return;
    }
    let lab = three_generations();
    fs::write(newest(&lab, Side::Server).join("manifest"), "damaged").unwrap();
    lab.run(&["truth", "--apply", "--full-scan"]).expect(0);
    let [here, there] = Side::BOTH.map(|s| fs::read(newest(&lab, s).join("manifest")).unwrap());
    assert!(here == there && here != b"damaged");
    // It is there once, and no reason to write another one.
    let made = newest(&lab, Side::Server);
    lab.run(&["truth", "--apply"]).expect(0);
    assert_eq!(newest(&lab, Side::Server), made);
}

#[test]
fn cr_05_lost_state_is_refused_with_evidence_and_united_on_request() {
    if !ready() {
        return;
    }
    for sides in [&[Side::Laptop][..], &[Side::Server], &Side::BOTH] {
        let lab = three_generations();
        for side in sides {
            fs::remove_dir_all(lab.state_dir(*side)).unwrap();
        }
        lab.remove(Side::Laptop, "docs/0.md");
        let before = Side::BOTH.map(|s| lab.snapshot(s));
        let out = lab.run(&["truth", "--apply", "--json"]).expect(3);
        let said = out.json()["findings"].to_string();
        // When neither host remembers, the records do.
        let witness = match sides {
            [one] => one.other().host(),
            _ => "on record",
        };
        assert!(
            said.contains("first_sync") && said.contains(witness),
            "{out}"
        );
        for (side, was) in Side::BOTH.iter().zip(&before) {
            was.assert_unchanged(&lab.tree(*side), "a refused run");
        }
        let args = ["truth", "--apply", "--allow", "first_sync"];
        lab.run(&args).expect(0);
        lab.assert_equal_truth(&[]);
        for n in 0..3 {
            assert!(
                lab.exists(Side::Laptop, format!("docs/{n}.md")),
                "{sides:?}"
            );
        }
        lab.remove(Side::Server, "docs/1.md");
        lab.run(&["truth", "--apply"]).expect(0);
        assert!(!lab.exists(Side::Laptop, "docs/1.md"));
    }
}

#[test]
fn cr_07_state_that_went_back_in_time_loses_nothing_and_converges() {
    if !ready() {
        return;
    }
    for sides in [&[Side::Laptop][..], &[Side::Server], &Side::BOTH] {
        let lab = three_generations();
        lab.write(Side::Server, "docs/1.md", "a later edit");
        for side in sides {
            fs::remove_dir_all(newest(&lab, *side)).unwrap();
        }
        for _ in 0..2 {
            lab.run(&["truth", "--apply"]).expect(0);
            lab.assert_equal_truth(&[]);
            for (n, text) in [
                (0, whole("text", 0)),
                (1, "a later edit".into()),
                (2, whole("text", 2)),
            ] {
                assert_eq!(lab.read_text(Side::Laptop, format!("docs/{n}.md")), text);
            }
        }
    }
}
