//! Unison's text interface as bytes: the profile of one run, its prompts, what it says of each item. Pure.
//!
//! Recorded from 2.51.5 and 2.52.1, `-terse -dumbtty`, over pipes: an item and its prompt are
//! `changed  ====> changed    PATH  [f] ` (columns of 8, 5 and 8 bytes, three blanks, the raw path, two blanks).
//! Invariant: a name cannot forge an item: a prompt is read as the longest path that was asked for.

use std::collections::{HashMap, HashSet};

use crate::model::plan::Side;

/// What the text interface waits for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Prompt {
    /// More output is to come.
    NotYet,
    PressReturn,
    Item(Shown),
    Proceed,
    /// Any other question; the answer is always no.
    Other,
}

/// One item as the engine shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub path: Vec<u8>,
    pub local: String,
    pub arrow: String,
    pub peer: String,
}

const ARROWS: [&[u8]; 11] = [
    b"---->", b"<----", b"====>", b"<====", b"<-?->", b"<=?=>", b"--?->", b"<-?--", b"<-M->",
    b"error", b"     ",
];

/// Reads the end of what was heard since the last answer.
pub fn parse_prompt<V>(heard: &[u8], asked: &HashMap<Vec<u8>, V>) -> Prompt {
    let Some(body) = heard.strip_suffix(b"] ") else {
        return Prompt::NotYet;
    };
    let Some(bracket) = body.iter().rposition(|b| *b == b'[') else {
        return Prompt::NotYet;
    };
    if body.len() - bracket > 8 {
        return Prompt::NotYet;
    }
    let text = &body[..bracket];
    if text.ends_with(b"Press return to continue.") {
        return Prompt::PressReturn;
    }
    if text.ends_with(b"Proceed with propagating updates? ") {
        return Prompt::Proceed;
    }
    if text.ends_with(b"? ") {
        return Prompt::Other;
    }
    let Some(text) = text.strip_suffix(b"  ") else {
        return Prompt::NotYet;
    };
    let text = &text[text.len().saturating_sub(26 + LONGEST)..];
    let breaks = text.iter().enumerate().filter(|(_, b)| **b == b'\n');
    let starts = std::iter::once(0).chain(breaks.map(|(i, _)| i + 1));
    let items = starts.filter_map(|s| item(&text[s..]));
    // The longest that was asked for; a name with a line break in it must not pass for the name behind the break.
    let mut last = None;
    for item in items {
        if asked.contains_key(&item.path) {
            return Prompt::Item(item);
        }
        last = Some(item);
    }
    last.map_or(Prompt::NotYet, Prompt::Item)
}

/// No system takes a longer path, so nothing longer is one.
const LONGEST: usize = 4096;

fn item(line: &[u8]) -> Option<Shown> {
    let head = line.get(..26)?;
    let sound = head[8] == b' '
        && head[14] == b' '
        && &head[23..26] == b"   "
        && ARROWS.contains(&&head[9..14]);
    let word = |b: &[u8]| String::from_utf8_lossy(b).trim().to_owned();
    sound.then(|| Shown {
        path: line[26..].to_vec(),
        local: word(&head[..8]),
        arrow: word(&head[9..14]),
        peer: word(&head[15..23]),
    })
}

/// The key that makes side `to` what the other side is.
pub fn answer(to: Side) -> &'static [u8] {
    match to {
        Side::Peer => b">\n",
        Side::Local => b"<\n",
    }
}

pub const SKIP: &[u8] = b"/\n";
pub const YES: &[u8] = b"y\n";
pub const QUIT: &[u8] = b"q\n";
pub const RETURN: &[u8] = b"\n";

/// Why an engine ended before it had anything to ask.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Fatal {
    /// Its archives are damaged, locked or unequal: ours decide anyway, start it with empty ones.
    Archives(String),
    LostConnection(String),
    Other(String),
}

