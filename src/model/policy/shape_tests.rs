//! The policy as editors know it: from these types comes `schema/ubos-sync.schema.json`, which `init` lays beside a policy.
//!
//! The program itself reads policies key by key (`reader.rs`), to report every fault with its place; no derived reader does that.
//! So these types are no second reader: they are the published shape, and the tests below hold it against the reader, both ways:
//! the same keys, the same defaults, and what either refuses.
//!
//! `UPDATE_SCHEMAS=1 cargo test --lib schema` writes the file anew.

use std::borrow::Cow;
use std::path::Path;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;

use super::settings::Origin;
use crate::model::policy;
use crate::model::schema_tests::{faults, is_current, of};

/// A value that is written as text, or as a bare number.
macro_rules! written {
    ($name:ident, $($schema:tt)+) => {
        #[derive(Serialize)]
        struct $name(Cow<'static, str>);
        impl From<&'static str> for $name {
            fn from(text: &'static str) -> Self {
                Self(text.into())
            }
        }
        impl JsonSchema for $name {
            fn schema_name() -> Cow<'static, str> {
                stringify!($name).into()
            }
            fn inline_schema() -> bool {
                true
            }
            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                json_schema!($($schema)+)
            }
        }
    };
}

written!(Span, { "type": ["string", "integer"], "pattern": "^([0-9]+|([0-9]+(ms|s|min|m|h|d|w))+)$", "minimum": 0 });
written!(Size, { "type": ["string", "integer"], "pattern": "^[0-9]+([kKmMgGtT]?[bB]?|[kKmMgGtT][iI][bB])$", "minimum": 0 });
written!(Limit, { "type": ["string", "integer"], "pattern": "^([0-9.]+%|[0-9]+)$", "minimum": 0 });
written!(Name, { "type": "string", "pattern": "^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$" });
written!(Host, { "type": "string", "pattern": "^([A-Za-z0-9][A-Za-z0-9.-]{0,252}|[0-9A-Fa-f:]{2,45})$" });
written!(User, { "type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9._-]{0,63}$" });
written!(Program, { "type": "string", "pattern": "^[A-Za-z0-9_+/][A-Za-z0-9._+/-]*$" });
written!(EnvName, { "type": "string", "pattern": "^[A-Za-z_][A-Za-z0-9_]{0,127}$" });
written!(Memory, { "type": "string", "pattern": "^(infinity|[0-9]+[KMGT%]?)$" });
written!(Quota, { "type": "string", "pattern": "^[0-9]+%$" });
written!(Unit, { "type": "string", "pattern": "^[A-Za-z0-9:_@\\\\][A-Za-z0-9:_.@\\\\-]{0,254}$" });
written!(Text, { "type": "string", "minLength": 1 });
written!(Any, { "type": "string" });

/// What ubos-sync may do on this host. Times: "300", "5m", "1h30m"; a bare number is seconds. Sizes: "256MiB". Globs as in .gitignore, without !
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "ubos-sync policy")]
#[allow(dead_code, reason = "only its shape counts")]
struct PolicyFile {
    /// The version of this format
    #[schemars(default = "one", extend("const" = 1))]
    schema: u32,
    site: Site,
    #[schemars(default)]
    truth: Truth,
    #[schemars(default)]
    guards: Guards,
    /// Another replica; any number of them
    #[schemars(default)]
    peer: Vec<Peer>,
    /// A process that has to hold still while truth is carried over; absent: there is none
    writer: Option<Writer>,
    #[schemars(default)]
    schedule: Schedule,
    #[schemars(default)]
    snapshots: Snapshots,
    #[schemars(default)]
    service: Service,
    #[schemars(default)]
    audit: Audit,
    #[schemars(default)]
    notify: Notify,
    #[schemars(default)]
    metrics: Metrics,
    /// The fan-out of a commit to targets without git; absent: there is none
    publish: Option<Publish>,
}

fn one() -> u32 {
    1
}

/// This host
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Site {
    /// Its name in the federation; without it, the host's name
    name: Option<Name>,
    /// The local replica; ~ is your home, a relative path starts at this file's directory
    root: Text,
    /// Where locks, archives and snapshots lie; without it, $XDG_STATE_HOME/ubos-sync
    state_dir: Option<Text>,
}

