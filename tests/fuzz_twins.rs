//! The fuzzers' properties on every run of the tests: their seeds, a bounded number of mutants of them, and long inputs made of
//! their pieces. `make fuzz` looks further.

#[path = "../fuzz/src/lib.rs"]
mod checks;

use std::path::{Path, PathBuf};
use std::time::Duration;

use proptest::prelude::*;
use proptest::test_runner::TestRunner;

use checks::{Check, TARGETS};

/// The seeds of a target, by name.
fn seeds(target: &str) -> Vec<Vec<u8>> {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/seeds")
        .join(target);
    let entries = std::fs::read_dir(&dir).unwrap_or_else(|e| panic!("{}: {e}", dir.display()));
    let mut files: Vec<PathBuf> = entries.map(|e| e.unwrap().path()).collect();
    files.sort();
    assert!(!files.is_empty(), "{target} has no seeds");
    files.iter().map(|f| std::fs::read(f).unwrap()).collect()
}

/// What befalls bytes. Places and lengths are taken modulo what there is.
#[derive(Debug, Clone)]
enum Change {
    Flip(usize, u8),
    Cut(usize, usize),
    Repeat(usize, usize, usize),
    /// A piece of this seed goes to that place.
    Splice(usize, usize, usize, usize),
    Number(usize, u64),
}

fn change() -> impl Strategy<Value = Change> {
    let at = any::<usize>;
    let big = prop_oneof![Just(u64::MAX), Just(1 << 63), Just(0), any::<u64>()];
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(i, b)| Change::Flip(i, b)),
        (at(), 0_usize..64).prop_map(|(i, n)| Change::Cut(i, n)),
        (at(), 1_usize..64, 2_usize..40).prop_map(|(i, n, k)| Change::Repeat(i, n, k)),
        (at(), at(), 1_usize..200, at()).prop_map(|(s, i, n, to)| Change::Splice(s, i, n, to)),
        (at(), big).prop_map(|(i, n)| Change::Number(i, n)),
    ]
}

fn changed(seeds: &[Vec<u8>], start: usize, changes: &[Change]) -> Vec<u8> {
    let mut bytes = seeds[start % seeds.len()].clone();
    for change in changes {
        let place = |i: usize| i % (bytes.len() + 1);
        match *change {
            Change::Flip(i, bits) => {
                let i = place(i);
                bytes.iter_mut().skip(i).take(1).for_each(|b| *b ^= bits);
            }
            Change::Cut(i, n) => {
                let i = place(i);
                bytes.drain(i..(i + n).min(bytes.len()));
            }
            Change::Repeat(i, n, times) => {
                let i = place(i);
                let piece = bytes[i..(i + n).min(bytes.len())].repeat(times);
                bytes.splice(i..i, piece);
            }
            Change::Splice(seed, i, n, to) => {
                let from = &seeds[seed % seeds.len()];
                let (i, to) = (i % (from.len() + 1), place(to));
                bytes.splice(to..to, from[i..(i + n).min(from.len())].iter().copied());
            }
            Change::Number(i, n) => {
                // In place of a number that stands there, the first one behind a place.
                let i = place(i);
                let Some(from) = (i..bytes.len()).find(|k| bytes[*k].is_ascii_digit()) else {
                    continue;
                };
                let digits = bytes[from..]
                    .iter()
                    .take_while(|b| b.is_ascii_digit())
                    .count();
                bytes.splice(from..from + digits, n.to_string().into_bytes());
            }
        }
    }
    bytes.truncate(64 << 10);
    bytes
}

fn twin(target: &str, cases: u32) {
    let check: Check = TARGETS.iter().find(|(name, _)| *name == target).unwrap().1;
    let seeds = seeds(target);
    seeds.iter().for_each(|seed| check(seed));
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    let inputs = (any::<usize>(), proptest::collection::vec(change(), 1..5));
    let result = TestRunner::new(config).run(&inputs, |(start, changes)| {
        check(&changed(&seeds, start, &changes));
        Ok(())
    });
    result.unwrap_or_else(|e| panic!("{e}"));
    grows_with_its_input(target, check, &seeds);
}

/// Where a piece of a seed stands as often as fits, eight times as much of it may take eight times as long. What a quadratic
/// parser takes is sixty-four times as much. The thread's own time is compared, which other programs do not change.
fn grows_with_its_input(target: &str, check: Check, seeds: &[Vec<u8>]) {
    for seed in seeds {
        for separator in [b'\n', b'\0', b','] {
            let pieces: Vec<&[u8]> = seed.split_inclusive(|b| *b == separator).collect();
            let step = pieces.len().div_ceil(4).max(1);
            for at in (0..pieces.len()).step_by(step) {
                let of = |length: usize| {
                    let times = length / pieces[at].len();
                    let middle = pieces[at].repeat(times);
                    [&pieces[..at].concat(), &middle, &pieces[at..].concat()]
                        .map(|p| &p[..])
                        .concat()
                };
                let (short, long) = (of(4 << 10), of(32 << 10));
                let is_much = || {
                    let (few, many) = (time(check, &short), time(check, &long));
                    many > FINE && many > few * 24
                };
                let much = is_much() && is_much() && is_much();
                let piece = String::from_utf8_lossy(pieces[at]);
                assert!(!much, "{target} takes too long over many of {piece:?}");
            }
        }
    }
}

/// So short a time says nothing.
const FINE: Duration = Duration::from_millis(40);

fn time(check: Check, bytes: &[u8]) -> Duration {
    let now = || {
        let t = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
        Duration::new(t.tv_sec.unsigned_abs(), u32::try_from(t.tv_nsec).unwrap())
    };
    let begun = now();
    check(bytes);
    now() - begun
}

/// One test for each target, so that they run beside one another.
macro_rules! twins {
    ($($target:ident: $cases:literal),+ $(,)?) => {
        $(#[test] fn $target() { twin(stringify!($target), $cases); })+

        #[test]
        fn every_target_has_a_twin_a_fuzzer_and_seeds() {
            let twins = [$(stringify!($target)),+];
            assert_eq!(TARGETS.map(|(name, _)| name), twins);
            let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/fuzz_targets");
            assert!(twins.iter().all(|t| dir.join(format!("{t}.rs")).is_file()));
            let all = std::fs::read_dir(dir).unwrap().count();
            assert_eq!(all, twins.len());
        }
    };
}

twins! {
    chain: 60,
    facts: 300,
    git: 300,
    glob: 150,
    listener: 300,
    log_probe: 300,
    memory: 300,
    policy: 60,
    publish: 300,
    record: 300,
    reply: 300,
    report: 300,
    unison: 300,
}