pub fn fatal(stderr: &str) -> Fatal {
    let line = stderr
        .lines()
        .find(|l| l.contains("rror:"))
        .or_else(|| stderr.lines().find(|l| !l.trim().is_empty()))
        .unwrap_or("it ended without a word");
    let said = crate::model::text::neutral(line.trim());
    let archives = [
        "archives are not identical",
        "archives are locked",
        "inconsistent state",
        "loading archive",
        "Archive format mismatch",
        "unmarshaling",
        "Archive file seems damaged",
        "Corrupted archive",
        "input_value:",
    ];
    if archives.iter().any(|a| stderr.contains(a)) {
        return Fatal::Archives(said);
    }
    if stderr.contains("Lost connection") || stderr.contains("Broken pipe") {
        return Fatal::LostConnection(said);
    }
    Fatal::Other(said)
}

/// What one line of the engine says that it has finished. A name may begin as the engine's own words do, and go on over lines that
/// may be its words, too: these are all that it can mean.
pub type Ended = Vec<(Vec<u8>, Extent)>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Extent {
    /// Its mode and times: nothing is said of what lies below it.
    Itself,
    WithAllBelow,
}

/// What the engine says it has finished: one `[END] Copying PATH` line each in its error stream.
/// A path may hold line breaks; an entry goes on to the next line that begins with `[`.
pub fn finished(stderr: &[u8]) -> Vec<Ended> {
    let mut done = Vec::new();
    let mut entry: Option<(Vec<u8>, Ended)> = None;
    for line in stderr.split_inclusive(|b| *b == b'\n') {
        let whole = line.strip_suffix(b"\n");
        if line.starts_with(b"[") || line.starts_with(b"Synchronization ") {
            done.extend(entry.take().map(|(_, ended)| ended));
            entry = whole
                .and_then(|l| l.strip_prefix(b"[END] "))
                .map(|text| (text.to_vec(), meanings(text)));
        } else if let (Some((text, ended)), Some(more)) = (&mut entry, whole)
            && text.len() < 2 * LONGEST
        {
            text.push(b'\n');
            text.extend_from_slice(more);
            ended.extend(meanings(text));
        }
    }
    done.extend(entry.map(|(_, ended)| ended));
    done
}

fn meanings(text: &[u8]) -> Ended {
    const VERBS: [(&[u8], Extent); 5] = [
        (b"Copying properties for ", Extent::Itself),
        (b"Copying ", Extent::WithAllBelow),
        (b"Updating file ", Extent::WithAllBelow),
        (b"Updating ", Extent::WithAllBelow),
        (b"Deleting ", Extent::WithAllBelow),
    ];
    let path = |(verb, extent): (&[u8], Extent)| Some((text.strip_prefix(verb)?.to_vec(), extent));
    VERBS.into_iter().filter_map(path).collect()
}

/// `Failed [PATH]: why` lines, first line of the reason.
pub fn failures(stdout: &[u8]) -> HashMap<Vec<u8>, String> {
    let mut out = HashMap::new();
    for line in stdout.split(|b| *b == b'\n') {
        if let Some(rest) = line.strip_prefix(b"Failed [")
            && let Some(cut) = crate::tool::remote::find(rest, b"]: ")
        {
            let why = crate::model::text::neutral_bytes(&rest[cut + 3..]);
            out.insert(rest[..cut].to_vec(), why);
        }
    }
    out
}

/// What one run adds to the static profile of its pair.
pub struct RunProfile<'a> {
    pub local_root: &'a str,
    pub peer_name: &'a str,
    /// Canonical and absolute.
    pub peer_root: &'a str,
    /// Our program that stands where the engine expects ssh.
    pub starter: &'a str,
    pub keep_marker_check: bool,
    /// Regex bytes.
    pub ignore: Vec<Vec<u8>>,
    /// Regex bytes: files whose previous version we keep ourselves.
    pub backup_not: Vec<Vec<u8>>,
}

/// Lines of the static profile that a run replaces by its own.
const OURS: [&[u8]; 8] = [
    b"root",
    b"path",
    b"confirmbigdel",
    b"sshargs",
    b"sshcmd",
    b"servercmd",
    b"log",
    b"logfile",
];

