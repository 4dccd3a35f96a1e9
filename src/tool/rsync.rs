//! rsync as it is used to pull a log into a stage: which one it is, its arguments, what its exit code means. Pure.
//!
//! Invariants: a log that is held is never rsync's destination; no text of a user stands in its arguments (the stand-in for ssh
//! changes into the directory, the name comes through `--files-from`); 2.6.9 and openrsync are one conservative case, because a
//! Mac's `rsync --version` does not tell which of the two will run.

use std::path::Path;

use crate::model::invocation::Invocation;

/// What one end's rsync can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flavour {
    /// samba's rsync from 3.0 on: protocol 30, a sparse stub is enough to get only what is new.
    Modern { zstd: bool },
    /// 2.6.9 and Apple's openrsync: protocol 29, which compares the whole prefix and therefore needs a copy of it.
    Old,
}

/// Flags that every rsync of ours must take. With `--version` behind them they are tried without anything being run.
pub const NEEDED: [&str; 5] = [
    "--times",
    "--append",
    "--partial",
    "--from0",
    "--files-from=/dev/null",
];
/// Only samba's rsync from 3.0 on takes this one.
pub const MODERN: &str = "--append-verify";

/// What an rsync can do, by the flags that it takes, not by what it says of itself: `modern` is its answer to `--version` when it
/// takes all of them, `old` whether it takes those that are needed.
pub fn flavour(modern: Option<&str>, old: bool) -> Option<Flavour> {
    match modern {
        // Apple's may learn a flag; it stays the one that compares the whole prefix.
        Some(said) if !said.starts_with("openrsync") => Some(Flavour::Modern {
            zstd: said.contains("zstd"),
        }),
        _ => (old || modern.is_some()).then_some(Flavour::Old),
    }
}

/// What both ends can do together.
pub fn together(here: Flavour, there: Flavour) -> Flavour {
    match (here, there) {
        (Flavour::Modern { zstd: a }, Flavour::Modern { zstd: b }) => {
            Flavour::Modern { zstd: a && b }
        }
        _ => Flavour::Old,
    }
}

/// One pull.
pub struct Pull<'a> {
    pub program: &'a Path,
    pub flavour: Flavour,
    /// Bytes per second, 0: as fast as it goes.
    pub bwlimit: u64,
    pub compress: bool,
    /// A private directory that holds `rsh`, the stand-in for ssh, and `name`, the name of the file with a NUL behind it.
    pub scratch: &'a Path,
    pub stage_dir: &'a Path,
}

pub fn pull(p: &Pull) -> Invocation {
    let mut args: Vec<String> = [
        // Times tell later runs which state of the log was pulled; nothing else of the file's properties matters.
        "--times",
        // Behind what the stage has, in place; never over it.
        "--append",
        // openrsync deletes the file it was appending to when the connection is cut, unless this is given.
        "--partial",
        // The one name, literally: neither a shell nor rsync's own wildcards get to see it.
        "--from0",
        "--files-from=name",
        // One word, relative to where it runs, because rsync splits this at blanks.
        "-e",
        "./rsh",
    ]
    .map(String::from)
    .into();
    args.extend(limit(p.bwlimit));
    if p.compress && p.flavour == (Flavour::Modern { zstd: true }) {
        args.extend(["-z".into(), "--compress-choice=zstd".into()]);
    }
    Invocation::new(p.program)
        .args(args)
        .args(["--", "log:."])
        .args([p.stage_dir.as_os_str().to_owned()])
        .within(p.scratch)
}

/// The flag for so many bytes per second; 0 is no limit.
pub fn limit(bytes: u64) -> Option<String> {
    // KiB per second without a suffix: all versions understand that.
    (bytes > 0).then(|| format!("--bwlimit={}", bytes.div_ceil(1024)))
}

/// What became of a pull, as far as rsync's exit code tells. The bytes decide; this only says whether to try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    Fine,
    /// The connection, or the source changed: worth another try.
    Transient,
    Hopeless,
}

