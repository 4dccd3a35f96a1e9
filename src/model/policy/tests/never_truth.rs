//! What ubos-sync itself writes or is run by never crosses, without anyone having to list it.

use super::*;
use crate::model::path::RelPath;
use crate::model::rules::Verdict;

#[test]
fn what_is_ours_is_never_truth() {
    let p = parse(
        "[site]\nroot = \".\"\nstate_dir = \".state\"\n[writer]\n[publish]\n\
         [[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/srv/r\"\nstate_dir = \"/srv/r/st\"\n\
         [[peer.log]]\nremote = \"l/m.jsonl\"\nlocal = \"in/m.jsonl\"\n\
         [[peer.log]]\nremote = \"/srv/r/g/**/*.log\"\nlocal = \"got\"\n",
    )
    .unwrap();
    let never = |path: &str| {
        let verdict = p.truth.rules.verdict(&RelPath::new(path).unwrap(), false);
        assert!(matches!(verdict, Verdict::Never(_)), "{path}: {verdict:?}");
    };
    for path in [
        ".ubos-root",
        ".ubos/sync-pause",
        ".ubos/sync-pause.ack",
        "ubos-sync.schema.json",
        "policy.toml",
        "logs/x.log",
        ".state/lock",
        "st/x",
        "l/m.jsonl",
        "l/m.jsonl.1",
        "in/m.jsonl",
        "in/m.jsonl.gz",
        "g/a/b.log",
        "g/b.log.1",
        "got/a/b.log",
        "a/.unison.x.123.unison.tmp",
        "a/.ubos-sync.9/y",
    ] {
        never(path);
    }
    for path in [
        "m.jsonl",
        "a/in/m.jsonl",
        ".unison.x",
        "a/l/m.jsonl",
        "sub/.ubos-root",
    ] {
        assert!(
            p.truth
                .rules
                .verdict(&RelPath::new(path).unwrap(), false)
                .is_truth(),
            "{path}"
        );
    }
    let publish = p.publish.unwrap();
    let fan_out = |path: &str| publish.exclude.verdict(&RelPath::new(path).unwrap(), false);
    assert!(matches!(fan_out("a/b_state.json"), Verdict::State(_)));
    assert!(matches!(fan_out(".git/config"), Verdict::Never(_)));
}
