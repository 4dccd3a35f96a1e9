//! The policy as a whole: defaults, every kind of fault, hostile input.

use std::path::Path;
use std::time::Duration;

use super::*;
use crate::model::path::RelPath;
use crate::model::rules::Verdict;

fn env() -> Env {
    Env {
        home: Some("/home/u".into()),
        hostname: "mac.example".into(),
        state_home: None,
    }
}

fn parse(text: &str) -> Result<Policy, Vec<Fault>> {
    read(text.as_bytes(), Path::new("/etc/ubos/policy.toml"), &env())
}

const SITE: &str = "schema = 1\n[site]\nroot = \"~/ubos\"\n";

fn with(rest: &str) -> Result<Policy, Vec<Fault>> {
    parse(&format!("{SITE}{rest}"))
}

#[test]
fn defaults_are_those_of_the_contract() {
    let p =
        with("[[peer]]\nname = \"balaur\"\nhost = \"b.example\"\nroot = \"~/repo/\"\n").unwrap();
    assert_eq!(p.site.name, "mac");
    assert_eq!(p.site.root, Path::new("/home/u/ubos"));
    assert_eq!(
        p.site.state_dir,
        Path::new("/home/u/.local/state/ubos-sync")
    );
    assert_eq!(p.audit.dir, Path::new("/etc/ubos/logs"));
    assert_eq!(p.guards.max_delete, DeleteLimit::Percent(20.0));
    assert_eq!(p.guards.min_free_space, 256 << 20);
    assert_eq!(p.guards.marker, ".ubos-root");
    assert_eq!(p.schedule.interval, Duration::from_secs(300));
    assert_eq!(p.schedule.debounce, Duration::from_millis(300));
    assert_eq!(p.snapshots.keep, 10);
    assert_eq!(p.truth.conflicts, Strategy::Newer);
    assert_eq!(p.peers[0].root, "repo");
    assert_eq!(p.peers[0].state_dir, ".local/state/ubos-sync");
    assert!(p.peers[0].truth && p.writer.is_none() && p.publish.is_none());
    let root = p.settings.iter().find(|s| s.key == "site.root").unwrap();
    assert_eq!(
        (root.value.as_str(), root.origin),
        ("\"/home/u/ubos\"", Origin::Line(3))
    );
    let name = p.settings.iter().find(|s| s.key == "site.name").unwrap();
    assert_eq!(name.origin, Origin::Default);
}

#[test]
fn a_local_peer_keeps_its_state_beside_ours() {
    let p = with("[[peer]]\nname = \"disk\"\nroot = \"/mnt/d\"\n").unwrap();
    assert_eq!(
        p.peers[0].state_dir,
        "/home/u/.local/state/ubos-sync/local/disk"
    );
}

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

const PEER: &str = "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/srv/r\"\n";