/// The static profile with this run's roots; every question about extent is answered by our guards, not by the engine.
pub fn run_profile(fixed: &[u8], run: &RunProfile) -> Vec<u8> {
    let mut out = Vec::with_capacity(fixed.len() + 512);
    for line in fixed.split(|b| *b == b'\n') {
        let key: &[u8] = line
            .split(|b| *b == b'=')
            .next()
            .unwrap_or_default()
            .trim_ascii();
        let value: &[u8] = line
            .splitn(2, |b| *b == b'=')
            .nth(1)
            .unwrap_or_default()
            .trim_ascii();
        let ours = OURS.contains(&key)
            // The two strategies that name a root would have to repeat it to the byte; every item is answered anyway.
            || (key == b"prefer" && value != b"newer")
            || (key == b"mountpoint" && !run.keep_marker_check);
        if ours || line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        out.extend_from_slice(line);
        out.push(b'\n');
    }
    let mut add = |key: &str, value: &[u8]| {
        out.extend_from_slice(key.as_bytes());
        out.extend_from_slice(b" = ");
        out.extend_from_slice(value);
        out.push(b'\n');
    };
    add("root", run.local_root.as_bytes());
    add(
        "root",
        format!("ssh://{}/{}", run.peer_name, run.peer_root).as_bytes(),
    );
    add("sshcmd", run.starter.as_bytes());
    add("confirmbigdel", b"false");
    add("log", b"false");
    for regex in &run.ignore {
        add("ignore", &[b"Regex ", regex.as_slice()].concat());
    }
    for regex in &run.backup_not {
        add("backupnot", &[b"Regex ", regex.as_slice()].concat());
    }
    out
}

/// Whether a path survives being written in a profile (blanks at its ends and line breaks do not).
pub fn fits_profile(path: &[u8]) -> bool {
    path.trim_ascii() == path && !path.iter().any(|b| b.is_ascii_control())
}

