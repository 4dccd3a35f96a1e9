//! The list of a tree and the contents of its files, as git tells them: both in one answer, a form feed between them.

use ubos_sync::tool::git::{Item, ItemKind, parse_contents, parse_list};

use super::assert_below;

pub fn check(data: &[u8]) {
    let (list, answer) = super::halves(data, b'\x0c');
    let Some(items) = parse_list(list) else {
        return;
    };
    assert!(items.len() * 40 <= list.len());
    for item in &items {
        assert_below(&item.path);
        assert!(!item.path.is_root(), "a file has a name");
    }
    let written: Vec<u8> = items.iter().flat_map(written).collect();
    assert_eq!(parse_list(&written).expect("ours"), items);
    let wanted: Vec<&Item> = items
        .iter()
        .filter(|i| i.kind != ItemKind::Submodule)
        .collect();
    if let Some(contents) = parse_contents(answer, &wanted) {
        assert_eq!(contents.len(), wanted.len());
        assert!(contents.iter().map(|c| c.len()).sum::<usize>() <= answer.len());
    }
}

fn written(item: &Item) -> Vec<u8> {
    let (mode, kind, size) = match item.kind {
        ItemKind::File => ("100644", "blob", item.size.to_string()),
        ItemKind::Executable => ("100755", "blob", item.size.to_string()),
        ItemKind::Link => ("120000", "blob", item.size.to_string()),
        ItemKind::Submodule => ("160000", "commit", "-".into()),
    };
    let head = format!("{mode} {kind} {} {size}\t", item.object).into_bytes();
    [&head, item.path.as_bytes(), b"\0"].concat()
}
