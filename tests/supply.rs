//! What this program is made of: every crate from crates.io, under a licence that `deny.toml` allows, none that is known
//! to be bad. The same questions as `make deny`, without its tool and without the net, so that each run of the tests asks them.
#![allow(clippy::disallowed_methods, reason = "the test asks cargo itself")]

use std::path::Path;
use std::process::Command;

use serde_json::Value;
use toml::Table;

const CRATES_IO: &str = "registry+https://github.com/rust-lang/crates.io-index";

fn table(name: &str) -> Table {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    toml::from_str(&std::fs::read_to_string(path).unwrap()).unwrap()
}

fn cargo(args: &[&str], program: &str) -> Vec<u8> {
    let output = Command::new(program)
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{program} {args:?}: {said}");
    output.stdout
}

#[test]
fn every_crate_comes_from_where_it_may() {
    let lock = table("Cargo.lock");
    assert_eq!(foreign(&lock), [""; 0]);
}

#[test]
fn no_crate_is_known_to_be_bad() {
    let (lock, list) = (table("Cargo.lock"), table("tests/supply/advisories.toml"));
    assert_eq!(bad(&lock, &list), [""; 0]);
}

/// Of the crates that this host compiles, tests included; those of other systems are not on this disk.
#[test]
fn every_licence_is_one_that_deny_toml_allows() {
    let rustc = std::env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let said = String::from_utf8(cargo(&["-vV"], &rustc)).unwrap();
    let host = said.lines().find_map(|l| l.strip_prefix("host: ")).unwrap();
    let asked = "metadata --format-version=1 --locked --offline --filter-platform";
    let args: Vec<&str> = asked.split(' ').chain([host]).collect();
    let known: Value = serde_json::from_slice(&cargo(&args, env!("CARGO"))).unwrap();
    let packages = known["packages"].as_array().unwrap();
    assert!(
        packages.len() > 100,
        "cargo named {} crates",
        packages.len()
    );
    assert_eq!(unlicensed(packages, &table("deny.toml")), [""; 0]);
}

fn packages(lock: &Table) -> impl Iterator<Item = (&str, &str, Option<&str>)> {
    let all = lock["package"].as_array().unwrap();
    all.iter().map(|p| {
        let text = |key| p.get(key).and_then(toml::Value::as_str);
        (
            text("name").unwrap(),
            text("version").unwrap(),
            text("source"),
        )
    })
}

/// Crates from elsewhere. Only our own has no source.
fn foreign(lock: &Table) -> Vec<String> {
    packages(lock)
        .filter(|(name, _, source)| {
            *source != Some(CRATES_IO) && (*name, *source) != ("ubos-sync", None)
        })
        .map(|(name, _, source)| format!("{name} comes from {}", source.unwrap_or("a directory")))
        .collect()
}

fn bad(lock: &Table, list: &Table) -> Vec<String> {
    let mut found = Vec::new();
    for advisory in list["advisory"].as_array().unwrap() {
        let ranges = advisory["bad"].as_array().unwrap();
        let hit = |version: &str| ranges.iter().any(|r| is_in(version, r.as_str().unwrap()));
        for (name, version, _) in packages(lock) {
            if advisory["crate"].as_str() == Some(name) && hit(version) {
                found.push(format!(
                    "{name} {version}: {} {}",
                    advisory["id"], advisory["why"]
                ));
            }
        }
    }
    found
}

/// The three numbers of a version; what follows them (a pre-release, a build) decides nothing here.
fn numbers(version: &str) -> [u64; 3] {
    let plain = version.split(['-', '+']).next().unwrap();
    let each: Vec<u64> = plain.split('.').map(|n| n.parse().unwrap()).collect();
    each.try_into().unwrap()
}

fn is_in(version: &str, range: &str) -> bool {
    range == "*"
        || range.split(", ").all(|bound| match bound.split_once(' ') {
            Some(("<", limit)) => numbers(version) < numbers(limit),
            Some((">=", limit)) => numbers(version) >= numbers(limit),
            _ => panic!("not a range: {range}"),
        })
}

fn unlicensed(packages: &[Value], deny: &Table) -> Vec<String> {
    let allow = deny["licenses"]["allow"].as_array().unwrap();
    let allowed: Vec<&str> = allow.iter().filter_map(toml::Value::as_str).collect();
    packages
        .iter()
        .filter(|p| {
            !p["license"]
                .as_str()
                .is_some_and(|l| is_allowed(l, &allowed))
        })
        .map(|p| format!("{} {}: {}", p["name"], p["version"], p["license"]))
        .collect()
}

