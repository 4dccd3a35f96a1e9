//! The report of the scanner for secrets.

use std::path::Path;

use ubos_sync::tool::gitleaks::{Leak, parse_report};

pub fn check(data: &[u8]) {
    let dir = Path::new("/e/x");
    let Some(leaks) = parse_report(data, dir) else {
        return;
    };
    assert!(leaks.is_sorted() && leaks.len() <= data.len());
    let report: Vec<_> = leaks
        .iter()
        .map(|l| serde_json::json!({"RuleID": l.rule, "File": l.path, "StartLine": l.line}))
        .collect();
    let again = parse_report(
        &serde_json::to_vec(&report).unwrap(),
        Path::new("/nowhere/else"),
    );
    assert_eq!(again, Some(leaks.clone()));
    let prints: Vec<String> = leaks.iter().map(Leak::fingerprint).collect();
    assert!(prints.iter().all(|p| p.matches(':').count() >= 2));
}
