//! The catalogue of cases that must end well: each has an ID, and a test that has it in its name (`cr_01_04_…` stands for CR-01 and
//! CR-04). One that is dropped is missed here.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

/// IDs in the names of functions: `fn se_01_02_words` has SE-01 and SE-02.
fn named(source: &str, into: &mut BTreeSet<String>) {
    for line in source.lines() {
        let Some(name) = line.trim_start().strip_prefix("fn ") else {
            continue;
        };
        let name = name.split('(').next().unwrap_or_default();
        let mut group = String::new();
        for word in name.split('_') {
            match word.bytes().all(|b| b.is_ascii_digit()) && word.len() == 2 {
                true if group.len() == 2 => {
                    into.insert(format!("{group}-{word}"));
                }
                _ => group = word.to_uppercase(),
            }
        }
    }
}

fn sources(dir: &Path, into: &mut BTreeSet<String>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            named(&fs::read_to_string(&path).unwrap(), into);
        }
    }
}

#[test]
fn every_case_of_the_catalogue_has_a_test_that_names_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("tests/golden/catalogue.txt")).unwrap();
    let all: BTreeSet<String> = list.lines().map(str::to_owned).collect();
    let mut covered = BTreeSet::new();
    sources(&root.join("tests"), &mut covered);
    sources(&root.join("src"), &mut covered);
    let missing: Vec<&String> = all.difference(&covered).collect();
    assert!(missing.is_empty(), "cases without a test: {missing:?}");
    assert!(all.len() >= 169, "{} cases", all.len());
}

#[test]
fn names_give_their_ids() {
    let mut found = BTreeSet::new();
    named(
        "    fn cr_01_04_x_12() {}\nfn to_99_years() {}\n",
        &mut found,
    );
    let expected = ["CR-01", "CR-04", "TO-99"].map(str::to_owned);
    assert_eq!(found, BTreeSet::from(expected));
}
