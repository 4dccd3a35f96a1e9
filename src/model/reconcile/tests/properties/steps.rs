//! What users do to a disk, rolled and carried out.

use proptest::sample::Index;

use super::*;

const NAMES: [&str; 6] = ["a", "a-b", "b", "a.b", "c", "cache"];

/// What a user does to a disk.
#[derive(Debug, Clone)]
pub(super) enum Op {
    Create(Index, usize, i128),
    Mkdir(Index, usize, u32),
    Symlink(Index, usize, u8),
    Fifo(Index, usize),
    State(Index),
    Edit(Index, i128),
    SameEdit(Index, i128),
    Touch(Index, i128),
    Chmod(Index, u32),
    Delete(Index),
    RemoveTree(Index),
    Rename(Index, Index, usize),
    ToDir(Index, usize, i128),
    ToFile(Index, i128),
    /// The content, or the directory, can no longer be read.
    Lock(Index),
    Unlock,
}

pub(super) fn some_op(locks: bool) -> BoxedStrategy<Op> {
    let at = any::<Index>;
    let name = 0..NAMES.len();
    // A few times only, so that ties are common.
    let t = (0i128..4).prop_map(|s| s * 1_000_000_000);
    let mode = prop_oneof![Just(0o644u32), Just(0o600), Just(0o755), Just(0o700)];
    let plain = prop_oneof![
        6 => (at(), name.clone(), t.clone()).prop_map(|(d, n, t)| Op::Create(d, n, t)),
        4 => (at(), name.clone(), mode.clone()).prop_map(|(d, n, m)| Op::Mkdir(d, n, m)),
        1 => (at(), name.clone(), 0u8..2).prop_map(|(d, n, t)| Op::Symlink(d, n, t)),
        1 => (at(), name.clone()).prop_map(|(d, n)| Op::Fifo(d, n)),
        2 => at().prop_map(Op::State),
        6 => (at(), t.clone()).prop_map(|(p, t)| Op::Edit(p, t)),
        1 => (at(), t.clone()).prop_map(|(p, t)| Op::SameEdit(p, t)),
        2 => (at(), t.clone()).prop_map(|(p, t)| Op::Touch(p, t)),
        2 => (at(), mode).prop_map(|(p, m)| Op::Chmod(p, m)),
        4 => at().prop_map(Op::Delete),
        3 => at().prop_map(Op::RemoveTree),
        3 => (at(), at(), name.clone()).prop_map(|(p, d, n)| Op::Rename(p, d, n)),
        2 => (at(), name, t.clone()).prop_map(|(p, n, t)| Op::ToDir(p, n, t)),
        2 => (at(), t).prop_map(|(p, t)| Op::ToFile(p, t)),
    ];
    if locks {
        prop_oneof![12 => plain, 2 => at().prop_map(Op::Lock), 1 => Just(Op::Unlock)].boxed()
    } else {
        plain.boxed()
    }
}

/// Carries one step out; `token` makes what it writes recognisable ever after.
pub(super) fn perturb(disk: &mut Disk, op: &Op, token: u32) {
    let paths: Vec<RelPath> = disk.nodes.keys().cloned().collect();
    let mut dirs: Vec<RelPath> = vec![RelPath::root()];
    dirs.extend(paths.iter().filter(|p| disk.is_dir(p)).cloned());
    let files: Vec<RelPath> = paths
        .iter()
        .filter(|p| matches!(disk.nodes[*p], Node::File(..)))
        .cloned()
        .collect();
    let pick = |i: &Index, of: &[RelPath]| (!of.is_empty()).then(|| of[i.index(of.len())].clone());
    let child = |d: &Index, n: usize| dirs[d.index(dirs.len())].join(NAMES[n].as_bytes()).unwrap();
    match op {
        Op::Create(d, n, t) => disk.put(child(d, *n), Node::File(token, *t, 0o644)),
        Op::Mkdir(d, n, m) => disk.put(child(d, *n), Node::Dir(*m | 0o500)),
        Op::Symlink(d, n, t) => disk.put(child(d, *n), Node::Link(*t)),
        Op::Fifo(d, n) => disk.put(child(d, *n), Node::Fifo),
        Op::State(d) => {
            let dir = &dirs[d.index(dirs.len())];
            disk.put(
                dir.join(b"x_state.json").unwrap(),
                Node::File(token, 0, 0o644),
            );
        }
        Op::Edit(p, t) | Op::SameEdit(p, t) => {
            let token = if matches!(op, Op::Edit(..)) { token } else { 7 };
            if let Some(p) = pick(p, &files)
                && let Some(Node::File(c, at, _)) = disk.nodes.get_mut(&p)
            {
                (*c, *at) = (token, *t);
            }
        }
        Op::Touch(p, t) => {
            if let Some(p) = pick(p, &files)
                && let Some(Node::File(_, at, _)) = disk.nodes.get_mut(&p)
            {
                *at = *t;
            }
        }
        Op::Chmod(p, m) => {
            if let Some(p) = pick(p, &paths)
                && let Some(Node::File(_, _, mode) | Node::Dir(mode)) = disk.nodes.get_mut(&p)
            {
                *mode = *m;
            }
        }
        Op::Delete(p) => {
            if let Some(p) = pick(p, &paths)
                && disk.below(&p).is_empty()
            {
                disk.remove(&p);
            }
        }
        Op::RemoveTree(p) => {
            if let Some(p) = pick(p, &paths) {
                disk.remove(&p);
            }
        }
        Op::Rename(p, d, n) => {
            let Some(from) = pick(p, &paths) else { return };
            let to = child(d, *n);
            if to.is_within(from.as_bytes()) || disk.nodes.contains_key(&to) {
                return;
            }
            for old in disk.below(&from).into_iter().chain([from.clone()]) {
                let tail = &old.as_bytes()[from.as_bytes().len()..];
                let new = RelPath::new([to.as_bytes(), tail].concat()).unwrap();
                let node = disk.nodes.remove(&old).unwrap();
                disk.nodes.insert(new, node);
            }
        }
        Op::ToDir(p, n, t) => {
            if let Some(p) = pick(p, &files) {
                disk.nodes.insert(p.clone(), Node::Dir(0o755));
                disk.put(
                    p.join(NAMES[*n].as_bytes()).unwrap(),
                    Node::File(token, *t, 0o644),
                );
            }
        }
        Op::ToFile(d, t) => {
            if let Some(p) = pick(d, &dirs).filter(|p| !p.is_root()) {
                disk.remove(&p);
                disk.put(p, Node::File(token, *t, 0o644));
            }
        }
        Op::Unlock => (disk.unread, disk.unreadable) = Default::default(),
        Op::Lock(p) => {
            if let Some(p) = pick(p, &paths) {
                if disk.is_dir(&p) {
                    disk.unreadable.insert(p);
                } else if matches!(disk.nodes[&p], Node::File(..)) {
                    disk.unread.insert(p);
                }
            }
        }
    }
    // What no longer is there, or is something else now, is not locked either.
    let nodes = &disk.nodes;
    disk.unread
        .retain(|p| matches!(nodes.get(p), Some(Node::File(..))));
    disk.unreadable
        .retain(|p| matches!(nodes.get(p), Some(Node::Dir(_))));
}