/// (what follows the site, key of the fault, part of the reason)
const FAULTS: &[(&str, &str, &str)] = &[
    ("[writer]\nsides = []\n", "writer.sides", "names no side"),
    ("[truth]\nexlude = []\n", "truth.exlude", "unknown key"),
    ("[trut]\n", "trut", "unknown key"),
    (
        "[truth]\ninclude = \"docs\"\n",
        "truth.include",
        "wanted an array",
    ),
    (
        "[truth]\ninclude = [\"/abs\"]\n",
        "truth.include[0]",
        "is absolute",
    ),
    (
        "[truth]\ninclude = [\"../x\"]\n",
        "truth.include[0]",
        "leave the root",
    ),
    (
        "[truth]\ninclude = [\"a*\"]\n",
        "truth.include[0]",
        "not a pattern",
    ),
    (
        "[truth]\ninclude = [\"models\"]\n",
        "truth.include",
        "taken out by exclude",
    ),
    (
        "[truth]\ninclude = [\"x_state.json\"]\n",
        "truth.include",
        "taken out by state",
    ),
    (
        "[truth]\nexclude = [\"ok\", \"[abc\"]\n",
        "truth.exclude[1]",
        "never closed",
    ),
    (
        "[truth]\nexclude = [\"*\"]\n",
        "truth.exclude[0]",
        "every path",
    ),
    (
        "[truth]\nexclude = [\"{z,*}\"]\n",
        "truth.exclude[0]",
        "every path",
    ),
    (
        "[truth]\nexclude = [3]\n",
        "truth.exclude[0]",
        "wanted a pattern",
    ),
    (
        "[truth]\nconflicts = \"never\"\n",
        "truth.conflicts",
        "must be \"newer\"",
    ),
    (
        "[truth]\npermissions = 1\n",
        "truth.permissions",
        "wanted true or false",
    ),
    (
        "[truth]\nfull_scan_every = \"soon\"\n",
        "truth.full_scan_every",
        "not a duration",
    ),
    (
        "[guards]\nmax_delete = \"101%\"\n",
        "guards.max_delete",
        "percentage",
    ),
    (
        "[guards]\nmax_delete = -1\n",
        "guards.max_delete",
        "percentage",
    ),
    (
        "[guards]\nmax_delete_floor = -1\n",
        "guards.max_delete_floor",
        "at least 0",
    ),
    (
        "[guards]\nmin_free_space = \"lots\"\n",
        "guards.min_free_space",
        "not a size",
    ),
    (
        "[guards]\nmarker = \"a/b\"\n",
        "guards.marker",
        "not a path",
    ),
    (
        "[schedule]\ninterval = 0\n",
        "schedule.interval",
        "may not be zero",
    ),
    (
        "[schedule]\ninterval = \"1m\"\njitter = \"2m\"\n",
        "schedule.jitter",
        "longer than",
    ),
    (
        "[schedule]\nthreshold = nan\n",
        "schedule.threshold",
        "whole number",
    ),
    ("[snapshots]\nkeep = 0\n", "snapshots.keep", "from 1"),
    (
        "[service]\nmemory_max = \"much\"\n",
        "service.memory_max",
        "memory limit",
    ),
    (
        "[service]\ncpu_quota = \"50\"\n",
        "service.cpu_quota",
        "CPU quota",
    ),
    (
        "[service]\nwants = [\"a b\"]\n",
        "service.wants[0]",
        "name of a unit",
    ),
    (
        "[writer]\nsides = [\"far\"]\n",
        "writer.sides[0]",
        "must be",
    ),
    (
        "[writer]\npause_file = \"../p\"\n",
        "writer.pause_file",
        "leave the root",
    ),
    (
        "[writer]\nack_file = \"/p\"\n",
        "writer.ack_file",
        "absolute",
    ),
    (
        "[writer]\nack_file = \".ubos/sync-pause\"\n",
        "writer.ack_file",
        "pause file itself",
    ),
    (
        "[writer]\nmax_pause = \"6m\"\n",
        "writer.max_pause",
        "at most 5 minutes",
    ),
    (
        "[writer]\nack_timeout = \"5m\"\nmax_pause = \"1m\"\n",
        "writer.ack_timeout",
        "longer than",
    ),
    (
        "[notify]\nwebhook_url_env = \"https://x.example\"\n",
        "notify.webhook_url_env",
        "NAME",
    ),
    ("[notify]\non = [\"always\"]\n", "notify.on[0]", "must be"),
    (
        "[metrics]\ntextfile = \"/var/x.txt\"\n",
        "metrics.textfile",
        ".prom",
    ),
    ("[audit]\ndir = \"~\"\n", "audit.dir", "holds a root"),
    ("[[peer]]\nname = \"b\"\n", "peer[0].root", "is missing"),
    (
        "[[peer]]\nname = \"-b\"\nroot = \"/r\"\n",
        "peer[0].name",
        "begins with",
    ),
    (
        "[[peer]]\nname = \"mac\"\nroot = \"/r\"\n",
        "peer[0].name",
        "name of this site",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"-oProxyCommand=x\"\nroot = \"/r\"\n",
        "peer[0].host",
        "a host begins",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nuser = \"a@b\"\nroot = \"/r\"\n",
        "peer[0].user",
        "a user begins",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nport = 0\nroot = \"/r\"\n",
        "peer[0].port",
        "from 1 to 65535",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nport = 70000\nroot = \"/r\"\n",
        "peer[0].port",
        "from 1 to 65535",
    ),
    (
        "[[peer]]\nname = \"b\"\nuser = \"u\"\nroot = \"/r\"\n",
        "peer[0].user",
        "without `host`",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"~\"\n",
        "peer[0].root",
        "whole home",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/\"\n",
        "peer[0].root",
        "whole file system",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"$HOME/x\"\n",
        "peer[0].root",
        "variables",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/r\"\nunison = \"u -x\"\n",
        "peer[0].unison",
        "a program is",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/r/s\"\nstate_dir = \"/r\"\n",
        "peer[0].root",
        "state_dir",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~/ubos/sub\"\n",
        "peer[0].root",
        "nested with site.root",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~/ubos\"\n",
        "peer[0].root",
        "the same directory as",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"/\"\n",
        "peer[0].root",
        "whole file system",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~\"\n",
        "peer[0].root",
        "whole home",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~/.local/state/ubos-sync/x\"\n",
        "peer[0].root",
        "inside site.state_dir",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"/x\"\n[[peer]]\nname = \"B\"\nroot = \"/y\"\n",
        "peer[1].name",
        "two peers",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"h\"\nroot = \"/x\"\n[[peer]]\nname = \"c\"\nhost = \"h\"\nport = 22\nroot = \"/x/y\"\n",
        "peer[1].root",
        "nested with",
    ),
    ("[publish]\nscan = \"maybe\"\n", "publish.scan", "must be"),
    (
        "[publish]\nbranch = \"-x\"\n",
        "publish.branch",
        "git accepts",
    ),
    (
        "[publish]\nurl = \"ext::sh\"\n",
        "publish.url",
        "clone from",
    ),
    ("[publish]\nparallel = 0\n", "publish.parallel", "from 1"),
    (
        "[publish]\n[[publish.target]]\nname = \"a\"\npath = \"/\"\n",
        "publish.target[0].path",
        "whole file system",
    ),
    (
        "[publish]\n[[publish.target]]\nname = \"a\"\npath = \"~/ubos/x\"\n",
        "publish.target[0].path",
        "nested",
    ),
    (
        "[publish]\n[[publish.target]]\nname = \"a\"\npath = \"/x\"\n[[publish.target]]\nname = \"a\"\npath = \"/y\"\n",
        "publish.target[1].name",
        "two targets",
    ),
];

