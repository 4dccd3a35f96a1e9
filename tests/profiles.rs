//! The example policies are sound, and the unison profiles beside them are what they render to.
//!
//! `UPDATE_PROFILES=1 cargo test --test profiles` writes the goldens anew.

use std::path::{Path, PathBuf};

use ubos_sync::model::policy::{self, Env, Policy};
use ubos_sync::tool::unison_profile;

fn dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("profiles")
}

fn load(name: &str) -> Policy {
    let bytes = std::fs::read(dir().join(format!("{name}.toml"))).unwrap();
    let env = Env {
        home: Some("/home/example".into()),
        hostname: "example".into(),
        state_home: None,
    };
    // A fixed place, so that the goldens do not depend on where the crate was checked out.
    let file = Path::new("/etc/ubos-sync").join(format!("{name}.toml"));
    policy::read(&bytes, &file, &env).unwrap_or_else(|faults| panic!("{name}: {faults:#?}"))
}

#[test]
fn the_examples_render_to_the_profiles_beside_them() {
    let rewrite = std::env::var_os("UPDATE_PROFILES").is_some();
    for name in ["federation", "workspace", "fleet"] {
        let policy = load(name);
        for peer in &policy.peers {
            let golden = dir().join(format!("{name}.{}.prf", peer.name));
            let rendered = unison_profile::render(&policy, peer);
            assert_eq!(
                rendered,
                unison_profile::render(&policy, peer),
                "deterministic"
            );
            if rewrite {
                std::fs::write(&golden, &rendered).unwrap();
            }
            let found = std::fs::read(&golden).unwrap_or_default();
            assert_eq!(
                String::from_utf8_lossy(&found),
                String::from_utf8_lossy(&rendered),
                "{} is stale: run with UPDATE_PROFILES=1",
                golden.display()
            );
        }
    }
}

#[test]
fn nothing_in_profiles_is_without_a_policy() {
    for entry in std::fs::read_dir(dir()).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        let Some((policy_name, rest)) = name.split_once('.') else {
            panic!("{name}")
        };
        let policy = load(policy_name);
        let known = rest == "toml"
            || policy
                .peers
                .iter()
                .any(|p| format!("{}.prf", p.name) == rest);
        assert!(known, "{name}");
    }
}

#[test]
fn state_stands_first_and_newer_wins_only_where_it_was_asked_for() {
    let lines = |name: &str| {
        let policy = load(name);
        String::from_utf8(unison_profile::render(&policy, &policy.peers[0])).unwrap()
    };
    let federation = lines("federation");
    assert!(federation.contains("\nprefer = newer\n"));
    let first = federation
        .lines()
        .find(|l| l.starts_with("ignore"))
        .unwrap();
    assert_eq!(first, r"ignore = Regex (.*/)?[^/]*_state\.json(/.+)?");
    assert!(!lines("fleet").contains("prefer ="));
}
