//! The `[publish]` section: what is fanned out, and to which targets.

use std::path::Path;
use std::time::Duration;

use super::fault::Bad;
use super::machine::{local_path, show_path};
use super::peers;
use super::place;
use super::reader::Section;
use super::resolve::Context;
use super::settings::quoted;
use super::truth;
use super::types::*;
use super::values;
use crate::model::glob::Glob;
use crate::model::rules::Spec;

/// `None` when something is wrong, `Some(None)` when there is no such section.
pub fn publish(root: &Section, context: &Context, site: Option<&Site>) -> Option<Option<Publish>> {
    let section = root.table("publish");
    if !section.is_present() {
        return Some(None);
    }
    let base = site.map_or(context.base, |s| &s.root);
    let from_root = |v| place::local(values::text(v)?, base, context.env);
    let exclude = truth::glob_list(&section, "exclude", &[".git/", "__pycache__/", ".vscode/"]);
    let publish = Publish {
        source: section.or("source", base.to_owned(), from_root, show_path),
        remote: section.or("remote", "origin".into(), values::git_name, quoted),
        url: section.or("url", String::new(), values::git_url, quoted),
        branch: section.or("branch", "main".into(), branch, quoted),
        exclude: truth::rules(
            &section,
            "exclude",
            Spec {
                exclude,
                ..Spec::default()
            },
        ),
        scan: section.or(
            "scan",
            Scan::Gitleaks,
            |v| values::word(v, &SCANS),
            |s| shown(&SCANS, *s),
        ),
        scan_config: section.optional("scan_config", local_path(context), show_path),
        scan_timeout: section.or(
            "scan_timeout",
            Duration::from_secs(900),
            values::duration,
            |d| quoted(&super::show_duration(*d)),
        ),
        allow: section.list(
            "allow",
            Vec::new(),
            |v| values::text(v).map(str::to_owned),
            quoted,
        ),
        parallel: section.or(
            "parallel",
            8,
            |v| values::integer(v, 1, 256),
            u64::to_string,
        ),
        layout: section.or(
            "layout",
            Layout::InPlace,
            |v| values::word(v, &LAYOUTS),
            |l| shown(&LAYOUTS, *l),
        ),
        keep_releases: section.or(
            "keep_releases",
            3,
            |v| values::integer(v, 1, 10_000),
            u64::to_string,
        ),
        targets: section
            .tables("target")
            .into_iter()
            .filter_map(|t| target(t, context))
            .collect(),
    };
    section.close();
    Some(Some(publish))
}

const SCANS: [(&str, Scan); 3] = [
    ("gitleaks", Scan::Gitleaks),
    ("builtin", Scan::Builtin),
    ("off", Scan::Off),
];
const LAYOUTS: [(&str, Layout); 2] = [
    ("in-place", Layout::InPlace),
    ("releases", Layout::Releases),
];

fn shown<T: PartialEq>(words: &[(&str, T)], value: T) -> String {
    quoted(
        words
            .iter()
            .find(|(_, v)| *v == value)
            .map_or("", |(word, _)| word),
    )
}

fn branch(value: &toml::de::DeValue) -> Result<String, Bad> {
    match values::git_name(value)? {
        name if name.is_empty() => Err(Bad::new("may not be empty")),
        name => Ok(name),
    }
}

fn target(section: Section, context: &Context) -> Option<Target> {
    let name = section.required("name", values::name, quoted);
    let remote = peers::remote(&section, context);
    let is_remote = matches!(remote, Some(Some(_)) | None);
    let path = section.required(
        "path",
        |v| peers::any_path(values::text(v)?, is_remote, context),
        quoted,
    );
    section.close();
    Some(Target {
        name: name?,
        remote: remote?,
        path: path?,
    })
}

/// The names that a published tree never has, whatever the policy lists.
pub fn always_excluded() -> Vec<Glob> {
    [".git", "__pycache__", ".vscode"]
        .iter()
        .filter_map(|name| Glob::parse(name).ok())
        .collect()
}

impl Target {
    /// The path as one of this machine; `None` when it is on another.
    pub fn local_path(&self) -> Option<&Path> {
        self.remote.is_none().then(|| Path::new(&self.path))
    }
}
