//! A pattern on the first line, names on those behind it: both translations of the pattern speak of the same names.

use ubos_sync::model::glob::{Glob, literal_regex};
use ubos_sync::model::path::RelPath;
use ubos_sync::model::rules::{Rules, Spec};

use super::unison_regex::as_rust_regex;

pub fn check(data: &[u8]) {
    let (pattern, names) = super::halves(data, b'\n');
    let Ok(glob) = std::str::from_utf8(pattern)
        .map_err(drop)
        .and_then(|t| Glob::parse(t).map_err(drop))
    else {
        return;
    };
    let regex = glob.unison_regex();
    assert!(
        regex.len() < 64 * pattern.len() + 64,
        "{} bytes of {}",
        regex.len(),
        pattern.len()
    );
    assert!(!regex.contains(&b'\n') && regex.trim_ascii() == regex.as_slice());
    assert!(!regex.windows(4).any(|w| w == b" -> "));
    let spec = Spec {
        exclude: vec![glob],
        ..Spec::default()
    };
    // A set that is too big to compile is a fault of the policy.
    let Ok(rules) = Rules::new(spec) else { return };
    let theirs = as_rust_regex(&regex);
    for name in names.split(|b| *b == b'\n').take(64) {
        let Some(path) = RelPath::new(name).filter(|p| !p.is_root()) else {
            continue;
        };
        let out = !rules.verdict(&path, false).is_truth();
        assert_eq!(out, theirs.is_match(path.as_bytes()), "{path}");
        // What takes a name out takes it out as a directory, too.
        assert!(!out || !rules.verdict(&path, true).is_truth(), "{path}");
        assert!(as_rust_regex(&literal_regex(path.as_bytes())).is_match(path.as_bytes()));
    }
}