#[test]
fn every_kind_of_fault_is_found_at_its_key() {
    for (rest, key, reason) in FAULTS {
        let faults = with(rest).expect_err(rest);
        let hit = faults.iter().find(|f| f.key == *key);
        let hit = hit.unwrap_or_else(|| panic!("{rest}: {faults:#?}"));
        assert!(hit.reason.contains(reason), "{rest}: {hit}");
        assert!(hit.line > 3 && hit.column > 0, "{rest}: {hit:?}");
        assert!(faults.iter().all(|f| f.key == *key), "{rest}: {faults:#?}");
    }
}

#[test]
fn faults_of_logs() {
    let log = |remote: &str, local: &str| {
        format!("[[peer.log]]\nremote = \"{remote}\"\nlocal = \"{local}\"\n")
    };
    let table = [
        (
            log("a", "x") + &log("b", "x"),
            "peer[0].log[1].local",
            "already",
        ),
        (
            log("a", "x") + &log("a", "y"),
            "peer[0].log[1].remote",
            "twice",
        ),
        (log("a", "../x"), "peer[0].log[0].local", "leave the root"),
        (log("../a", "x"), "peer[0].log[0].remote", "leave the root"),
        (log("a/[b", "x"), "peer[0].log[0].remote", "never closed"),
        (
            log("a_state.json", "x"),
            "peer[0].log[0].remote",
            "is state",
        ),
        (
            log("a", "/home/u/.local/state/ubos-sync/l"),
            "peer[0].log[0].local",
            "ours alone",
        ),
    ];
    for (rest, key, reason) in table {
        let faults = with(&format!("{PEER}{rest}")).expect_err(&rest);
        assert!(
            faults
                .iter()
                .any(|f| f.key == key && f.reason.contains(reason)),
            "{rest}: {faults:#?}"
        );
    }
}

#[test]
fn all_faults_are_reported_at_once_with_line_column_and_a_suggestion() {
    let faults =
        parse("schema = 1\n[site]\nrot = \"/x\"\n[truth]\nconflicts = \"never\"\nexlude = []\n")
            .unwrap_err();
    let shown: Vec<String> = faults
        .iter()
        .map(|f| format!("{}:{}: {f}", f.line, f.column))
        .collect();
    assert_eq!(
        shown,
        [
            "2:1: site.root: is missing and has no default",
            "3:1: site.rot: unknown key in [site] (`rot`); try `root`",
            "5:13: truth.conflicts: must be \"newer\", \"manual\", \"local\", \"peer\" (`\"never\"`); try \"newer\"",
            "6:1: truth.exlude: unknown key in [truth] (`exlude`); try `exclude`",
        ]
    );
}

