//! The schema and the reader have the same keys and the same defaults, and refuse alike.

use std::path::Path;

use super::generated;
use crate::model::policy::{self, Origin};
use crate::model::schema_tests::faults;

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
