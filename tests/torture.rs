//! Replicas, their users, every kind of accident: seeded sequences of steps against the real program, and a model that says
//! what may come of them. Every fourth sequence has a third host, with `mac` as the hub in the middle; every third one a target, to
//! which the commits of `mac` go and on which somebody works, too.
//!
//! | invariant | checked |
//! |---|---|
//! | I1 no torn file: a path holds a whole value that a user once put there, or nothing | after every step of the program |
//! | I2 nothing outside the roots, the state directories and the records changes; state and excluded files neither change nor cross; who takes no part in a run is not touched; what a target made itself stays | after every apply, publish and rollback, also broken ones |
//! | I3 a pull leaves its source alone, and everything here but the log; a publish every replica | after every pull and publish |
//! | I4 a dry run changes neither tree (to inode and nanosecond) nor what the pair remembers, but for booking what a dead run had delivered | after every dry run |
//! | I5 both sides are equal; the log is what it is over there; a target holds what its commit holds | after exit 0 and 4 |
//! | I6 a second run, driven by the other host, plans and changes nothing | after exit 0 and 4 |
//! | I7 what one side changed is on both, modes and changed types too | after exit 0 and 4 |
//! | I8, I9 an edit beats a delete; the newer edit wins; equal times and times to come are left; what was published and is wanted no more goes | after exit 0 and 4 |
//! | I10 what neither side had does not appear | after exit 0 and 4 |
//! | I11 what differs is named as left, and the exit code says so; a sentinel that names a commit tells the truth | after exit 0 and 4; `verify` at the end |
//! | I12 a value that was live is live or kept, for the rest of the sequence, where the record says; of a log every pulled line; of a target in its trash | after every step of the program |
//! | I13 a root that is not there is refused and left alone; `first_sync` speaks only behind damage, and none but it, `max_delete` and `clock_skew` | when a root is taken away; at every refusal |
//! | I14 what is not remembered is not deleted | the first run behind a damaged memory |
//! | I15, I16 two runs after a crash at most, one when a disk is well again, four rounds of a hub, then I5 and I6 | the next run after a broken one |
//! | I17 the plan that was shown is the one that is applied | an apply behind a dry run |
//! | I17 looking at some paths alone, or reading every file again, gives the same plan of them | every dry run with one peer |
//! | I18 every change stands in the record; the chain of records is whole | after exit 0; at the end |
//! | I19 an apply that was rolled back, by either host, killed or not, leaves both trees and the next plan as before; a target gets its earlier commit back | every rollback |
//! | I20 of two runs at once one works, the other has no effect | when both hosts start one |
//!
//! `UBOS_TORTURE=N` for N sequences, `UBOS_SEED=S` to begin with the sequence of that seed, `UBOS_STEPS=FILE` to play a list of
//! steps as a failure prints it. `make torture` for many.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]
#![expect(clippy::print_stderr, reason = "the seed is what repeats a failure")]

mod lab;
mod pair;
mod torture {
    pub mod check;
    pub mod errands;
    pub mod fan_out;
    pub mod fleet;
    pub mod judge;
    pub mod make;
    pub mod model;
    pub mod runs;
    pub mod script;
    pub mod shrink;
    pub mod users;
    pub mod world;
}

use std::io::Write as _;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use torture::make;
use torture::script::{Damage, Deed, Host, How, Path, Script, Step, When};
use torture::shrink::{Bound, shrink};
use torture::world::{Failure, World};

const PROGRAMS: [&str; 6] = ["ssh", "sshd", "ssh-keygen", "unison", "rsync", "git"];

/// Where the seeds of failures are kept.
const FAILURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/target/torture-failures.txt");

/// Plays a script; a panic of the lab is a failure like any other.
fn play(script: &Script) -> Result<(), Failure> {
    catch_unwind(AssertUnwindSafe(|| World::play(script))).unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let plain = panic.downcast_ref::<&str>().map(|s| (*s).to_owned());
        Err(Failure {
            step: 0,
            why: text.or(plain).unwrap_or_default(),
        })
    })
}

/// A shorter script that fails, too.
fn shortened(script: &Script) -> Script {
    let bound = Bound {
        runs: 60,
        time: Duration::from_secs(120),
    };
    // What depends on a moment may need more than one try.
    let tries = if script.has_moments() { 3 } else { 1 };
    let with = |steps| Script {
        steps,
        ..script.clone()
    };
    let steps = shrink(&script.steps, bound, |steps| {
        let script = with(steps.to_vec());
        (0..tries).any(|_| play(&script).is_err())
    });
    with(steps)
}

