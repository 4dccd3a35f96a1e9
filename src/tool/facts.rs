//! Parses what `find -printf` (GNU) or `stat -f` (BSD) say of paths, as the scripts frame it. Pure, works on bytes.
//!
//! GNU sample, `\0` between fields: `f\05\01700000000.1234567890\01700000001.5\042\0644\0./docs/a.md\0\0`.
//! Invariant: an entry whose path is not below the root, or a truncated list, is an error and never "absent".

use crate::model::entry::ContentHash;
use crate::model::number::{octal, signed, unsigned};
use crate::model::path::RelPath;
use crate::model::sorted::{Sorted, settle};
use crate::model::thread::joined;
use crate::model::tree::{Stat, What};
use crate::tool::remote::find;

/// A list of facts and the directories that could not be read.
#[derive(Debug, Default, PartialEq)]
pub struct Facts {
    /// In the order of their paths.
    pub stats: Vec<(RelPath, Stat)>,
    pub unreadable: Vec<RelPath>,
}

/// Parses the part of a reply from `<nonce> SWEEP style` on. `None` when it is cut or garbled.
pub fn parse_sweep(body: &[u8], nonce: &str) -> Option<Facts> {
    parse_sweep_beside(body, nonce, &Sorted::<()>::default())
}

/// The same; paths that are held already are shared with those who hold them.
pub fn parse_sweep_beside<V: Send + Sync>(
    body: &[u8],
    nonce: &str,
    beside: &Sorted<V>,
) -> Option<Facts> {
    let head = format!("{nonce} SWEEP ");
    let start = find(body, head.as_bytes())? + head.len();
    let rest = &body[start..];
    let line = rest.iter().position(|b| *b == b'\n')?;
    let style = &rest[..line];
    let rest = &rest[line + 1..];
    let mark = format!("\0\n{nonce} SWEPT ");
    let stop = find(rest, mark.as_bytes())?;
    let mut facts = Facts::default();
    match style {
        b"gnu" => gnu(&rest[..stop], beside, &mut facts)?,
        b"bsd" => bsd(&rest[..stop], nonce, &mut facts)?,
        _ => return None,
    }
    let tail = &rest[stop + mark.len()..];
    let tail = &tail[tail.iter().position(|b| *b == b'\n')? + 1..];
    // An empty name ends them: what follows is of another list, and without it the rest is missing.
    let mut names = tail.split(|b| *b == 0);
    loop {
        match names.next()? {
            b"" => break,
            name => facts.unreadable.push(below(name)?),
        }
    }
    names.next()?.starts_with(b"\n").then_some(facts)
}

/// The bytes of a GNU list without what differs from run to run, when nothing was unreadable and nothing is missing.
pub fn complete_list<'a>(sweep: &'a [u8], nonce: &str) -> Option<&'a [u8]> {
    let rest = sweep.strip_prefix(format!("{nonce} SWEEP gnu\n").as_bytes())?;
    let list = rest.strip_suffix(format!("\0\n{nonce} SWEPT 0\n\0\n").as_bytes())?;
    let is_one = find(list, format!("\0\n{nonce} SWEPT ").as_bytes()).is_none();
    (is_one && !list.is_empty()).then_some(list)
}

fn below(name: &[u8]) -> Option<RelPath> {
    RelPath::new(inner(name)?)
}

fn inner(name: &[u8]) -> Option<&[u8]> {
    match name {
        b"." => Some(b""),
        name => name.strip_prefix(b"./"),
    }
}

/// One record of a GNU list. By their names they are sorted before anything is made of them, since they are small.
#[derive(Clone, Copy)]
struct Record<'a> {
    whole: &'a [u8],
    name: &'a [u8],
}

impl<'a> Record<'a> {
    fn parent(&self) -> Option<&'a [u8]> {
        let cut = self.name.iter().rposition(|b| *b == b'/')?;
        Some(&self.name[..cut])
    }

    fn stat(&self) -> Option<Stat> {
        let mut f = self.whole.split(|b| *b == 0);
        let kind = f.next()?;
        let (size, mtime_ns, ctime_ns) = (
            unsigned(f.next()?)?,
            seconds(f.next()?)?,
            seconds(f.next()?)?,
        );
        let (ino, mode) = (unsigned(f.next()?)?, octal(f.next()?)? & 0o777);
        let what = match kind {
            b"f" => What::File,
            b"d" => What::Dir,
            b"l" => What::Link(f.nth(1)?.to_vec()),
            _ => What::Other,
        };
        Some(Stat {
            what,
            size,
            mtime_ns,
            ctime_ns,
            ino,
            mode,
        })
    }
}

