//! The policy file: sound faults, or a policy that says the same when it is shown and read again.

use std::path::{Path, PathBuf};

use ubos_sync::cli::check::shown;
use ubos_sync::model::policy::{self, Env, Policy};
use ubos_sync::tool::unison_profile;

use super::assert_harmless;

pub fn check(data: &[u8]) {
    match read(data) {
        Err(faults) => {
            assert!(
                !faults.is_empty() && faults.len() <= 100,
                "{}",
                faults.len()
            );
            let lines = data.split(|b| *b == b'\n').count();
            for fault in faults {
                assert!(
                    (1..=lines).contains(&fault.line) && fault.column >= 1,
                    "{fault:?}"
                );
                assert_harmless(&fault.to_string());
            }
        }
        Ok(policy) => {
            stays(&policy);
            policy.peers.iter().for_each(|peer| {
                let profile = unison_profile::render(&policy, peer);
                profile_is_sound(&policy, &profile);
            });
        }
    }
}

/// `check --show` prints a policy.
fn stays(policy: &Policy) {
    let text = shown(policy);
    text.lines().for_each(assert_harmless);
    let again = read(text.as_bytes())
        .unwrap_or_else(|faults| panic!("{faults:?} in what was shown:\n{text}"));
    let values = |p: &Policy| {
        p.settings
            .iter()
            .map(|s| (s.key.clone(), s.value.clone()))
            .collect::<Vec<_>>()
    };
    assert_eq!(values(policy), values(&again));
    assert_eq!(policy.truth.rules.digest(), again.truth.rules.digest());
}

/// No value of the policy can add a setting of its own to the engine's.
fn profile_is_sound(policy: &Policy, profile: &[u8]) {
    let lines = |key: &[u8]| {
        profile
            .split(|b| *b == b'\n')
            .filter(|l| l.starts_with(key))
            .count()
    };
    assert_eq!(lines(b"root = "), 2);
    assert_eq!(lines(b"path = "), policy.truth.rules.include_roots().len());
    let ignores = policy.truth.rules.unison_ignores();
    assert_eq!(lines(b"ignore = "), ignores.len());
    assert_eq!(lines(b"ssh") + lines(b"include ") + lines(b"source "), 0);
}

fn read(data: &[u8]) -> Result<Policy, Vec<policy::Fault>> {
    let env = Env {
        home: Some(PathBuf::from("/home/u")),
        hostname: "here".into(),
        state_home: None,
    };
    policy::read(data, Path::new("/home/u/p/ubos-sync.toml"), &env)
}