/// All sequences from a seed on, several at once: each waits for others a good part of its time.
fn sequences(seed: u64, n: u64) -> Vec<u64> {
    let (next, done) = (AtomicU64::new(0), AtomicU64::new(0));
    let failures = Mutex::new(Vec::new());
    let (began, shown) = (Instant::now(), Mutex::new(Instant::now()));
    let jobs = std::thread::available_parallelism()
        .map_or(4, |cores| 2 * cores.get())
        .min(8);
    let work = || {
        loop {
            let at = next.fetch_add(1, Ordering::Relaxed);
            if at >= n {
                return;
            }
            let seed = seed.wrapping_add(at);
            let script = make::script(seed);
            if let Err(failure) = play(&script) {
                failures.lock().unwrap().push(seed);
                tell(seed, &script, &failure);
            }
            let done = done.fetch_add(1, Ordering::Relaxed) + 1;
            let mut shown = shown.lock().unwrap();
            if done == n || shown.elapsed() >= Duration::from_secs(5) {
                *shown = Instant::now();
                let rate = done as f64 / began.elapsed().as_secs_f64();
                let bad = failures.lock().unwrap().len();
                let left = (n - done) as f64 / rate;
                eprintln!(
                    "torture: {done} of {n} done, {bad} failed, {:.0} a minute, {left:.0} s to go",
                    rate * 60.0
                );
            }
        }
    };
    std::thread::scope(|s| {
        for _ in 0..jobs {
            s.spawn(work);
        }
    });
    let mut failures = failures.into_inner().unwrap();
    failures.sort_unstable();
    failures
}

/// Prints what failed and how to see it again, keeps the seed, then looks for fewer steps.
fn tell(seed: u64, script: &Script, failure: &Failure) {
    eprintln!(
        "torture: FAILED at step {}: {}\nagain: UBOS_SEED={seed} UBOS_TORTURE=1 cargo test --test torture nothing_is_lost",
        failure.step, failure.why
    );
    let kept = std::fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(FAILURES);
    if let Ok(mut kept) = kept {
        let first = failure.why.lines().next().unwrap_or_default();
        let _ = writeln!(kept, "{seed}\t{first}");
    }
    let short = shortened(script);
    eprintln!(
        "torture: seed {seed} in {} of {} steps; save them and play them with UBOS_STEPS=FILE:\n{}",
        short.steps.len(),
        script.steps.len(),
        short.text()
    );
}

#[test]
fn nothing_is_lost_whatever_two_users_do_and_whatever_dies() {
    if !lab::need(&PROGRAMS) {
        return;
    }
    if let Some(file) = std::env::var_os("UBOS_STEPS") {
        let text = std::fs::read_to_string(&file).unwrap_or_else(|e| panic!("{file:?}: {e}"));
        let script = Script::parse(&text).unwrap_or_else(|e| panic!("{file:?}: {e}"));
        if let Err(failure) = play(&script) {
            panic!("failed at step {}: {}", failure.step, failure.why);
        }
        return;
    }
    let (seed, n) = (lab::seed(), lab::torture(40));
    eprintln!("torture: {n} sequences");
    let failures = sequences(seed, n);
    assert!(failures.is_empty(), "seeds that failed: {failures:?}");
}

#[test]
fn a_script_reads_back_as_it_was_written() {
    for seed in 0..500 {
        let script = make::script(seed);
        assert_eq!(Script::parse(&script.text()).as_ref(), Ok(&script));
        assert_eq!(make::script(seed), script);
    }
    for bad in [
        "",
        "near",
        "ssh\n{\"dry\":1}",
        "local\n{\"dry\":{\"driver\":\"mars\"}}",
    ] {
        assert!(Script::parse(bad).is_err(), "{bad:?}");
    }
}

#[test]
fn shrinking_leaves_the_steps_that_matter() {
    let bound = Bound {
        runs: 1000,
        time: Duration::from_secs(60),
    };
    let all: Vec<u32> = (0..60).collect();
    let needs = |steps: &[u32]| steps.contains(&7) && steps.contains(&41);
    assert_eq!(shrink(&all, bound, needs), [7, 41]);
    let few = Bound { runs: 3, ..bound };
    assert!(needs(&shrink(&all, few, needs)));
}

/// A pair with one value on both sides, and one look at it.
fn looked() -> (World, torture::world::Seen) {
    let mut world = World::new(&Script::default());
    let deed = Deed::Write {
        path: Path(b"a/f".to_vec()),
        tag: 1,
        len: 40,
        how: How::Place,
        when: When::At(0),
    };
    for host in [Host::Mac, Host::Balaur] {
        world.deed(host, &deed);
    }
    world.remember();
    let seen = world.look();
    (world, seen)
}

