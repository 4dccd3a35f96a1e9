//! What a target says of itself: nothing that lies in it can speak for it.

use ubos_sync::lanes::publish::target::Told;
use ubos_sync::tool::remote::find;

use super::{NONCE, assert_below, assert_harmless};

pub fn check(data: &[u8]) {
    let Some(told) = Told::parse(data, NONCE, Vec::new()) else {
        return;
    };
    told.stats
        .keys()
        .chain(&told.unreadable)
        .for_each(assert_below);
    told.rev.iter().for_each(|rev| assert_harmless(rev));
    if let Some((list, _)) = &told.base {
        list.entries.keys().for_each(assert_below);
    }
    // The same target without its files is the same target.
    if let Some(at) = find(data, format!("{NONCE} SWEEP ").as_bytes()) {
        let empty = Told::parse(&data[..at], NONCE, Vec::new()).expect("no list to be garbled");
        assert_eq!(
            (
                told.root,
                told.ours,
                told.locked,
                told.bad,
                told.rev,
                told.release,
                told.holder,
                told.strangers
            ),
            (
                empty.root,
                empty.ours,
                empty.locked,
                empty.bad,
                empty.rev,
                empty.release,
                empty.holder,
                empty.strangers
            )
        );
    }
}
