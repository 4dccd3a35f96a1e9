//! Every kind of fault is found at its key, and how faults are told. What is at fault lies in a table for each section.

mod machine;
mod peers;
mod publish;
mod truth;

use super::*;

/// What follows the site, key of the fault, part of the reason.
type Row = (&'static str, &'static str, &'static str);

#[test]
fn every_kind_of_fault_is_found_at_its_key() {
    let all = [
        machine::FAULTS,
        truth::FAULTS,
        peers::FAULTS,
        publish::FAULTS,
    ];
    for (rest, key, reason) in all.concat() {
        let faults = with(rest).expect_err(rest);
        let hit = faults.iter().find(|f| f.key == key);
        let hit = hit.unwrap_or_else(|| panic!("{rest}: {faults:#?}"));
        assert!(hit.reason.contains(reason), "{rest}: {hit}");
        assert!(hit.line > 3 && hit.column > 0, "{rest}: {hit:?}");
        assert!(faults.iter().all(|f| f.key == key), "{rest}: {faults:#?}");
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
fn a_newer_schema_is_refused_with_the_reason() {
    let faults = parse("schema = 2\n[site]\nroot = \"/x\"\n").unwrap_err();
    assert!(faults[0].reason.contains("newer"), "{faults:?}");
}