/// Reads `(A OR B) AND C`, and the older `A/B`, which means OR. Anything that is not understood is not allowed.
fn is_allowed(licence: &str, allowed: &[&str]) -> bool {
    let spaced = licence
        .replace('/', " OR ")
        .replace('(', " ( ")
        .replace(')', " ) ");
    let mut words = spaced.split_whitespace().peekable();
    any_of(&mut words, allowed) == Some(true) && words.next().is_none()
}

type Words<'w, 't> = &'w mut std::iter::Peekable<std::str::SplitWhitespace<'t>>;

fn any_of(words: Words, allowed: &[&str]) -> Option<bool> {
    let mut fits = all_of(words, allowed)?;
    while words.next_if_eq(&"OR").is_some() {
        fits |= all_of(words, allowed)?;
    }
    Some(fits)
}

fn all_of(words: Words, allowed: &[&str]) -> Option<bool> {
    let mut fits = one(words, allowed)?;
    while words.next_if_eq(&"AND").is_some() {
        fits &= one(words, allowed)?;
    }
    Some(fits)
}

fn one(words: Words, allowed: &[&str]) -> Option<bool> {
    let word = words.next()?;
    if word == "(" {
        let fits = any_of(words, allowed)?;
        return (words.next()? == ")").then_some(fits);
    }
    // An exception makes another licence of it.
    match words.next_if_eq(&"WITH") {
        Some(_) => Some(allowed.contains(&format!("{word} WITH {}", words.next()?).as_str())),
        None => Some(allowed.contains(&word)),
    }
}

/// On locks and licences that are made up: a check that never fails proves nothing.
mod the_checks {
    use super::*;

    #[test]
    fn see_a_crate_from_elsewhere() {
        let lock = |source: &str| -> Table {
            toml::from_str(&format!("[[package]]\nname = \"ubos-sync\"\nversion = \"0.1.0\"\n[[package]]\nname = \"x\"\nversion = \"1.0.0\"\n{source}")).unwrap()
        };
        assert_eq!(
            foreign(&lock(&format!("source = \"{CRATES_IO}\""))),
            [""; 0]
        );
        for other in [
            "",
            "source = \"git+https://example.org/x\"",
            "source = \"registry+https://example.org\"",
        ] {
            assert_eq!(foreign(&lock(other)).len(), 1, "{other}");
        }
    }

    #[test]
    fn see_a_version_that_is_known_to_be_bad() {
        let list = table("tests/supply/advisories.toml");
        let found = |name: &str, version: &str| {
            let lock = format!("[[package]]\nname = \"{name}\"\nversion = \"{version}\"\n");
            bad(&toml::from_str(&lock).unwrap(), &list).len()
        };
        assert_eq!(
            (found("rustls", "0.23.44"), found("rustls", "0.23.45")),
            (1, 0)
        );
        assert_eq!(
            (found("rustls", "0.22.3"), found("rustls", "0.22.4")),
            (1, 0)
        );
        assert_eq!(
            (found("smallvec", "0.6.2"), found("smallvec", "1.6.0")),
            (0, 1)
        );
        assert_eq!(found("atty", "0.2.14"), 1);
    }

    #[test]
    fn read_licences_as_they_are_written() {
        let allowed = ["MIT", "ISC", "Zlib WITH x"];
        let fits = |licence: &str| is_allowed(licence, &allowed);
        for good in [
            "MIT",
            "GPL-3.0 OR MIT",
            "GPL-3.0/MIT",
            "MIT AND ISC",
            "(GPL-3.0 OR ISC) AND MIT",
            "Zlib WITH x",
        ] {
            assert!(fits(good), "{good}");
        }
        for no in [
            "",
            "GPL-3.0",
            "MIT AND GPL-3.0",
            "Zlib",
            "MIT WITH y",
            "(MIT",
            "MIT)",
            "MIT MIT",
            "MIT OR",
        ] {
            assert!(!fits(no), "{no}");
        }
        let deny = toml::from_str("[licenses]\nallow = [\"MIT\"]").unwrap();
        let none = serde_json::json!([{"name": "x", "version": "1.0.0", "license": null}]);
        assert_eq!(unlicensed(none.as_array().unwrap(), &deny).len(), 1);
    }
}
