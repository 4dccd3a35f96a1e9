//! What is kept between runs: the index, the base, the pending plan, the states and notes of logs, and small documents.

use ubos_sync::lanes::truth::base::parse_pending;
use ubos_sync::model::index::Index;
use ubos_sync::model::log_state::State;
use ubos_sync::model::log_undo::Before;
use ubos_sync::model::manifest::{Manifest, escape, unescape, write_entry};
use ubos_sync::model::streak::Streak;
use ubos_sync::model::under_way::UnderWay;

use super::{assert_below, json_stays};

pub fn check(data: &[u8]) {
    let index = Index::parse(data.to_vec());
    assert_eq!(Index::parse(index.to_bytes()), index);
    if let Some(base) = Manifest::parse(data) {
        base.entries.keys().for_each(assert_below);
        let written = Manifest::default().delta(&base);
        assert_eq!(Manifest::parse(&written).expect("ours"), base);
        assert_eq!(base.delta(&base), b"");
        // A generation is the one before it with a delta behind.
        let both = [data, &base.delta(&Manifest::default())].concat();
        assert_eq!(Manifest::parse(&both).expect("ours"), Manifest::default());
    }
    pending(data);
    if let Some(bytes) = unescape(data) {
        assert_eq!(unescape(&escape(&bytes)), Some(bytes));
    }
    json_stays::<State>(data);
    json_stays::<Before>(data);
    json_stays::<Streak>(data);
    json_stays::<UnderWay>(data);
}

fn pending(data: &[u8]) {
    let Some(changes) = parse_pending(data) else {
        return;
    };
    let mut written = Vec::new();
    for (path, becomes) in &changes {
        assert_below(path);
        written.extend_from_slice(b"d\t");
        match becomes {
            Some(entry) => write_entry(&mut written, path, entry),
            None => written.extend([b"-\t", escape(path.as_bytes()).as_slice(), b"\n"].concat()),
        }
    }
    written.extend_from_slice(b"end\n");
    assert_eq!(parse_pending(&written).expect("ours"), changes);
    // Whoever died wrote whole lines, and nothing else.
    let lines = |bytes: &[u8]| bytes.iter().filter(|b| **b == b'\n').count();
    assert_eq!(lines(&written), lines(data));
}
