//! What runs put aside is kept as long as the policy says, listed on both hosts, and pruned on request.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;

use lab::{Lab, Side};
use pair::{BALAUR, MAC, S, T, pair_with, said, seed, sync};
use serde_json::Value;

fn folders(lab: &Lab, side: Side) -> Vec<String> {
    let pairs = lab.state_dir(side).join("pairs");
    let pair = fs::read_dir(pairs).unwrap().next().unwrap().unwrap().path();
    let mut all: Vec<String> = fs::read_dir(pair.join("runs"))
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    all.sort();
    all
}

fn edit(lab: &Lab, n: i128) -> String {
    lab.write_at(MAC, "docs/a.md", format!("version {n}"), T + n * S);
    sync(lab)["run"].as_str().unwrap().to_owned()
}

#[test]
fn cr_16_the_newest_and_those_with_losers_stay_and_prune_drops_the_rest_on_both_hosts() {
    let Some(lab) = pair_with(Lab::builder(), "[snapshots]\nkeep = 2\n") else {
        return;
    };
    seed(&lab, &["docs/a.md", "docs/c.md"]);
    let first = sync(&lab)["run"].as_str().unwrap().to_owned();
    lab.write_at(MAC, "docs/c.md", "older", T + S);
    lab.write_at(BALAUR, "docs/c.md", "newer", T + 9 * S);
    let conflict = sync(&lab)["run"].as_str().unwrap().to_owned();
    let rest: Vec<String> = (1..=4).map(|n| edit(&lab, n)).collect();
    let near = folders(&lab, MAC);
    assert!(
        near.contains(&conflict) && !near.contains(&first),
        "{near:?}"
    );
    assert!(
        near.contains(&rest[3]) && near.contains(&rest[2]) && !near.contains(&rest[0]),
        "{near:?}"
    );
    // The loser lies on mac alone.
    assert!(!folders(&lab, BALAUR).contains(&conflict));
    let json = lab.run(&["snapshots", "--json"]).expect(0).json();
    let all = json["snapshots"].as_array().unwrap();
    let hosts: Vec<&Value> = all
        .iter()
        .filter(|s| s["run"] == rest[3].as_str())
        .map(|s| &s["host"])
        .collect();
    assert_eq!(hosts, ["mac", "balaur"], "{json:#}");
    let kept = all.iter().find(|s| s["run"] == conflict.as_str()).unwrap();
    assert_eq!(kept["losers"], true);
    let dry = lab.run(&["snapshots", "prune", "--keep", "1"]).expect(0);
    assert!(
        dry.stdout
            .contains(&format!("would drop {} on balaur", rest[2])),
        "{dry}"
    );
    assert!(folders(&lab, BALAUR).contains(&rest[2]));
    let done = said(
        lab.run(&["snapshots", "prune", "--keep", "1", "--apply", "--json"]),
        0,
    );
    assert_eq!(done["dropped"].as_array().unwrap().len(), 2, "{done:#}");
    assert_eq!(folders(&lab, BALAUR), [rest[3].clone()]);
    assert_eq!(folders(&lab, MAC), [conflict.clone(), rest[3].clone()]);
    // A held pair keeps everything, and an unreachable host is said.
    edit(&lab, 5);
    lab.run(&["hold", "balaur", "--why", "look first"])
        .expect(0);
    let held = said(
        lab.run(&["snapshots", "prune", "--keep", "0", "--apply", "--json"]),
        0,
    );
    assert_eq!(held["dropped"], Value::Array(vec![]));
}

#[test]
fn what_was_replaced_is_on_record_even_when_nobody_could_look_where_it_was_kept() {
    let Some(lab) = pair_with(Lab::builder().hide(BALAUR, &["find"]), "") else {
        return;
    };
    let find = lab.root().join("server-bin/find");
    let script =
        "#!/bin/sh\ncase $PWD in */backup) kill -9 $PPID ;; esac\nexec /usr/bin/find \"$@\"\n";
    fs::write(&find, script).unwrap();
    fs::set_permissions(&find, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    seed(&lab, &["docs/a.md"]);
    sync(&lab);
    lab.write(MAC, "docs/a.md", "edited here");
    let run = sync(&lab);
    assert!(pair::noted(&run, "").contains("could not be listed"));
    let kept = pair::kept(&run, "docs/a.md", "peer");
    assert_eq!(kept, b"base of docs/a.md\n");
}
