//! Many new files at one place: they go in one stream, never take the place of anything, and whatever keeps the stream from its end
//! leaves them to the engine of the same run.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;

use std::fs;
use std::path::PathBuf;

use lab::{Lab, Side, need};

const MAC: Side = Side::Laptop;
const BALAUR: Side = Side::Server;
/// More than the program takes for many.
const MANY: usize = 120;

fn pair() -> Option<Lab> {
    if !need(&["ssh", "sshd", "ssh-keygen", "unison", "rsync"]) {
        return None;
    }
    let lab = Lab::builder().injectable().in_memory().build();
    lab.policy("");
    for n in 0..6 {
        lab.write(MAC, format!("still/{n}"), "still");
    }
    lab.run(&["truth", "--apply"]).expect(0);
    Some(lab)
}

fn fill(lab: &Lab, side: Side, dir: &str) {
    for n in 0..MANY {
        lab.write(
            side,
            format!("{dir}/{}/{n}.md", n % 3),
            format!("{dir} {n}"),
        );
    }
}

/// Where a stand-in notes that it was called.
fn mark(lab: &Lab, name: &str) -> PathBuf {
    lab.root().join("tmp").join(name)
}

/// A unison that notes its calls; those for its version are none.
fn watch_the_engine(lab: &Lab) -> PathBuf {
    let mark = mark(lab, "engine-called");
    let note = format!(
        "[ \"$1\" = -version ] || : >{}\nexec \"$REAL\" \"$@\"",
        mark.display()
    );
    lab.stand_in(MAC, "unison", &note);
    mark
}

/// An rsync on the laptop that carries all and then does something, the first time.
fn afterwards(lab: &Lab, what: &str) -> PathBuf {
    let mark = mark(lab, "stream-came");
    let script = format!(
        "\"$REAL\" \"$@\"; c=$?; [ -e {0} ] || {{ : >{0}; {what}; }}; exit $c",
        mark.display()
    );
    lab.stand_in(MAC, "rsync", &script);
    mark
}

fn assert_clean(lab: &Lab) {
    for side in Side::BOTH {
        let left: Vec<String> = lab.snapshot(side).paths();
        let stage = left.iter().find(|p| p.contains(".unison."));
        assert_eq!(stage, None, "on {}", side.host());
    }
}

#[test]
fn many_new_files_go_without_the_engine_whatever_their_names_are() {
    let Some(lab) = pair() else { return };
    let engine = watch_the_engine(&lab);
    let odd: [&[u8]; 12] = [
        b"-n",
        b"#note",
        b";note",
        b" blank ",
        b"line\nbreak",
        b"\xff\xfe",
        b"back\\slash",
        b"*",
        b"'\"$(x)`",
        b"a -> b",
        b".hidden",
        b"\xc3\xa9",
    ];
    for (to, dir) in [(MAC, "from-mac"), (BALAUR, "from-balaur")] {
        fill(&lab, to, dir);
        for name in odd {
            lab.write_at(
                to,
                [dir.as_bytes(), b"/", name].concat(),
                name,
                1_700_000_000_123_456_789,
            );
            lab.write(to, [b"still/", dir.as_bytes(), name].concat(), name);
            lab.write(to, [dir.as_bytes(), b"/d", name, b"/in"].concat(), name);
        }
        for n in 0..MANY {
            lab.write(to, format!("still/{dir} {n}"), "beside what both have");
        }
        lab.mkdir(to, format!("{dir}/empty/deep"));
        lab.chmod(to, format!("{dir}/0/0.md"), 0o640);
        lab.chmod(to, format!("{dir}/0/3.md"), 0o755);
        lab.chmod(to, format!("{dir}/1"), 0o700);
        // State never crosses, in whatever it lies.
        lab.write(to, format!("{dir}/0/run_state.json"), "{}");
    }
    lab.run(&["truth", "--apply", "--allow", "all_changed"])
        .expect(0);
    assert!(!engine.exists(), "the engine was started");
    lab.assert_equal_truth(&["from-mac/0/run_state.json", "from-balaur/0/run_state.json"]);
    assert!(!lab.exists(BALAUR, "from-mac/0/run_state.json"));
    assert_eq!(lab.mode(BALAUR, "from-mac/0/0.md"), 0o640);
    assert_eq!(lab.mode(BALAUR, "from-mac/1"), 0o700);
    assert_clean(&lab);
    let again = lab.run(&["truth"]).expect(0);
    assert!(again.stdout.contains("in sync"), "{again}");
    lab.run(&["verify"]).expect(0);
    lab.run(&["rollback", "last", "--apply"]).expect(0);
    for side in Side::BOTH {
        assert_eq!(lab.exists(side, "from-mac/1"), side == MAC);
        assert_eq!(lab.exists(side, "from-balaur/1"), side == BALAUR);
    }
}