#[test]
fn the_checks_notice_what_they_are_there_for() {
    let fault = |harm: &dyn Fn(&World)| {
        let (mut world, before) = looked();
        harm(&world);
        let after = world.look();
        world
            .common(&before, &after, None)
            .err()
            .unwrap_or_default()
    };
    assert_eq!(fault(&|_| {}), "");
    let torn = fault(&|w| w.lab.write(lab::Side::Laptop, "a/f", "val"));
    assert!(torn.starts_with("I1"), "{torn}");
    let leaked = fault(&|w| w.lab.write(lab::Side::Server, "a/x_state.json", "state"));
    assert!(leaked.starts_with("I2"), "{leaked}");
    let outside = fault(&|w| std::fs::write(w.lab.root().join("outside/new"), "").unwrap());
    assert!(outside.starts_with("I2"), "{outside}");
    let lost = fault(&|w| {
        w.lab.remove(lab::Side::Laptop, "a/f");
        w.lab.remove(lab::Side::Server, "a/f");
    });
    assert!(lost.starts_with("I12"), "{lost}");
}

#[test]
fn the_checks_of_a_target_notice_what_they_are_there_for() {
    if !lab::need(&["git"]) {
        return;
    }
    // What a perfect publish does, then the harm.
    let fault = |harm: &dyn Fn(&std::path::Path)| {
        let mut world = World::new(&Script {
            target: Some(torture::script::Layout::InPlace),
            ..Script::default()
        });
        world.lab.write(lab::Side::Laptop, "a/f", "first");
        world.commit();
        let fleet = world.fleet.as_mut().unwrap();
        let (target, mac) = (fleet.root.clone(), world.lab.tree(lab::Side::Laptop));
        let bring = |rev: &str| {
            for name in ["keep", "a", "b"].iter().filter(|n| mac.join(n).exists()) {
                let to = target.join(name);
                std::fs::create_dir_all(&to).unwrap();
                for file in std::fs::read_dir(mac.join(name)).unwrap().flatten() {
                    std::fs::copy(file.path(), to.join(file.file_name())).unwrap();
                }
            }
            std::fs::copy(mac.join(".ubos-root"), target.join(".ubos-root")).unwrap();
            std::fs::write(target.join(".sync_rev"), rev).unwrap();
        };
        bring(&world.lab.git(&["rev-parse", "HEAD"]));
        fleet.judge(&lab::Snapshot::default()).unwrap();
        std::fs::write(target.join("own"), "own").unwrap();
        std::fs::write(target.join("x_state.json"), "own state").unwrap();
        fleet.remember();
        let before = fleet.look();
        world.lab.remove(lab::Side::Laptop, "a/f");
        world.lab.write(lab::Side::Laptop, "b/g", "second");
        world.commit();
        bring(&world.lab.git(&["rev-parse", "HEAD"]));
        let trash = target.join(".ubos-sync.publish/trash");
        std::fs::create_dir_all(&trash).unwrap();
        std::fs::rename(target.join("a/f"), trash.join("f")).unwrap();
        harm(&target);
        world.fleet.as_mut().unwrap().judge(&before).err()
    };
    let begins = |with: &str, harm: &dyn Fn(&std::path::Path)| {
        let said = fault(harm).unwrap_or_default();
        assert!(said.starts_with(with), "{with} was expected, not: {said}");
    };
    assert_eq!(fault(&|_| {}), None);
    begins("I1:", &|t| std::fs::write(t.join("b/g"), "sec").unwrap());
    begins("I2:", &|t| {
        std::fs::write(t.join("y_state.json"), "own").unwrap()
    });
    begins("I2:", &|t| {
        std::fs::rename(t.join("own"), t.join(".ubos-sync.publish/trash/own")).unwrap();
    });
    begins("I5:", &|t| std::fs::remove_file(t.join("b/g")).unwrap());
    begins("I8:", &|t| {
        std::fs::copy(t.join(".ubos-sync.publish/trash/f"), t.join("a/f")).unwrap();
    });
    begins("I11:", &|t| {
        std::fs::write(t.join(".sync_rev"), "INCOMPLETE").unwrap()
    });
    begins("I12:", &|t| {
        std::fs::remove_dir_all(t.join(".ubos-sync.publish")).unwrap()
    });
}

#[test]
fn a_damaged_memory_brings_back_and_never_deletes() {
    if !lab::need(&PROGRAMS) {
        return;
    }
    let write = |path: &[u8], tag| Step::User {
        host: Host::Mac,
        deed: Deed::Write {
            path: Path(path.to_vec()),
            tag,
            len: 16,
            how: How::Place,
            when: When::Now(0),
        },
    };
    let apply = Step::Apply {
        driver: Host::Mac,
        with: None,
        fault: None,
    };
    let steps = [
        write(b"a", 1),
        write(b"b/c", 2),
        apply.clone(),
        Step::User {
            host: Host::Balaur,
            deed: Deed::Remove {
                path: Path(b"a".to_vec()),
            },
        },
        Step::Damage {
            host: Host::Balaur,
            what: Damage::Pair,
        },
        apply,
    ];
    let script = Script {
        steps: steps.to_vec(),
        ..Script::default()
    };
    if let Err(failure) = play(&script) {
        panic!("step {}: {}", failure.step, failure.why);
    }
}