fn gnu<V: Send + Sync>(bytes: &[u8], beside: &Sorted<V>, facts: &mut Facts) -> Option<()> {
    if bytes.is_empty() {
        return Some(());
    }
    let mut records = records(bytes)?;
    let half = records.len() / 2;
    if records.len() < MANY {
        by_name(&mut records);
    } else {
        let (some, others) = records.split_at_mut(half);
        std::thread::scope(|s| {
            s.spawn(|| by_name(others));
            by_name(some);
        });
        records.sort_by(|a, b| a.name.cmp(b.name));
    }
    records.dedup_by(|a, b| a.name == b.name);
    let (some, others) = records.split_at(half.min(records.len()));
    let (some, others) = if records.len() < MANY {
        (read(some, beside), read(others, beside))
    } else {
        std::thread::scope(|s| {
            let others = s.spawn(|| read(others, beside));
            (read(some, beside), joined(others))
        })
    };
    facts.stats = some?;
    facts.stats.append(&mut others?);
    Some(())
}

/// From here on two threads read a list.
const MANY: usize = 4000;

fn records(bytes: &[u8]) -> Option<Vec<Record<'_>>> {
    // The frame's own NUL took the place of the last one.
    let bytes = bytes.strip_suffix(b"\0").unwrap_or(bytes);
    let mut ends = memchr::memchr_iter(0, bytes).chain([bytes.len()]);
    let mut out = Vec::new();
    let mut start = 0;
    while let Some(first) = ends.next() {
        let mut end = [first; 8];
        for end in &mut end[1..] {
            *end = ends.next()?;
        }
        out.push(Record {
            whole: &bytes[start..end[7]],
            name: &bytes[end[5] + 1..end[6]],
        });
        start = end[7] + 1;
    }
    Some(out)
}

/// What lies in one directory comes together: sorted by itself, and then by whose first comes first, all of it is nearly in order, of
/// which the sort behind it makes use.
fn by_name(records: &mut [Record]) {
    let mut runs: Vec<&mut [Record]> = records
        .chunk_by_mut(|a, b| a.parent() == b.parent())
        .collect();
    for run in &mut runs {
        run.sort_unstable_by(|a, b| a.name.cmp(b.name));
    }
    runs.sort_unstable_by(|a, b| a[0].name.cmp(b[0].name));
    let all: Vec<Record> = runs
        .into_iter()
        .flat_map(|run| run.iter().copied())
        .collect();
    records.copy_from_slice(&all);
    records.sort_by(|a, b| a.name.cmp(b.name));
}

/// Makes facts of records that are in order. A path that lies `beside` is shared with what does.
fn read<V>(records: &[Record], beside: &Sorted<V>) -> Option<Vec<(RelPath, Stat)>> {
    let mut out = Vec::with_capacity(records.len());
    let Some(first) = records.first() else {
        return Some(out);
    };
    let mut held = beside.from(&below(first.name)?).map(|(p, _)| p).peekable();
    for record in records {
        let name = inner(record.name)?;
        while held.next_if(|p| p.as_bytes() < name).is_some() {}
        let path = match held.next_if(|p| p.as_bytes() == name) {
            Some(path) => path.clone(),
            None => RelPath::new(name)?,
        };
        out.push((path, record.stat()?));
    }
    Some(out)
}

fn bsd(bytes: &[u8], nonce: &str, facts: &mut Facts) -> Option<()> {
    let frame = format!("\n{nonce}|");
    let mut rest = bytes;
    while let Some(at) = find(rest, frame.as_bytes()) {
        rest = &rest[at + frame.len()..];
        let end = find(rest, frame.as_bytes()).unwrap_or(rest.len());
        let record = &rest[..end];
        let mut f = record.splitn(7, |b| *b == b'|');
        let kind = f.next()?;
        let (size, mtime, ctime, ino, mode) =
            (f.next()?, f.next()?, f.next()?, f.next()?, f.next()?);
        let names = f.next()?;
        let cut = find(names, nonce.as_bytes())?;
        let target = &names[cut + nonce.len()..];
        // BSD stat ends each record with a line break and shows a link's target behind an arrow.
        let target = target.strip_suffix(b"\n").unwrap_or(target);
        if target.contains(&0) {
            return None;
        }
        let what = match kind {
            b"Regular File" => What::File,
            b"Directory" => What::Dir,
            b"Symbolic Link" => What::Link(target.strip_prefix(b" -> ").unwrap_or(target).to_vec()),
            _ => What::Other,
        };
        facts.stats.push((
            below(&names[..cut])?,
            Stat {
                what,
                size: unsigned(size)?,
                mtime_ns: seconds(mtime)?,
                ctime_ns: seconds(ctime)?,
                ino: unsigned(ino)?,
                mode: octal(mode)? & 0o777,
            },
        ));
    }
    settle(&mut facts.stats);
    Some(())
}

