//! The programs of this host: there, and new enough for what is asked of them.

use super::{Book, Verdict};
use crate::host::process;
use crate::lanes::log::run::ours;
use crate::model::invocation::Invocation;
use crate::model::policy::{Policy, Scan};
use crate::model::text::neutral;
use crate::tool::rsync::Flavour;

struct Wanted {
    program: &'static str,
    flag: &'static str,
    why: &'static str,
    /// The oldest that will do, and what an older one lacks.
    floor: Option<((u32, u32), &'static str)>,
    package: &'static str,
}

fn wanted(policy: &Policy) -> Vec<Wanted> {
    let truth = policy.peers.iter().any(|p| p.truth);
    let logs = policy.peers.iter().any(|p| !p.logs.is_empty());
    let publish = policy.publish.as_ref();
    let targets = publish.iter().flat_map(|p| &p.targets);
    let mut remotes = policy.peers.iter().map(|p| &p.remote);
    let ssh = remotes.any(Option::is_some) || targets.into_iter().any(|t| t.remote.is_some());
    let scan = publish.is_some_and(|p| p.scan == Scan::Gitleaks);
    let all = [
        // The guard of the engine's version judges both hosts.
        (
            truth,
            "unison",
            "-version",
            "it carries the two-way lane",
            None,
        ),
        (
            logs || publish.is_some(),
            "rsync",
            "--version",
            "it pulls logs and publishes",
            None,
        ),
        (
            ssh,
            "ssh",
            "-V",
            "it reaches the peers",
            Some(((6, 8), "an older one does not know UpdateHostKeys")),
        ),
        (
            publish.is_some(),
            "git",
            "--version",
            "it reads what is published",
            Some(((2, 31), "an older one does not know --path-format")),
        ),
        (
            scan,
            "gitleaks",
            "version",
            "[publish] scan asks for it",
            Some(((8, 19), "an older one has no `gitleaks dir`")),
        ),
    ];
    let needed = all.into_iter().filter(|w| w.0);
    needed
        .map(|(_, program, flag, why, floor)| Wanted {
            program,
            flag,
            why,
            floor,
            package: if program == "ssh" {
                "openssh-client"
            } else {
                program
            },
        })
        .collect()
}

pub(super) fn rows(policy: &Policy, book: &mut Book) {
    for w in wanted(policy) {
        let (program, package) = (w.program, w.package);
        let Some(path) = process::which(program) else {
            book.bad(
                "program",
                format!("{program} is not installed: {}", w.why),
                match program {
                    "gitleaks" => "install gitleaks, or set [publish] scan = \"builtin\"".into(),
                    _ => format!("install {package}"),
                },
            );
            continue;
        };
        let asked = process::run(&Invocation::new(&path).args([w.flag]), &[]);
        let said = asked
            .map(|o| [o.stdout, o.stderr].concat())
            .unwrap_or_default();
        let said = String::from_utf8_lossy(&said).into_owned();
        let line = neutral(said.lines().next().unwrap_or_default());
        match w.floor {
            _ if program == "rsync" => {
                flavour(ours(&path), &line, book);
                holes(&line, book);
            }
            Some((least, lacks)) if release(&line).is_some_and(|v| v < least) => {
                book.bad(
                    "program",
                    format!(
                        "{program} is too old ({line}); {}.{} is the oldest that will do: {lacks}",
                        least.0, least.1
                    ),
                    format!("install a newer {package}"),
                );
            }
            _ => book.good("program", format!("{program}: {line}")),
        }
    }
}

/// The first two numbers of what a program says of its version.
fn release(line: &str) -> Option<(u32, u32)> {
    let at = line.find(|c: char| c.is_ascii_digit())?;
    let mut parts = line[at..].split(|c: char| !c.is_ascii_digit());
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

/// The release in which holes were closed that a hostile peer can use against who talks to it.
const MENDED: (u32, u32) = (3, 4);

/// Whether this host's rsync is old, and nobody has mended it since.
fn holes(line: &str, book: &mut Book) {
    if !line.starts_with("rsync ") || release(line).is_none_or(|v| v >= MENDED) {
        return;
    }
    // What a distribution mends keeps its number and gets another revision.
    let revision = ["${Version}", "rsync"];
    let asked = Invocation::new("dpkg-query")
        .args(["-W", "-f"])
        .args(revision);
    let said = process::run(&asked, &[]).map(|o| o.stdout);
    let said = neutral(&String::from_utf8_lossy(&said.unwrap_or_default()));
    if said.contains("+deb") || said.contains("ubuntu") {
        book.good("rsync", format!("{said}: mended by the distribution"));
        return;
    }
    let (major, minor) = MENDED;
    book.put(
        Verdict::Look,
        "rsync",
        format!(
            "{line} is older than {major}.{minor}, which closed holes that a hostile peer could use (CVE-2024-12084 to CVE-2024-12088)"
        ),
        "install rsync 3.4.1 or later, or the security update of your distribution",
    );
}

pub(super) fn flavour(flavour: Option<Flavour>, line: &str, book: &mut Book) {
    match flavour {
        Some(Flavour::Modern { zstd }) => book.good(
            "rsync",
            format!(
                "{line}: --append over a stub, so only new bytes of a log travel{}",
                if zstd { ", packed by zstd" } else { "" }
            ),
        ),
        Some(Flavour::Old) => {
            book.put(
                Verdict::Look,
                "rsync",
                format!("{line}: --append over a copy, so all of a log is read on both sides for each pull"),
                "install rsync 3 (on a Mac: brew install rsync)",
            );
        }
        None => {
            book.bad(
                "rsync",
                format!("no rsync that can append ({line})"),
                "install rsync 3",
            );
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_read_from_whatever_stands_around_it() {
        for (line, version) in [
            ("OpenSSH_9.2p1 Debian-2+deb12u10", Some((9, 2))),
            ("git version 2.47.3", Some((2, 47))),
            ("v8.18.0", Some((8, 18))),
            ("8.30.1", Some((8, 30))),
            ("no idea", None),
        ] {
            assert_eq!(release(line), version, "{line}");
        }
    }

    #[test]
    fn an_rsync_is_judged_by_how_it_appends() {
        let modern = |zstd| Some(Flavour::Modern { zstd });
        for (found, verdict, about) in [
            (
                modern(true),
                Verdict::Good,
                "over a stub, so only new bytes of a log travel, packed",
            ),
            (modern(false), Verdict::Good, "over a stub"),
            (Some(Flavour::Old), Verdict::Look, "all of a log is read"),
            (None, Verdict::Bad, "no rsync that can append (rsync 0)"),
        ] {
            let mut book = Book::of("mac");
            flavour(found, "rsync 0", &mut book);
            let row = &book.all[0];
            assert_eq!((row.verdict, row.host.as_str()), (verdict, "mac"));
            assert!(row.found.contains(about), "{}", row.found);
            assert_eq!(row.fix.is_empty(), verdict == Verdict::Good);
        }
    }
}