/// The `path` settings that make an engine look at every item, none of them twice. It reads a last component of `*` as
/// "everything in there", and only as its first root has it: there the directory itself is named, and what it shows
/// beyond the items goes unanswered. Nothing at all means the whole root.
pub fn paths_for<'a>(items: impl Iterator<Item = &'a [u8]> + Clone) -> Vec<&'a [u8]> {
    let parent = |path: &'a [u8]| match path.strip_suffix(b"/*") {
        Some(dir) => Some(dir),
        None => (path == b"*").then_some(&b""[..]),
    };
    let wide: HashSet<&[u8]> = items.clone().filter_map(parent).collect();
    if wide.contains(&b""[..]) {
        return Vec::new();
    }
    let above = |path: &[u8]| (0..path.len()).any(|i| path[i] == b'/' && wide.contains(&path[..i]));
    let mut paths: Vec<&[u8]> = items.map(|p| parent(p).unwrap_or(p)).collect();
    paths.retain(|p| !above(p));
    paths.sort_unstable();
    paths.dedup();
    paths
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_that_the_engine_would_expand_is_covered_by_its_directory() {
        let paths = |items: &[&'static str]| -> Vec<String> {
            paths_for(items.iter().map(|i| i.as_bytes()))
                .iter()
                .map(|p| String::from_utf8_lossy(p).into_owned())
                .collect()
        };
        assert_eq!(paths(&["a*", "d/x", "e/*.md"]), ["a*", "d/x", "e/*.md"]);
        assert_eq!(paths(&["d/*", "d/x", "d/y/z", "dx"]), ["d", "dx"]);
        assert_eq!(paths(&["d/*", "d/y/*"]), ["d"]);
        assert_eq!(paths(&["*", "x"]), Vec::<String>::new());
    }

    #[test]
    fn words_without_end_are_no_path() {
        // Each line could be the end of a path: kept for ever, they would be kept as often as there are lines.
        let words = [&b"[END] Deleting a\n"[..], &b"\n".repeat(1 << 18)].concat();
        let ended = finished(&words);
        let kept: usize = ended.iter().flatten().map(|(p, _)| p.len()).sum();
        assert!(kept < 64 << 20, "{kept}");
        let name = vec![b'x'; LONGEST];
        let long = [b"changed  ====> changed    ", name.as_slice(), b"  [f] "].concat();
        let Prompt::Item(shown) = parse_prompt(&long, &asked(&[])) else {
            panic!()
        };
        assert_eq!(shown.path, name);
    }

    fn asked(paths: &[&str]) -> HashMap<Vec<u8>, ()> {
        paths.iter().map(|p| (p.as_bytes().to_vec(), ())).collect()
    }

    #[test]
    fn prompts_of_2_52_are_understood() {
        let warning = b"Warning: No archive files were found\n\nPress return to continue.[<spc>] ";
        assert_eq!(parse_prompt(warning, &asked(&[])), Prompt::PressReturn);
        let first = b"\nlocal          hostb              \nfile     <==== file       both  [f] ";
        let Prompt::Item(shown) = parse_prompt(first, &asked(&["both"])) else {
            panic!()
        };
        assert_eq!(
            (shown.path.as_slice(), shown.arrow.as_str()),
            (&b"both"[..], "<====")
        );
        let next = b"file     ====> file       both  \n         <---- file       gone  [f] ";
        let Prompt::Item(shown) = parse_prompt(next, &asked(&["both", "gone"])) else {
            panic!()
        };
        assert_eq!(
            (
                shown.path.as_slice(),
                shown.local.as_str(),
                shown.peer.as_str()
            ),
            (&b"gone"[..], "", "file")
        );
        let last = b"         ====> dir        q  \n\nProceed with propagating updates? [] ";
        assert_eq!(parse_prompt(last, &asked(&[])), Prompt::Proceed);
        assert_eq!(
            parse_prompt(&last[..last.len() - 1], &asked(&[])),
            Prompt::NotYet
        );
    }

    #[test]
    fn a_name_with_a_line_break_cannot_forge_an_item() {
        let evil = "evil  \n  deleted  ---->            base";
        let heard = format!("file     ---->            {evil}  [f] ");
        let Prompt::Item(shown) = parse_prompt(heard.as_bytes(), &asked(&[evil, "base"])) else {
            panic!()
        };
        assert_eq!(shown.path, evil.as_bytes());
    }

    #[test]
    fn a_name_that_looks_like_a_prompt_waits_for_the_rest() {
        assert_eq!(
            parse_prompt(b"file     ---->            odd [x] ", &asked(&[])),
            Prompt::NotYet
        );
    }

    #[test]
    fn finished_items_and_failures_are_read_from_what_it_says() {
        let err = b"[BGN] Copying a b from /x to /y\n[END] Copying a b\n[BGN] Deleting q from /x\n";
        let all = |path: &str| (path.as_bytes().to_vec(), Extent::WithAllBelow);
        let own = |path: &str| (path.as_bytes().to_vec(), Extent::Itself);
        assert_eq!(finished(err), [vec![all("a b")]]);
        let odd = b"[END] Copying new\nline\n[END] Deleting z\nShortcut: copied z\n[END] cut";
        assert_eq!(
            finished(odd),
            [
                vec![all("new"), all("new\nline")],
                vec![all("z"), all("z\nShortcut: copied z")],
            ]
        );
        let mode = b"[END] Copying properties for d\n[END] Updating file f\n";
        assert_eq!(
            finished(mode),
            [
                vec![own("d"), all("properties for d")],
                vec![all("f"), all("file f")],
            ]
        );
        let out = failures(b"Failed [big]: Error in writing:\nNo space left on device\n");
        assert_eq!(out[&b"big".to_vec()], "Error in writing:");
    }

    #[test]
    fn fatal_ends_are_told_apart() {
        assert!(matches!(
            fatal("Fatal error: Warning: the archives are locked.\n"),
            Fatal::Archives(_)
        ));
        let damaged =
            "Fatal error: Archive file seems damaged (int64.read: unexpected size (254)): use the";
        assert!(matches!(fatal(damaged), Fatal::Archives(_)));
        assert!(matches!(
            fatal("Fatal error: Lost connection with the server"),
            Fatal::LostConnection(_)
        ));
        assert!(matches!(fatal(""), Fatal::Other(_)));
    }
}