/// `1700000000.1234567890` (or without a fraction, or before 1970) in nanoseconds.
pub fn seconds(bytes: &[u8]) -> Option<i128> {
    let dot = bytes.iter().position(|b| *b == b'.');
    let (whole, fraction) = match dot {
        Some(dot) => (&bytes[..dot], &bytes[dot + 1..]),
        None => (bytes, &[][..]),
    };
    // A `date` without nanoseconds repeats the letter.
    let fraction = if fraction == b"N" { b"" } else { fraction };
    let mut ns: i64 = 0;
    for i in 0..9 {
        let digit = fraction.get(i).copied().unwrap_or(b'0');
        if !digit.is_ascii_digit() {
            return None;
        }
        ns = ns * 10 + i64::from(digit - b'0');
    }
    // Before 1970 as well the fraction counts forwards, from the second below.
    signed(whole)?
        .checked_mul(1_000_000_000)?
        .checked_add(ns.into())
}

/// Lines of the hash script for names without anything special: `<64 hex>  ./name`. `asked` rises; what was not asked for is not
/// believed.
pub fn parse_hashes(body: &[u8], asked: &[RelPath]) -> Vec<(RelPath, ContentHash)> {
    let mut out = Vec::with_capacity(asked.len());
    let mut next = 0;
    for line in body.split(|b| *b == b'\n') {
        let Some((hash, rest)) = line.split_at_checked(64) else {
            continue;
        };
        // Two blanks, or a blank and the mark of binary mode.
        let Some(name) = rest
            .strip_prefix(b"  ")
            .or_else(|| rest.strip_prefix(b" *"))
        else {
            continue;
        };
        let (Some(hash), Some(name)) = (ContentHash::parse(hash), inner(name)) else {
            continue;
        };
        // Mostly they come as they were asked for.
        let found = match asked.get(next) {
            Some(path) if path.as_bytes() == name => Ok(next),
            _ => asked.binary_search_by(|p| p.as_bytes().cmp(name)),
        };
        if let Ok(at) = found {
            out.push((asked[at].clone(), hash));
            next = at + 1;
        }
    }
    out
}