#[test]
fn what_appears_where_a_new_file_belongs_is_never_replaced() {
    let Some(lab) = pair() else { return };
    for n in 0..MANY {
        lab.write(MAC, format!("still/new {n}"), "from mac");
    }
    fill(&lab, MAC, "dir");
    let there = lab.tree(BALAUR).display().to_string();
    afterwards(
        &lab,
        &format!(
            "echo mine >'{there}/still/new 7'; mkdir -p {there}/dir/0; echo mine >{there}/dir/0/own"
        ),
    );
    let out = lab
        .run(&["truth", "--apply", "--allow", "all_changed"])
        .expect(1);
    assert_eq!(lab.read_text(BALAUR, "still/new 7"), "mine\n", "{out}");
    assert_eq!(lab.read_text(BALAUR, "dir/0/own"), "mine\n");
    // All else arrived, by the engine where the stream found something in its way.
    assert_eq!(lab.read_text(BALAUR, "still/new 8"), "from mac");
    for n in 0..MANY {
        assert_eq!(
            lab.read_text(BALAUR, format!("dir/{}/{n}.md", n % 3)),
            format!("dir {n}")
        );
    }
    assert_clean(&lab);
}

#[test]
fn what_is_edited_while_it_is_copied_is_left_to_the_engine() {
    for source in Side::BOTH {
        let Some(lab) = pair() else { return };
        fill(&lab, source, "dir");
        let file = lab.at(source, "dir/1/4.md");
        let came = afterwards(
            &lab,
            &format!("echo longer than before >>{}", file.display()),
        );
        lab.run(&["truth", "--apply", "--allow", "all_changed"])
            .expect(0);
        assert!(came.exists());
        lab.assert_equal_truth(&[]);
        assert!(
            lab.read_text(source.other(), "dir/1/4.md")
                .contains("longer")
        );
        assert_clean(&lab);
    }
}

#[test]
fn without_an_rsync_or_with_one_that_fails_the_engine_carries_all() {
    for (side, fault) in [
        (MAC, "exit 12"),
        (BALAUR, "exit 127"),
        (BALAUR, "kill -9 $$"),
        (MAC, "kill -9 $$"),
    ] {
        let Some(lab) = pair() else { return };
        fill(&lab, MAC, "dir");
        fill(&lab, BALAUR, "other");
        lab.stand_in(side, "rsync", fault);
        let engine = watch_the_engine(&lab);
        lab.run(&["truth", "--apply", "--allow", "all_changed"])
            .expect(0);
        assert!(engine.exists(), "{fault} on {}", side.host());
        lab.assert_equal_truth(&[]);
        assert_clean(&lab);
    }
}

#[test]
fn a_directory_that_became_a_link_leads_nobody_out_of_the_root() {
    let Some(lab) = pair() else { return };
    for n in 0..MANY {
        lab.write(MAC, format!("still/new {n}"), "from mac");
    }
    let outside = lab.root().join("tmp/outside");
    fs::create_dir(&outside).unwrap();
    let still = lab.at(BALAUR, "still");
    afterwards(
        &lab,
        &format!(
            "mv {0} {0}.away; ln -s {1} {0}; cp -R {0}.away/.unison* {1}/",
            still.display(),
            outside.display()
        ),
    );
    let out = lab.run(&["truth", "--apply", "--allow", "all_changed"]);
    assert_ne!(out.code, 0, "{out}");
    let names: Vec<_> = fs::read_dir(&outside)
        .unwrap()
        .map(|e| e.unwrap().file_name())
        .collect();
    assert!(
        names
            .iter()
            .all(|n| n.to_string_lossy().starts_with(".unison.")),
        "{names:?}"
    );
}

#[test]
fn cr_01_a_stream_that_dies_with_its_run_leaves_nothing_half_done() {
    // Which dies, and before (0) or behind (1) the stream.
    for (place, at) in [(MAC, 0), (MAC, 1), (BALAUR, 0)] {
        let Some(lab) = pair() else { return };
        fill(&lab, MAC, "dir");
        fill(&lab, BALAUR, "other");
        let held = mark(&lab, "held");
        let stop = format!(": >{}; sleep 30", held.display());
        let script = match at {
            0 => format!("{stop}; exec \"$REAL\" \"$@\""),
            _ => format!("\"$REAL\" \"$@\"; {stop}"),
        };
        lab.stand_in(place, "rsync", &script);
        let run = lab.spawn(&["truth", "--apply", "--allow", "all_changed"]);
        lab::wait_until("the stream stands", || held.exists());
        run.kill();
        run.wait();
        lab.no_stand_in(place, "rsync");
        for n in 0..MANY {
            let path = format!("dir/{}/{n}.md", n % 3);
            assert!(
                !lab.exists(BALAUR, &path) || lab.read_text(BALAUR, &path) == format!("dir {n}")
            );
        }
        let next = lab.run(&[
            "truth",
            "--apply",
            "--allow",
            "all_changed",
            "--wait",
            "20s",
        ]);
        assert_eq!(next.code, 0, "{next}");
        lab.assert_equal_truth(&[]);
        assert_clean(&lab);
        lab.run(&["runs", "verify"]).expect(0);
    }
}