/// What is synced both ways
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Truth {
    /// Paths below the root; none: the whole root
    include: Vec<Text>,
    /// Globs of what never crosses, whatever else says so
    state: Vec<Text>,
    /// Globs of what is left alone on both sides
    exclude: Vec<Text>,
    /// Who wins when both sides changed; manual: left for you
    conflicts: Strategy,
    /// Carry the permission bits
    permissions: bool,
    /// How often everything is hashed instead of trusting size and time
    full_scan_every: Span,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Strategy {
    Newer,
    Manual,
    Local,
    Peer,
}

impl Default for Truth {
    fn default() -> Self {
        let all = |globs: &[&'static str]| globs.iter().map(|g| Text::from(*g)).collect();
        Self {
            include: vec![],
            state: all(&["*_state.json"]),
            exclude: all(&[".git/", ".cache/", "__pycache__/", "models/", "*.tmp"]),
            conflicts: Strategy::Newer,
            permissions: true,
            full_scan_every: "1d".into(),
        }
    }
}

/// When to refuse
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Guards {
    /// Most deletes of one run: "20%" of the smaller replica's files, or a count; renames are no deletes
    max_delete: Limit,
    /// So many deletes never trip the percentage
    max_delete_floor: u64,
    /// Beyond it, times decide nothing
    max_clock_skew: Span,
    /// Left on the receiving side after the plan
    min_free_space: Size,
    /// The file that must lie in every root
    marker: Text,
}

impl Default for Guards {
    fn default() -> Self {
        Self {
            max_delete: "20%".into(),
            max_delete_floor: 20,
            max_clock_skew: "2s".into(),
            min_free_space: "256MiB".into(),
            marker: ".ubos-root".into(),
        }
    }
}

/// Another replica
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape counts")]
struct Peer {
    /// Its site name
    name: Name,
    /// How ssh reaches it; absent: root is a directory on this machine
    host: Option<Host>,
    user: Option<User>,
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// The file of the key
    identity: Option<Text>,
    /// Handed to ssh -F
    ssh_config: Option<Text>,
    /// The replica over there
    root: Text,
    /// Over there; of a local peer below the site's own
    state_dir: Option<Text>,
    /// How long the shared ssh connection may outlive a run
    #[schemars(default = "keep_connection")]
    keep_connection: Span,
    /// How long a log's transfer may stand still before it is ended and tried again
    #[schemars(default = "stall")]
    stall: Span,
    /// Bytes per second for rsync; 0: no limit
    #[schemars(default = "bwlimit")]
    bwlimit: Size,
    /// auto: rsync compresses when both ends can and the line answers slowly
    #[schemars(default = "compress")]
    compress: Compress,
    /// The program over there
    #[schemars(default = "unison")]
    unison: Program,
    /// The program over there
    #[schemars(default = "rsync")]
    rsync: Program,
    /// Takes part in truth
    #[schemars(default = "yes")]
    truth: bool,
    /// An append-only file that is pulled; any number of them
    #[schemars(default)]
    log: Vec<Log>,
}

fn keep_connection() -> Span {
    "0s".into()
}
fn stall() -> Span {
    "2m".into()
}
fn bwlimit() -> Size {
    "0".into()
}
fn compress() -> Compress {
    Compress::Auto
}
fn unison() -> Program {
    "unison".into()
}
fn rsync() -> Program {
    "rsync".into()
}
fn yes() -> bool {
    true
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Compress {
    Auto,
    Off,
}

/// An append-only file that is pulled
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields)]
struct Log {
    /// Relative to the peer's root, or absolute; may be a glob, then local is a directory
    remote: Text,
    /// Relative to the local root, or absolute
    local: Text,
}

/// A process that has to hold still while truth is carried over
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Writer {
    /// Where such a process runs
    sides: Vec<Side>,
    /// Relative to each root
    pause_file: Text,
    /// Relative to each root
    ack_file: Text,
    /// How long its answer may take
    ack_timeout: Span,
    /// How long it may be held; at most 5 minutes
    max_pause: Span,
    /// What to do when it does not answer
    on_timeout: OnTimeout,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
enum Side {
    Local,
    Peer,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum OnTimeout {
    Skip,
    Proceed,
}

impl Default for Writer {
    fn default() -> Self {
        Self {
            sides: vec![Side::Local, Side::Peer],
            pause_file: ".ubos/sync-pause".into(),
            ack_file: ".ubos/sync-pause.ack".into(),
            ack_timeout: "30s".into(),
            max_pause: "5m".into(),
            on_timeout: OnTimeout::Skip,
        }
    }
}

/// When the worker and the timer sync
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Schedule {
    interval: Span,
    /// Wait up to so long, so that not every host begins at the same moment
    jitter: Span,
    /// Between two runs, whatever changes
    min_interval: Span,
    /// Changed files that end the wait early
    threshold: u64,
    /// So many failures in a row, then the worker gives up
    #[schemars(range(min = 1, max = 1_000_000))]
    max_failures: u64,
    /// A cycle when the worker starts
    on_start: bool,
    /// A cycle when the worker ends
    on_exit: bool,
    /// How long files must have been quiet
    debounce: Span,
}

impl Default for Schedule {
    fn default() -> Self {
        Self {
            interval: "5m".into(),
            jitter: "30s".into(),
            min_interval: "5m".into(),
            threshold: 50,
            max_failures: 5,
            on_start: true,
            on_exit: false,
            debounce: "300ms".into(),
        }
    }
}

/// What is kept for a way back
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Snapshots {
    /// Applied runs that can be rolled back
    #[schemars(range(min = 1, max = 100_000))]
    keep: u64,
    /// Losing versions of conflicts, whatever keep says
    keep_losers: Span,
}

impl Default for Snapshots {
    fn default() -> Self {
        Self {
            keep: 10,
            keep_losers: "90d".into(),
        }
    }
}

/// What goes into the units
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Service {
    memory_max: Memory,
    cpu_quota: Quota,
    /// Units that this one is a companion of
    wants: Vec<Unit>,
}

impl Default for Service {
    fn default() -> Self {
        Self {
            memory_max: "768M".into(),
            cpu_quota: "50%".into(),
            wants: vec![],
        }
    }
}

/// The records of runs
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Audit {
    /// Without it, logs beside the policy
    dir: Option<Text>,
    keep: Span,
}

impl Default for Audit {
    fn default() -> Self {
        Self {
            dir: None,
            keep: "90d".into(),
        }
    }
}

/// Who is told
#[derive(JsonSchema, Serialize)]
#[serde(deny_unknown_fields, default)]
struct Notify {
    /// The environment variable that holds the address, never the address
    webhook_url_env: Option<EnvName>,
    /// The file that holds the address
    webhook_url_file: Option<Text>,
    on: Vec<Event>,
    /// The environment variable that holds the address of a dead-man's switch
    ping_url_env: Option<EnvName>,
    /// A program and its arguments; the event comes as JSON on its standard input
    command: Vec<Any>,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Event {
    Failure,
    Conflict,
    Recovery,
    Success,
}

impl Default for Notify {
    fn default() -> Self {
        Self {
            webhook_url_env: None,
            webhook_url_file: None,
            on: vec![Event::Failure, Event::Conflict, Event::Recovery],
            ping_url_env: None,
            command: vec![],
        }
    }
}

/// For Prometheus
#[derive(JsonSchema, Serialize, Default)]
#[serde(deny_unknown_fields, default)]
struct Metrics {
    /// Where node_exporter looks for it
    textfile: Option<Text>,
}

/// The fan-out of a commit to targets without git
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape counts")]
struct Publish {
    /// A git checkout, relative to the root; cloned from url when absent; without it, the root
    source: Option<Text>,
    /// What is fetched; empty: local commits only
    #[schemars(default = "remote")]
    remote: Any,
    #[schemars(default = "empty")]
    url: Any,
    #[schemars(default = "branch")]
    branch: Text,
    /// Globs of what is never published, and left alone on targets
    #[schemars(default = "published_not")]
    exclude: Vec<Text>,
    /// The search for secrets
    #[schemars(default = "scan")]
    scan: Scan,
    /// A file of rules
    scan_config: Option<Text>,
    /// How long the search may take; one that takes longer blocks every target
    #[schemars(default = "scan_timeout")]
    scan_timeout: Span,
    /// Fingerprints of findings that were looked at
    #[schemars(default)]
    allow: Vec<Text>,
    /// Targets at the same time
    #[schemars(default = "parallel", range(min = 1, max = 256))]
    parallel: u64,
    /// releases: dated trees and a current link that is flipped at the end
    #[schemars(default = "layout")]
    layout: Layout,
    #[schemars(default = "keep_releases", range(min = 1, max = 10_000))]
    keep_releases: u64,
    #[schemars(default)]
    target: Vec<Target>,
}

fn remote() -> Any {
    "origin".into()
}
fn empty() -> Any {
    "".into()
}
fn branch() -> Text {
    "main".into()
}
fn published_not() -> Vec<Text> {
    [".git/", "__pycache__/", ".vscode/"].map(Text::from).into()
}
fn scan() -> Scan {
    Scan::Gitleaks
}
fn scan_timeout() -> Span {
    "15m".into()
}
fn parallel() -> u64 {
    8
}
fn layout() -> Layout {
    Layout::InPlace
}
fn keep_releases() -> u64 {
    3
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Scan {
    Gitleaks,
    Builtin,
    Off,
}

#[derive(JsonSchema, Serialize)]
#[serde(rename_all = "kebab-case")]
#[schemars(inline)]
#[allow(dead_code, reason = "only its shape counts")]
enum Layout {
    InPlace,
    Releases,
}

/// Where a commit is published
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[allow(dead_code, reason = "only its shape counts")]
struct Target {
    name: Name,
    /// How ssh reaches it; absent: path is a directory on this machine
    host: Option<Host>,
    user: Option<User>,
    #[schemars(range(min = 1, max = 65535))]
    port: Option<u16>,
    /// The file of the key
    identity: Option<Text>,
    /// Handed to ssh -F
    ssh_config: Option<Text>,
    /// Taken literally but for a leading ~/
    path: Text,
}

fn generated() -> serde_json::Value {
    of::<PolicyFile>(true)
}

/// What the schema says of a key such as `peer.log.remote`.
fn at<'s>(schema: &'s serde_json::Value, key: &str) -> &'s serde_json::Value {
    key.split('.').fold(schema, |schema, word| {
        let word = word.split('[').next().unwrap();
        let table = match schema["properties"].is_object() {
            true => schema,
            false => &schema["items"],
        };
        &table["properties"][word]
    })
}

fn read(text: &str) -> Result<policy::Policy, Vec<policy::Fault>> {
    let env = policy::Env {
        home: Some("/home/u".into()),
        hostname: "h".into(),
        state_home: None,
    };
    policy::read(text.as_bytes(), Path::new("/home/u/p/policy.toml"), &env)
}

#[test]
fn the_schema_for_editors_is_current() {
    is_current("ubos-sync.schema.json", &generated());
}

/// Every table of the schema with its keys, as `[a.b]` would name it.
fn tables(name: &str, schema: &serde_json::Value, all: &mut Vec<(String, Vec<String>)>) {
    let Some(properties) = schema["properties"].as_object() else {
        return;
    };
    all.push((name.to_owned(), properties.keys().cloned().collect()));
    for (key, value) in properties {
        let below = if name.is_empty() {
            key.clone()
        } else {
            format!("{name}.{key}")
        };
        tables(&below, value, all);
        tables(&below, &value["items"], all);
    }
}

#[test]
fn the_reader_knows_every_key_of_the_schema() {
    let schema = generated();
    let mut all = Vec::new();
    tables("", &schema, &mut all);
    let env = policy::Env::default();
    let read = |text: String| policy::read(text.as_bytes(), Path::new("/p.toml"), &env);
    for (table, keys) in all.iter().filter(|(t, _)| !t.is_empty()) {
        let is_array = ["peer", "peer.log", "publish.target"].contains(&table.as_str());
        let header = if is_array {
            format!("[[{table}]]")
        } else {
            format!("[{table}]")
        };
        let parent = if table == "peer.log" {
            "[[peer]]\n"
        } else {
            ""
        };
        let body: String = keys.iter().map(|k| format!("{k} = nan\n")).collect();
        let faults = read(format!("{parent}{header}\n{body}")).unwrap_err();
        let unknown: Vec<_> = faults
            .iter()
            .filter(|f| f.reason.contains("unknown"))
            .collect();
        assert!(unknown.is_empty(), "{unknown:?}");
        let wrong = faults.iter().filter(|f| f.text == "nan").count();
        assert_eq!(wrong, keys.len(), "[{table}]: {faults:?}");
    }
}

#[test]
fn the_schema_has_every_key_of_the_reader_with_its_default() {
    let all = "schema = 1\n[site]\nroot = \"/home/u/r\"\n[writer]\n\
               [[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/r\"\n[[peer.log]]\nremote = \"a\"\nlocal = \"/home/u/a\"\n\
               [publish]\n[[publish.target]]\nname = \"t\"\nhost = \"t\"\npath = \"/t\"\n";
    let policy = read(all).unwrap();
    let schema = generated();
    let mut compared = 0;
    for setting in &policy.settings {
        let found = at(&schema, &setting.key);
        assert!(found.is_object(), "{} is not in the schema", setting.key);
        // What depends on the machine has no default that could be written down.
        let Some(default) = found
            .get("default")
            .filter(|_| setting.origin == Origin::Default)
        else {
            continue;
        };
        assert_eq!(setting.value, shown(default), "{}", setting.key);
        compared += 1;
    }
    assert!(compared > 35, "only {compared} defaults were compared");
}

/// As it could stand in a policy.
fn shown(value: &serde_json::Value) -> String {
    match value {
        serde_json::Value::Array(all) => {
            format!("[{}]", all.iter().map(shown).collect::<Vec<_>>().join(", "))
        }
        other => other.to_string(),
    }
}

/// Whether the schema takes this policy.
fn takes(text: &str) -> bool {
    let value: toml::Value = toml::from_str(text).unwrap();
    let value = serde_json::to_value(value).unwrap();
    faults(&generated(), &value).is_empty()
}

#[test]
fn the_schema_takes_the_examples_and_the_starter() {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let examples = std::fs::read_dir(here.join("profiles")).unwrap();
    let examples = examples.map(|e| e.unwrap().path());
    let examples: Vec<_> = examples
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    assert!(examples.len() >= 3);
    let starter = here.join("src/cli/starter.toml");
    for file in examples.iter().chain([&starter]) {
        let text = std::fs::read_to_string(file).unwrap();
        assert!(takes(&text), "{}", file.display());
        let line = text.lines().next().unwrap();
        let schema = line.strip_prefix("#:schema ").unwrap();
        assert!(
            file == &starter || file.parent().unwrap().join(schema).is_file(),
            "{line}"
        );
    }
}

#[test]
fn the_schema_and_the_reader_refuse_alike() {
    let with = |rest: &str| format!("schema = 1\n[site]\nroot = \"/home/u/r\"\n{rest}\n");
    let peer = |rest: &str| {
        with(&format!(
            "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/r\"\n{rest}"
        ))
    };
    for good in [
        with(""),
        with("").replace("schema = 1", ""),
        with("[truth]\nconflicts = \"manual\"\nfull_scan_every = 3600"),
        with("[guards]\nmax_delete = 100\nmin_free_space = \"1GB\""),
        peer("port = 22\nbwlimit = \"64k\"\nstall = \"1h30m\""),
        peer("[[peer.log]]\nremote = \"logs/*.log\"\nlocal = \"in\""),
        with("[notify]\ncommand = [\"notify-send\", \"\"]\non = [\"success\"]"),
        with("[publish]\nremote = \"\"\nlayout = \"releases\""),
    ] {
        assert!(
            read(&good).is_ok(),
            "{good}: {:?}",
            read(&good).unwrap_err()
        );
        assert!(takes(&good), "{good}");
    }
    for bad in [
        with("").replace("schema = 1", "schema = 2"),
        with("").replace("root", "rot"),
        with("[truth]\nconflicts = \"never\""),
        with("[truth]\ninclude = \"docs\""),
        with("[guards]\nmax_delete = \"a lot\""),
        with("[guards]\nmax_clock_skew = \"2 seconds\""),
        with("[schedule]\nmax_failures = 0"),
        with("[schedule]\ninterval = true"),
        with("[service]\nmemory_max = \"plenty\""),
        with("[notify]\nwebhook_url_env = \"https://x\""),
        with("[publish]\nscan = \"maybe\""),
        with("[publish]\nparallel = 1000"),
        peer("port = 0"),
        peer("user = \"-o\""),
        peer("unison = \"unison -batch\""),
        peer("").replace("name = \"b\"", "name = \"-b\""),
        peer("").replace("host = \"b\"", "host = \"u@b\""),
        peer("[[peer.log]]\nremote = \"x\""),
    ] {
        assert!(read(&bad).is_err(), "the reader takes {bad}");
        assert!(!takes(&bad), "the schema takes {bad}");
    }
}