#[test]
fn a_key_in_the_wrong_table_is_told_where_it_belongs() {
    let faults = with("[guards]\ninterval = 3\n").unwrap_err();
    assert_eq!(
        faults[0].suggestion.as_deref(),
        Some("putting it in [schedule]")
    );
}

#[test]
fn an_address_in_place_of_a_variable_is_not_repeated() {
    let faults = with("[notify]\nping_url_env = \"https://h.example/s3cret\"\n").unwrap_err();
    assert!(!format!("{faults:?}").contains("s3cret"));
}

#[test]
fn hostile_files_are_faults_with_a_place_and_never_a_panic() {
    let deep = format!("a = {}1{}\n", "[".repeat(5000), "]".repeat(5000));
    let deep_key = format!("{} = 1\n", vec!["a"; 5000].join("."));
    let deep_header = format!("[{}]\n", vec!["a"; 5000].join("."));
    let deep_inline = format!("a = {}1{}\n", "{b=".repeat(3000), "}".repeat(3000));
    let big = vec![b'#'; 10 << 20];
    let table: [(&[u8], &str); 14] = [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (b"\xef\xbb\xbfschema = 1\n", "byte order mark"),
        (b"schema = 1\r\n", "carriage return"),
        (b"a = \"\0\"\n", "NUL"),
        (b"a = 1\nb = \"\xff\"\n", "UTF-8"),
        (b"a = \n", "TOML"),
        (b"a = 1\na = 2\n", "TOML"),
        (b"[site\nroot = 3", "TOML"),
        (&big, "bytes"),
        (deep.as_bytes(), "TOML"),
        (deep_key.as_bytes(), "TOML"),
        (deep_header.as_bytes(), "TOML"),
        (deep_inline.as_bytes(), "TOML"),
    ];
    for (bytes, reason) in table {
        let faults = read(bytes, Path::new("/p.toml"), &env()).unwrap_err();
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(20)]);
        assert!(
            faults.iter().any(|f| f.reason.contains(reason)),
            "{start:?}: {faults:?}"
        );
        assert!(faults.iter().all(|f| f.line > 0 && f.column > 0));
    }
    let place = read(b"a = 1\nb = \"\xff\"\n", Path::new("/p.toml"), &env()).unwrap_err();
    assert_eq!((place[0].line, place[0].column), (2, 6));
}

#[test]
fn a_newer_schema_is_refused_with_the_reason() {
    let faults = parse("schema = 2\n[site]\nroot = \"/x\"\n").unwrap_err();
    assert!(faults[0].reason.contains("newer"), "{faults:?}");
}

#[test]
fn no_text_makes_the_parser_panic() {
    use proptest::prelude::*;
    proptest!(ProptestConfig::with_cases(200), |(text in "[\\[\\]a-c=\"'\\n{},.#0-9 \u{e9}-]{0,60}")| {
        let _ = with(&text);
        let _ = parse(&text);
    });
}

#[test]
fn a_damaged_policy_is_a_fault_or_a_policy_and_never_a_panic() {
    use proptest::prelude::*;
    let whole = include_bytes!("../../../profiles/federation.toml");
    let edit = (0..whole.len(), any::<u8>(), 0..40usize);
    let config = ProptestConfig {
        cases: 300,
        failure_persistence: None,
        ..ProptestConfig::default()
    };
    proptest!(config, |(edits in proptest::collection::vec(edit, 1..4))| {
        let mut bytes = whole.to_vec();
        for (at, byte, cut) in edits {
            let at = at.min(bytes.len());
            let end = (at + cut).min(bytes.len());
            bytes.splice(at..end, [byte]);
        }
        if let Err(faults) = read(&bytes, Path::new("/etc/p.toml"), &env()) {
            prop_assert!(!faults.is_empty() && faults.iter().all(|f| f.line > 0 && f.column > 0));
        }
    });
}

#[test]
fn a_flood_of_faults_is_cut_short() {
    let text = format!("{SITE}[truth]\nexclude = [{}]\n", "1,".repeat(200_000));
    assert_eq!(parse(&text).unwrap_err().len(), 100);
}
