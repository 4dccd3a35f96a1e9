//! Long lists folded by directory, so that a hundred thousand changes are still judged in ten seconds.
//!
//! Invariants: every item is in exactly one row; there are at most `limit` rows (one for each direction at least);
//! what needs little room is shown file by file, what needs much is one row with a count. Linear but for the sort.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

/// What is folded: a neutral path, the direction it belongs to, its size.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    pub path: String,
    pub to: String,
    pub bytes: u64,
    /// Index of the change, for the one who asked.
    pub index: usize,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Row {
    File(Item),
    /// Everything below `dir/`; `dir/*` is what lies in it and not in its directories.
    Dir {
        path: String,
        to: String,
        files: usize,
        bytes: u64,
    },
}

/// A run of the sorted items that have their first `depth` components in common.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Node {
    files: usize,
    start: usize,
    depth: usize,
    /// Files of one directory that were put together; cannot be opened.
    lump: bool,
}

/// At most `limit` rows for the items, in the order of their directions and paths.
pub fn fold(mut items: Vec<Item>, limit: usize) -> Vec<Row> {
    items.sort_by(|a, b| {
        let path = || by_place(&a.path, &b.path);
        b.to.cmp(&a.to).then_with(path)
    });
    if items.len() <= limit {
        return items.into_iter().map(Row::File).collect();
    }
    let mut open: BinaryHeap<Node> = BinaryHeap::new();
    let mut shut: Vec<Node> = Vec::new();
    for (start, files) in stretches(items.iter().map(|i| i.to.as_str())) {
        open.push(Node {
            files,
            start,
            depth: 0,
            lump: false,
        });
    }
    // The largest is opened first: it hides most.
    while let Some(node) = open.pop() {
        let rows = open.len() + shut.len();
        match children(&items, &node, limit.saturating_sub(rows)) {
            Some(children) => open.extend(children),
            None => shut.push(node),
        }
    }
    shut.sort_by_key(|n| (n.start, n.depth));
    shut.iter().map(|n| row(&items, n)).collect()
}

/// What a node opens into, when that fits: its entries, or its directories and the rest of it as one.
fn children(items: &[Item], node: &Node, room: usize) -> Option<Vec<Node>> {
    if node.files == 1 || node.lump {
        return None;
    }
    let part = &items[node.start..node.start + node.files];
    let names = part
        .iter()
        .map(|i| i.path.split('/').nth(node.depth).unwrap_or(""));
    let is_file = |n: &Node| n.files == 1 && items[n.start].path.split('/').nth(n.depth).is_none();
    let mut all = Vec::new();
    let mut dirs = 0;
    for (start, files) in stretches(names) {
        let child = Node {
            files,
            start: node.start + start,
            depth: node.depth + 1,
            lump: false,
        };
        dirs += usize::from(!is_file(&child));
        if dirs > room {
            return None;
        }
        all.push(child);
    }
    if all.len() <= room {
        return Some(all);
    }
    let direct: Vec<Node> = all.iter().filter(|n| is_file(n)).cloned().collect();
    if dirs == 0 || dirs + direct.len().min(1) > room {
        return None;
    }
    all.retain(|n| !is_file(n));
    all.extend(direct.first().map(|first| Node {
        files: direct.len(),
        start: first.start,
        depth: node.depth,
        lump: true,
    }));
    Some(all)
}

/// By path, the files of a directory before its directories, so that they are neighbours.
fn by_place(a: &str, b: &str) -> Ordering {
    let (a, b) = (a.as_bytes(), b.as_bytes());
    let common = a.iter().zip(b).take_while(|(x, y)| x == y).count();
    // The component in which they part begins behind the last separator they share.
    let start = a[..common]
        .iter()
        .rposition(|c| *c == b'/')
        .map_or(0, |i| i + 1);
    component(&a[start..]).cmp(&component(&b[start..]))
}

/// Whether more follows, and the first component.
fn component(rest: &[u8]) -> (bool, &[u8]) {
    match rest.iter().position(|c| *c == b'/') {
        Some(end) => (true, &rest[..end]),
        None => (false, rest),
    }
}

/// Start and length of each run of equal keys.
fn stretches<'a>(keys: impl Iterator<Item = &'a str>) -> Vec<(usize, usize)> {
    let mut all: Vec<(usize, usize)> = Vec::new();
    let mut last = None;
    for (i, key) in keys.enumerate() {
        match all.last_mut() {
            Some((_, n)) if last == Some(key) => *n += 1,
            _ => all.push((i, 1)),
        }
        last = Some(key);
    }
    all
}

fn row(items: &[Item], node: &Node) -> Row {
    let part = &items[node.start..node.start + node.files];
    let first = &part[0];
    if node.files == 1 {
        return Row::File(first.clone());
    }
    let dir: Vec<&str> = first.path.split('/').take(node.depth).collect();
    let dir = match dir.is_empty() {
        true => ".".into(),
        false => dir.join("/"),
    };
    Row::Dir {
        path: format!("{dir}/{}", if node.lump { "*" } else { "" }),
        to: first.to.clone(),
        files: node.files,
        bytes: part.iter().map(|i| i.bytes).sum(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn items(paths: impl IntoIterator<Item = String>) -> Vec<Item> {
        let item = |(index, path)| Item {
            path,
            to: "peer".into(),
            bytes: 10,
            index,
        };
        paths.into_iter().enumerate().map(item).collect()
    }

    fn words(rows: &[Row]) -> Vec<String> {
        let word = |r: &Row| match r {
            Row::File(i) => i.path.clone(),
            Row::Dir { path, files, .. } => format!("{path} {files}"),
        };
        rows.iter().map(word).collect()
    }

    fn total(rows: &[Row]) -> usize {
        let files = |r: &Row| match r {
            Row::File(_) => 1,
            Row::Dir { files, .. } => *files,
        };
        rows.iter().map(files).sum()
    }

    #[test]
    fn a_short_list_stays_whole() {
        let rows = fold(items(["b".into(), "a/x".into(), "a-b".into()]), 3);
        assert_eq!(words(&rows), ["a-b", "b", "a/x"]);
    }

    #[test]
    fn the_big_directory_folds_and_the_small_one_does_not() {
        let big = (0..500).map(|n| format!("missions/2025/run{n:03}.json"));
        let small = ["docs/a.md", "docs/b.md", "top"].map(String::from);
        let rows = fold(items(big.chain(small)), 8);
        assert_eq!(
            words(&rows),
            ["top", "docs/a.md", "docs/b.md", "missions/2025/ 500"]
        );
    }

    #[test]
    fn files_beside_many_directories_become_one_row() {
        let files = (0..50).map(|n| format!("a/f{n}"));
        let dirs = (0..40).map(|n| format!("a/d{}/x{n}", n % 2));
        let rows = fold(items(files.chain(dirs)), 5);
        assert_eq!(words(&rows), ["a/* 50", "a/d0/ 20", "a/d1/ 20"]);
    }

    #[test]
    fn nothing_is_lost_and_the_limit_holds_for_a_hundred_thousand() {
        let paths = (0..100_000).map(|n| format!("d{}/e{}/f{n}", n % 7, n % 91));
        let mut all = items(paths);
        all.iter_mut()
            .step_by(3)
            .for_each(|i| i.to = "local".into());
        for limit in [1, 2, 10, 50] {
            let rows = fold(all.clone(), limit);
            assert_eq!(total(&rows), 100_000);
            assert!(rows.len() <= limit.max(2), "{} > {limit}", rows.len());
        }
    }
}
