//! When it is suspicious that no file is as it was.

use super::*;

#[test]
fn all_changed_says_nothing_of_first_syncs_and_of_a_handful() {
    assert!(stopped_by(|f| (f.local.before, f.local.unchanged) = (4, 0)).is_empty());
    assert!(stopped_by(|f| (f.local.unchanged, f.first_time) = (0, true)).is_empty());
    assert_eq!(
        stopped_by(|f| (f.local.before, f.local.unchanged) = (5, 0)),
        ["all_changed"]
    );
    let both = stopped_by(|f| (f.local.unchanged, f.remote.unchanged) = (0, 0));
    assert_eq!(both, ["all_changed", "all_changed"]);
    // Where no file is left, that is what is said.
    let none = stopped_by(|f| (f.local.files, f.local.unchanged) = (0, 0));
    assert_eq!(none, ["roots"]);
}