/// Lines of the hash script for odd names: one hash or an empty line for each, in order.
pub fn parse_hashes_in_order(body: &[u8], names: &[RelPath]) -> Vec<(RelPath, ContentHash)> {
    body.split(|b| *b == b'\n')
        .zip(names)
        .filter_map(|(line, path)| Some((path.clone(), ContentHash::parse(line)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const GNU: &[u8] = b"N SWEEP gnu\nf\x005\x001700000000.1234567890\x001700000001.5000000000\x0042\x00644\x00./docs/a\nb.md\x00\x00l\x003\x00-1.5000000000\x001\x0043\x00777\x00./ln\x00../x\x00\0\nN SWEPT 0\n\0\n";

    fn at<'f>(facts: &'f Facts, path: &str) -> &'f Stat {
        let path = RelPath::new(path).unwrap();
        &facts.stats.iter().find(|(p, _)| *p == path).unwrap().1
    }

    #[test]
    fn a_long_list_is_in_order_whatever_order_it_came_in() {
        let names = (0..MANY as u64 + 100).map(|n| n.wrapping_mul(0x9e37_79b9) % 977);
        let paths: Vec<String> = (0..)
            .zip(names)
            .map(|(i, n)| format!("./d{}{}/f{n}-{i}", n % 50, ["", "-x", "/y"][i % 3]))
            .collect();
        let record = |p: &String| format!("f\x005\x001.5\x002.5\x0042\x00644\x00{p}\x00\x00");
        let list: String = paths.iter().map(record).collect();
        let all = format!("N SWEEP gnu\n{list}\0\nN SWEPT 0\n\0\n");
        let facts = parse_sweep(all.as_bytes(), "N").unwrap();
        assert_eq!(facts.stats.len(), paths.len());
        assert!(facts.stats.is_sorted_by(|a, b| a.0 < b.0));
    }

    #[test]
    fn gnu_records_keep_line_breaks_targets_and_nanoseconds() {
        let facts = parse_sweep(GNU, "N").unwrap();
        let a = at(&facts, "docs/a\nb.md");
        assert_eq!(
            (a.size, a.mtime_ns, a.mode),
            (5, 1_700_000_000_123_456_789, 0o644)
        );
        let ln = at(&facts, "ln");
        assert_eq!(
            (&ln.what, ln.mtime_ns),
            (&What::Link(b"../x".to_vec()), -500_000_000)
        );
    }

    #[test]
    fn a_cut_or_foreign_list_is_an_error() {
        assert!(parse_sweep(&GNU[..60], "N").is_none());
        let evil =
            b"N SWEEP gnu\nf\x005\x001.0\x001.0\x0042\x00644\x00./../up\x00\x00\0\nN SWEPT 0\n\0\n";
        assert!(parse_sweep(evil, "N").is_none());
    }

    #[test]
    fn a_list_is_complete_only_when_all_could_be_read() {
        assert!(complete_list(GNU, "N").unwrap().starts_with(b"f\x005"));
        let unread = b"N SWEEP gnu\nd\0\0\nN SWEPT 1\n./locked\0\0\n";
        assert_eq!(complete_list(unread, "N"), None);
        let twice = [unread, &b"\0\nN SWEPT 0\n\0\n"[..]].concat();
        assert_eq!(complete_list(&twice, "N"), None);
        assert_eq!(complete_list(&GNU[..GNU.len() - 1], "N"), None);
        assert_eq!(
            complete_list(b"N SWEEP gnu\n\0\nN SWEPT 0\n\0\n", "N"),
            None
        );
    }

    #[test]
    fn unreadable_directories_are_named() {
        let body = b"N SWEEP gnu\n\0\nN SWEPT 1\n./locked\0\0\n";
        let facts = parse_sweep(body, "N").unwrap();
        assert_eq!(facts.unreadable, [RelPath::new("locked").unwrap()]);
    }

    #[test]
    fn names_that_could_not_be_read_end_where_their_list_ends() {
        // Of several lists in one answer, each is read by itself, whatever the targets of links in the next one are.
        let next = b"N-1 SWEEP gnu\nl\x003\x001.0\x001.0\x0043\x00777\x00./ln\x00../x\x00\0\nN-1 SWEPT 0\n\0\n";
        let body = [&b"N SWEEP gnu\n\0\nN SWEPT 1\n./locked\0\0\n"[..], next].concat();
        let facts = parse_sweep(&body, "N").unwrap();
        assert_eq!(facts.unreadable, [RelPath::new("locked").unwrap()]);
        for cut in [
            &b"./lock"[..],
            b"./locked\0",
            b"./locked\0\0",
            b"locked\0\0\n",
            b"",
        ] {
            let body = [&b"N SWEEP gnu\n\0\nN SWEPT 1\n"[..], cut].concat();
            assert_eq!(parse_sweep(&body, "N"), None, "{cut:?}");
        }
    }

    #[test]
    fn bsd_records_are_framed_by_the_nonce() {
        let body = b"N SWEEP bsd\n\nN|Regular File|5|1700000000.123456789|1700000001.5|42|644|./a\n|bN\n\nN|Symbolic Link|3|1.0|1.0|43|755|./lnN -> t\n\0\nN SWEPT 0\n\0\n";
        let facts = parse_sweep(body, "N").unwrap();
        assert_eq!(at(&facts, "a\n|b").size, 5);
        assert_eq!(at(&facts, "ln").what, What::Link(b"t".to_vec()));
    }

    #[test]
    fn a_bsd_list_of_which_a_piece_is_missing_is_an_error() {
        let body = b"N SWEEP bsd\n\nN|Symbolic Link|3|1.0|1.0|43|755|./lnN -> t\n\0./x\n\0\nN SWEPT 0\n\0\n";
        assert_eq!(parse_sweep(body, "N"), None);
    }

    #[test]
    fn hashes_are_matched_by_name() {
        let h = "a".repeat(64);
        let body = format!("{h}  ./x y\n{h} *./z\nshort  ./q\n\\{h}  ./esc\n");
        let asked = ["esc", "q", "x y", "z"].map(|p| RelPath::new(p).unwrap());
        for asked in [&asked[..], &asked[2..]] {
            let got = parse_hashes(body.as_bytes(), asked);
            let names: Vec<_> = got.iter().map(|(p, _)| p.as_bytes()).collect();
            assert_eq!(names, [&b"x y"[..], b"z"]);
        }
        // In whatever order, and nothing that was not asked for.
        let body = format!("{h}  ./z\n{h}  ./other\n{h}  ./x y\n");
        let got = parse_hashes(body.as_bytes(), &asked[1..]);
        let names: Vec<_> = got.iter().map(|(p, _)| p.as_bytes()).collect();
        assert_eq!(names, [&b"z"[..], b"x y"]);
    }
}
