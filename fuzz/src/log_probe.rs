//! What a peer says of its logs: two globs and three files were asked for.

use ubos_sync::lanes::log::probe::{Members, There, parse};

use super::{NONCE, assert_below};

pub fn check(data: &[u8]) {
    for (globs, items) in [(0, 0), (0, 2), (1, 2), (2, 3)] {
        let Some(probe) = parse(data, NONCE, globs, items) else {
            continue;
        };
        assert_eq!((probe.globs.len(), probe.items.len()), (globs, items));
        for glob in &probe.globs {
            let (Members::All(files) | Members::Partly(files)) = glob else {
                continue;
            };
            assert!(files.len() * 2 <= data.len() && files.is_sorted_by(|a, b| a.0 < b.0));
            for (path, _) in files {
                assert_below(path);
                assert!(!path.is_root());
            }
        }
        for item in &probe.items {
            if let There::File(file) = item {
                let hex = |h: &String| h.len() == 64 && h.bytes().all(|b| b.is_ascii_hexdigit());
                assert!(file.hashes.values().all(hex), "{:?}", file.hashes);
            }
        }
    }
}
