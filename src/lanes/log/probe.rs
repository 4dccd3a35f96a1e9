//! One question to a peer about all its logs, in one round trip.
//!
//! Invariant: an answer that is missing or odd is never taken for an empty or absent log.

use std::collections::HashMap;

use crate::host::link::{Link, LinkError};
use crate::model::entry::ContentHash;
use crate::model::log_state::Range;
use crate::model::number::unsigned;
use crate::model::path::RelPath;
use crate::model::tree::{Stat, What};
use crate::tool::rsync::{Flavour, flavour};
use crate::tool::{facts, remote};

/// What is asked about one file.
#[derive(Debug, Clone, Default)]
pub struct Item {
    /// Relative to the peer's root, or absolute.
    pub path: Vec<u8>,
    pub ranges: Vec<Range>,
    /// Lines behind this offset are counted, when they are few.
    pub tail: Option<u64>,
    /// It is packed with gzip, and meant is what is in it.
    pub packed: bool,
}

/// What stands at a path over there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum There {
    File(File),
    Missing,
    /// Not to be pulled: in words.
    Not(&'static str),
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct File {
    pub ino: u64,
    pub size: u64,
    pub mtime_ns: i128,
    pub hashes: HashMap<Range, String>,
    pub lines: Option<u64>,
}

/// The members of one glob's directory.
pub enum Members {
    All(Vec<(RelPath, Stat)>),
    /// Not all of it could be read.
    Partly(Vec<(RelPath, Stat)>),
    Missing,
    Outside,
}

pub struct Probe {
    pub has_root: bool,
    pub rsync: Option<Flavour>,
    pub globs: Vec<Members>,
    pub items: Vec<There>,
}

/// Asks. `program` is the peer's rsync, empty when nobody needs to know of it; `globs` are directories with a depth.
pub fn ask(
    link: &Link,
    root: &str,
    program: &str,
    globs: &[(Vec<u8>, usize)],
    items: &[Item],
) -> Result<Probe, LinkError> {
    let (g, n) = (globs.len().to_string(), items.len().to_string());
    let mut lines: Vec<String> = Vec::new();
    for (dir, depth) in globs {
        lines.extend([depth.to_string(), remote::escaped(dir)]);
    }
    for item in items {
        let ranges: Vec<String> = item
            .ranges
            .iter()
            .map(|(o, l)| format!("{o}:{l}"))
            .collect();
        lines.extend([
            u8::from(item.packed).to_string(),
            remote::escaped(&item.path),
            ranges.join(" "),
            item.tail.map_or(String::new(), |t| t.to_string()),
        ]);
    }
    let mut parameters = vec![root, program, &g, &n];
    parameters.extend(lines.iter().map(String::as_str));
    let (body, nonce) = link.call_with_nonce(remote::LOG_PROBE, &parameters, &[])?;
    parse(&body, &nonce, globs.len(), items.len()).ok_or_else(|| {
        LinkError::failed(
            format!("what {} said of its logs was garbled", link.name),
            "run it again",
        )
    })
}

/// Reads the answer to as many globs and files.
pub fn parse(body: &[u8], nonce: &str, globs: usize, items: usize) -> Option<Probe> {
    // Names of files stand only inside the lists of globs; what comes before and after them is words of ours.
    let last = format!("{nonce}-");
    let list_end = (0..globs)
        .rev()
        .find_map(|i| remote::find(body, format!("\0\n{last}{i} SWEPT ").as_bytes()));
    let list_start =
        (0..globs).find_map(|i| remote::find(body, format!("{last}{i} SWEEP ").as_bytes()));
    let head = &body[..list_start.unwrap_or(body.len())];
    let tail = list_end.map_or(&b""[..], |at| &body[at..]);
    let words: Vec<&str> = head
        .split(|b| *b == b'\n')
        .chain(tail.split(|b| *b == b'\n'))
        .filter_map(|l| std::str::from_utf8(l).ok())
        .collect();
    let value = |key: &str| {
        words
            .iter()
            .find_map(|l| l.strip_prefix(key)?.strip_prefix(' '))
    };
    let mut out = Probe {
        has_root: value("root").is_some(),
        rsync: flavour(value("modern"), value("old").is_some()),
        globs: Vec::new(),
        items: Vec::new(),
    };
    for i in 0..globs {
        out.globs.push(members(body, &format!("{last}{i}"))?);
    }
    // Looked through once, and not again for each of many logs.
    let mut said: HashMap<&str, Vec<(&str, &str)>> = HashMap::new();
    for (kind, rest) in words.iter().filter_map(|l| l.split_once(' ')) {
        if let ("item" | "hash" | "lines", Some((n, words))) = (kind, rest.split_once(' ')) {
            said.entry(n).or_default().push((kind, words));
        }
    }
    for j in 0..items {
        out.items.push(item(said.get(j.to_string().as_str())?)?);
    }
    Some(out)
}

fn members(body: &[u8], frame: &str) -> Option<Members> {
    let head = format!("{frame} SWEEP ");
    let list = &body[remote::find(body, head.as_bytes())?..];
    let style = &list[head.len()..];
    if style.starts_with(b"missing\n") {
        return Some(Members::Missing);
    }
    if style.starts_with(b"outside\n") {
        return Some(Members::Outside);
    }
    if style.starts_with(b"none\n") {
        return Some(Members::Partly(Vec::new()));
    }
    let swept = facts::parse_sweep(list, frame)?;
    let files = swept.stats.into_iter().filter(|(p, _)| !p.is_root());
    let whole = remote::find(list, format!("\0\n{frame} SWEPT 0\n").as_bytes()).is_some();
    Some(match whole {
        true => Members::All(files.collect()),
        false => Members::Partly(files.collect()),
    })
}

/// What was said of one file: `item`, `hash` and `lines`, each with the words behind its number.
fn item(said: &[(&str, &str)]) -> Option<There> {
    let all = |kind| {
        said.iter()
            .filter(move |(k, _)| *k == kind)
            .map(|(_, w)| *w)
    };
    let mut parts = all("item").next()?.split(' ');
    Some(match parts.next()? {
        "missing" => There::Missing,
        "link" => There::Not("is a symbolic link, which is never followed"),
        "directory" => There::Not("is a directory"),
        "outside" => There::Not("is reached through a link that leads out of the root"),
        "unreadable" => There::Not("may not be read by the user of the connection"),
        "file" => {
            let mut file = File {
                ino: unsigned(parts.next()?.as_bytes())?,
                size: unsigned(parts.next()?.as_bytes())?,
                mtime_ns: facts::seconds(parts.next()?.as_bytes())?,
                ..File::default()
            };
            for line in all("hash") {
                let (range, sum) = line.split_once(' ')?;
                let (o, l) = range.split_once(':')?;
                let range = (unsigned(o.as_bytes())?, unsigned(l.as_bytes())?);
                file.hashes
                    .insert(range, ContentHash::parse(sum.as_bytes())?.to_string());
            }
            file.lines = all("lines").find_map(|n| n.parse().ok());
            There::File(file)
        }
        _ => There::Not("is not a plain file"),
    })
}

/// A member of a glob as if it had been asked for by name.
pub fn there(stat: &Stat) -> There {
    match stat.what {
        What::File => There::File(File {
            ino: stat.ino,
            size: stat.size,
            mtime_ns: stat.mtime_ns,
            ..File::default()
        }),
        What::Link(_) => There::Not("is a symbolic link, which is never followed"),
        What::Dir => There::Not("is a directory"),
        What::Other => There::Not("is not a plain file"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_and_names_cannot_imitate_them() {
        let body = b"root 1\nmodern rsync  version 3.5.0  protocol version 32 zstd\nN-0 SWEEP gnu\nf\x005\x001.5\x002.5\x0042\x00644\x00./a\nitem 0 missing\n\x00\x00\0\nN-0 SWEPT 0\n\0\nitem 0 file 7 10 3.25\nhash 0 0:10 HASH\nlines 0 4\nitem 1 link\n";
        let hash = "ab".repeat(32);
        let body = String::from_utf8_lossy(body).replace("HASH", &hash);
        let body = body.as_bytes();
        let probe = parse(body, "N", 1, 2).unwrap();
        assert!(probe.has_root && probe.rsync == Some(Flavour::Modern { zstd: true }));
        let Members::All(all) = &probe.globs[0] else {
            panic!()
        };
        assert_eq!(all[0].0.as_bytes(), b"a\nitem 0 missing\n");
        let There::File(f) = &probe.items[0] else {
            panic!()
        };
        assert_eq!(
            (f.ino, f.size, f.mtime_ns, f.lines),
            (7, 10, 3_250_000_000, Some(4))
        );
        assert_eq!(f.hashes[&(0, 10)], hash);
        assert!(matches!(probe.items[1], There::Not(why) if why.contains("link")));
    }

    #[test]
    fn what_is_no_hash_is_not_compared_with_one() {
        for odd in ["", "abc", &"g".repeat(64)] {
            let body = format!("root 1\nitem 0 file 7 10 3.25\nhash 0 0:10 {odd}\n");
            assert!(parse(body.as_bytes(), "N", 0, 1).is_none(), "{odd}");
        }
    }

    #[test]
    fn a_link_in_one_directory_does_not_garble_the_list_before() {
        let list = |n: u8, kind: &str, target: &str| {
            format!(
                "N-{n} SWEEP gnu\n{kind}\x005\x001.5\x002.5\x0042\x00644\x00./a\x00{target}\x00\0\nN-{n} SWEPT 0\n\0\n"
            )
        };
        let body = format!("root 1\n{}{}", list(0, "f", ""), list(1, "l", "../a"));
        let probe = parse(body.as_bytes(), "N", 2, 0).unwrap();
        assert!(matches!(&probe.globs[0], Members::All(all) if all.len() == 1));
    }

    #[test]
    fn an_item_without_an_answer_is_an_error_and_not_missing() {
        assert!(parse(b"root 1\nitem 0 missing\n", "N", 0, 2).is_none());
        assert!(parse(b"root 1\n", "N", 1, 0).is_none());
    }
}