pub fn end_of(code: Option<i32>) -> End {
    match code {
        Some(0) => End::Fine,
        // 10 socket I/O, 12 protocol stream, 16 (openrsync's word for a cut), 20 signal, 23/24 partial or vanished, 30/35
        // timeouts, 255 ssh; no code: a signal.
        Some(10 | 12 | 16 | 20 | 23 | 24 | 30 | 35 | 255) | None => End::Transient,
        Some(_) => End::Hopeless,
    }
}

/// The exit code in words.
pub fn meaning(code: Option<i32>) -> String {
    let what = match code {
        None => return "a signal ended it".into(),
        Some(1 | 2 | 4) => "the two rsyncs do not understand each other",
        Some(3 | 11) => "a file could not be written or read",
        Some(5) => "the far side refused",
        Some(10 | 12 | 16 | 30 | 35 | 255) => "the connection broke",
        Some(20) => "it was interrupted",
        Some(23 | 24) => "the log changed or went away meanwhile",
        Some(127) => "there is no rsync on the far side",
        Some(_) => "it failed",
    };
    format!("{what} (rsync exit code {})", code.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_an_rsync_takes_decides_what_it_is() {
        let plain = Some(Flavour::Modern { zstd: false });
        assert_eq!(
            flavour(Some("rsync  version 3.0.9  protocol version 30"), true),
            plain
        );
        assert_eq!(
            flavour(Some("rsync  version v3.2.7\n  zstd lz4 zlibx"), true),
            Some(Flavour::Modern { zstd: true })
        );
        assert_eq!(flavour(None, true), Some(Flavour::Old));
        let apple = "openrsync: protocol version 29\nrsync version 2.6.9 compatible";
        assert_eq!(flavour(Some(apple), true), Some(Flavour::Old));
        // Upstream's openrsync knows no --append, and where there is no rsync nothing is taken.
        assert_eq!(flavour(None, false), None);
    }

    #[test]
    fn every_flag_of_a_pull_is_among_those_that_are_tried() {
        let p = Pull {
            program: Path::new("/usr/bin/rsync"),
            flavour: Flavour::Old,
            bwlimit: 0,
            compress: false,
            scratch: Path::new("/s"),
            stage_dir: Path::new("/d"),
        };
        for flag in pull(&p)
            .argv()
            .iter()
            .filter(|a| a.starts_with("--") && *a != "--")
        {
            let name = flag.split('=').next().unwrap();
            assert!(NEEDED.iter().any(|n| n.starts_with(name)), "{flag}");
        }
    }

    #[test]
    fn compression_needs_both_ends_and_old_ones_are_not_asked_for_it() {
        let (z, plain) = (
            Flavour::Modern { zstd: true },
            Flavour::Modern { zstd: false },
        );
        assert_eq!(together(z, plain), plain);
        assert_eq!(together(z, z), z);
        assert_eq!(together(z, Flavour::Old), Flavour::Old);
        let mut p = Pull {
            program: Path::new("/usr/bin/rsync"),
            flavour: z,
            bwlimit: 1500,
            compress: true,
            scratch: Path::new("/s"),
            stage_dir: Path::new("/d/.ubos-sync.x"),
        };
        insta::assert_snapshot!(pull(&p).argv().join(" "), @"/usr/bin/rsync --times --append --partial --from0 --files-from=name -e ./rsh --bwlimit=2 -z --compress-choice=zstd -- log:. /d/.ubos-sync.x");
        p.flavour = Flavour::Old;
        assert!(!pull(&p).argv().contains(&"-z".to_owned()));
    }

    #[test]
    fn only_what_may_pass_is_tried_again() {
        assert_eq!(end_of(Some(0)), End::Fine);
        for code in [12, 30, 255, 24] {
            assert_eq!(end_of(Some(code)), End::Transient);
        }
        for code in [1, 2, 5, 11, 127] {
            assert_eq!(end_of(Some(code)), End::Hopeless, "{}", meaning(Some(code)));
        }
    }
}
