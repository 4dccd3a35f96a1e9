//! Invocations of `gitleaks` and its report. Pure: builds argument lists, parses bytes.
//!
//! Invariants: the scanner is told to redact, so no report ever holds a secret; of a finding only rule, place and fingerprint
//! are read.

use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::model::invocation::Invocation;

/// The exit code that means "found something", so that it cannot be taken for a crash (1) or bad usage (126).
pub const FOUND: i32 = 37;
/// The list of findings that were looked at, in the top of a tree.
pub const IGNORE: &str = ".gitleaksignore";

/// Something that looks like a secret: where, and by which rule. Never what.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Leak {
    pub path: String,
    pub line: u64,
    pub rule: String,
}

impl Leak {
    /// What `[publish] allow` names; the same as gitleaks's own for a directory.
    pub fn fingerprint(&self) -> String {
        format!("{}:{}:{}", self.path, self.rule, self.line)
    }
}

/// A directory to scan.
pub struct Order<'a> {
    pub dir: &'a Path,
    pub config: Option<&'a Path>,
    /// Where the tree's own list of looked-at findings lies, if it counts.
    pub ignore: Option<&'a Path>,
    pub report: &'a Path,
}

impl Order<'_> {
    /// It is started in the directory, so that paths in rules, lists and the report are those of the repository. Where the tree's
    /// own list must not count, it is given the absolute name instead, under which no entry of that list can match.
    pub fn call(&self, program: &Path) -> Invocation {
        let mut call = Invocation::new(program).within(self.dir).args([
            "dir",
            "--no-banner",
            "--no-color",
            "--redact",
            "--log-level=error",
            "--report-format=json",
            "--exit-code=37",
        ]);
        call = call.args(["--report-path".as_ref(), self.report.as_os_str()]);
        if let Some(config) = self.config {
            call = call.args(["--config".as_ref(), config.as_os_str()]);
        }
        match self.ignore {
            Some(list) => call
                .args(["--gitleaks-ignore-path".as_ref(), list.as_os_str()])
                .args(["--", "."]),
            None => call
                .args(["--ignore-gitleaks-allow", "--"])
                .args([self.dir]),
        }
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Raw {
    #[serde(rename = "RuleID")]
    rule: String,
    file: String,
    #[serde(default)]
    symlink_file: String,
    start_line: u64,
}

/// The findings of a report about `dir`. `None` when it is not one.
pub fn parse_report(bytes: &[u8], dir: &Path) -> Option<Vec<Leak>> {
    let raw: Option<Vec<Raw>> = serde_json::from_slice(bytes).ok()?;
    let dir = format!("{}/", dir.display());
    let mut leaks: Vec<Leak> = raw?
        .into_iter()
        .map(|r| {
            let file = if r.symlink_file.is_empty() {
                r.file
            } else {
                r.symlink_file
            };
            Leak {
                path: file.strip_prefix(&dir).unwrap_or(&file).to_owned(),
                line: r.start_line,
                rule: r.rule,
            }
        })
        .collect();
    leaks.sort();
    leaks.dedup();
    Some(leaks)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_rule_and_place_are_read() {
        let report = br#"[{"RuleID":"aws-access-token","Description":"d","StartLine":3,"Match":"REDACTED","Secret":"REDACTED",
            "File":"/e/x/conf/a.env","SymlinkFile":"","Fingerprint":"/e/x/conf/a.env:aws-access-token:3"}]"#;
        let leaks = parse_report(report, Path::new("/e/x")).unwrap();
        assert_eq!(leaks[0].fingerprint(), "conf/a.env:aws-access-token:3");
        assert_eq!(parse_report(b"[]", Path::new("/e")).unwrap(), []);
    }

    #[test]
    fn what_is_no_report_is_no_clean_report() {
        for bad in [
            &b""[..],
            b"null",
            b"{}",
            b"[{}]",
            b"[{\"RuleID\":1}]",
            b"[] x",
        ] {
            assert!(parse_report(bad, Path::new("/e")).is_none());
        }
    }

    #[test]
    fn the_scanner_is_told_to_redact_and_how_to_say_found() {
        let order = |ignore| Order {
            dir: Path::new("/e"),
            config: None,
            ignore,
            report: Path::new("/r"),
        };
        let argv = order(Some(Path::new("/e"))).call(Path::new("/g")).argv();
        assert!(
            argv.contains(&"--redact".into()) && argv.contains(&format!("--exit-code={FOUND}"))
        );
        assert_eq!(argv.last().unwrap(), ".");
        let argv = order(None).call(Path::new("/g")).argv();
        assert_eq!(argv.last().unwrap(), "/e");
        assert!(argv.contains(&"--ignore-gitleaks-allow".into()));
    }
}
