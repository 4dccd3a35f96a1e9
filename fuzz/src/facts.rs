//! Lists of files as the scripts frame them, and lists of hashes.

use ubos_sync::model::entry::ContentHash;
use ubos_sync::model::path::RelPath;
use ubos_sync::model::tree::What;
use ubos_sync::tool::facts::{
    Facts, complete_list, parse_hashes, parse_hashes_in_order, parse_sweep, seconds,
};

use super::{NONCE, assert_below};

pub fn check(data: &[u8]) {
    if let Some(facts) = parse_sweep(data, NONCE) {
        assert!(
            facts.stats.is_sorted_by(|a, b| a.0 < b.0),
            "each path once, in order"
        );
        // The shortest record takes more bytes than this.
        assert!((facts.stats.len() + facts.unreadable.len()) * 2 <= data.len());
        facts
            .stats
            .iter()
            .map(|(p, _)| p)
            .chain(&facts.unreadable)
            .for_each(assert_below);
        assert_eq!(parse_sweep(&written(&facts), NONCE).expect("ours"), facts);
        if complete_list(data, NONCE).is_some() {
            assert!(
                facts.unreadable.is_empty(),
                "a list that is complete has read everything"
            );
        }
    }
    // Whatever is named in it, so that something of it is found.
    let name = |line: &[u8]| RelPath::new(line.get(68..)?);
    let mut names: Vec<_> = data.split(|b| *b == b'\n').filter_map(name).collect();
    names.sort();
    names.dedup();
    for (path, hash) in parse_hashes(data, &names) {
        assert!(names.binary_search(&path).is_ok(), "it was asked for");
        assert_eq!(ContentHash::parse(&hash.hex()), Some(hash));
    }
    assert!(parse_hashes_in_order(data, &names).len() <= names.len());
    let _ = seconds(data);
}

/// The list of a GNU host that has these files.
fn written(facts: &Facts) -> Vec<u8> {
    let mut out = format!("{NONCE} SWEEP gnu\n").into_bytes();
    let dotted = |path: &[u8]| match path {
        b"" => b".".to_vec(),
        path => [b"./", path].concat(),
    };
    for (path, s) in &facts.stats {
        let (kind, target) = match &s.what {
            What::File => ("f", &[][..]),
            What::Dir => ("d", &[][..]),
            What::Link(target) => ("l", target.as_slice()),
            What::Other => ("p", &[][..]),
        };
        let time = |ns: i128| {
            format!(
                "{}.{:09}",
                ns.div_euclid(1_000_000_000),
                ns.rem_euclid(1_000_000_000)
            )
        };
        let numbers = [
            s.size.to_string(),
            time(s.mtime_ns),
            time(s.ctime_ns),
            s.ino.to_string(),
            format!("{:o}", s.mode),
        ];
        let fields = [kind.as_bytes()]
            .into_iter()
            .chain(numbers.iter().map(String::as_bytes));
        for field in fields.chain([dotted(path.as_bytes()).as_slice(), target]) {
            out.extend_from_slice(field);
            out.push(0);
        }
    }
    out.extend_from_slice(format!("\0\n{NONCE} SWEPT {}\n", facts.unreadable.len()).as_bytes());
    for path in &facts.unreadable {
        out.extend(dotted(path.as_bytes()));
        out.push(0);
    }
    out.extend_from_slice(b"\0\n");
    out
}
