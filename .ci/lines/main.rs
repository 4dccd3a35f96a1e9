//! How many lines of each file and directory were reached: `lines FLOOR… -- PROFILES -- PROGRAMS`.
//!
//! A line counts as the innermost region of code that goes on in it, or as one that begins in it. A line without a region (a
//! comment, a blank one) is none, and neither is one of the tests in the file.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use llvm_profparser::{CoverageMapping, CoverageResult, merge_profiles};

/// Files below this are named.
const WANTED: f64 = 90.0;

fn main() -> anyhow::Result<()> {
    let words: Vec<String> = std::env::args().skip(1).collect();
    let parts: Vec<&[String]> = words.split(|w| w == "--").collect();
    let [floors, profiles, programs] = parts[..] else {
        anyhow::bail!("lines FLOOR… -- PROFILES -- PROGRAMS");
    };
    let paths = |of: &[String]| of.iter().map(PathBuf::from).collect::<Vec<_>>();
    let profile = merge_profiles(&paths(profiles))?;
    let report = CoverageMapping::new(&paths(programs), &profile, true)?.generate_report()?;
    let mut sums: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    let mut files = Vec::new();
    let here = std::env::current_dir()?;
    for (path, result) in &report.files {
        let path = path.strip_prefix(&here).unwrap_or(path);
        let floor = floors.iter().find(|f| path.starts_with(f));
        let (Some(floor), Ok(text)) = (floor, std::fs::read_to_string(path)) else {
            continue;
        };
        if is_test(path) {
            continue;
        }
        let (reached, all) = lines(&text, result);
        let sum = sums.entry(floor).or_default();
        *sum = (sum.0 + reached, sum.1 + all);
        files.push((path, reached, all));
    }
    for (floor, (reached, all)) in &sums {
        println!(
            "{floor:<44} {:5.1} %  {reached} of {all} lines",
            share(*reached, *all)
        );
    }
    files.sort_by(|a, b| share(a.1, a.2).total_cmp(&share(b.1, b.2)));
    for (path, reached, all) in files {
        if share(reached, all) < WANTED {
            println!(
                "  {:<42} {:5.1} %  {reached} of {all} lines",
                path.display(),
                share(reached, all)
            );
        }
    }
    Ok(())
}

fn share(reached: usize, all: usize) -> f64 {
    if all == 0 {
        100.0
    } else {
        reached as f64 * 100.0 / all as f64
    }
}

fn is_test(path: &Path) -> bool {
    path.iter().filter_map(|part| part.to_str()).any(|part| {
        let name = part.trim_end_matches(".rs");
        name == ".." || name == "tests" || name.ends_with("_tests")
    })
}

fn lines(text: &str, result: &CoverageResult) -> (usize, usize) {
    let code = text.lines().take_while(|l| *l != "#[cfg(test)]").count();
    let (mut reached, mut all) = (0, 0);
    for line in 1..=code {
        let begun = result.hits.iter().filter(|(at, _)| at.line_start == line);
        let around = result
            .hits
            .iter()
            .filter(|(at, _)| at.line_start < line && at.line_end >= line);
        // The innermost one is the one that began last.
        let inner = around.max_by_key(|(at, _)| (at.line_start, at.column_start));
        let most = begun.chain(inner).map(|(_, hits)| *hits).max();
        all += usize::from(most.is_some());
        // A difference of counters that were written at different moments may be below zero.
        reached += usize::from(most.is_some_and(|hits| hits > 0 && isize::try_from(hits).is_ok()));
    }
    (reached, all)
}
