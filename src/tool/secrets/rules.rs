//! Rule files in the format of gitleaks: read, put on top of the default ones where they say so, made ready to search with. Pure.
//!
//! Invariants: a key that is not known is an error, because it could mean more findings; so is what needs another program or a
//! second file. What a rule file may leave to gitleaks alone is said by name.

use std::collections::{BTreeMap, BTreeSet};

use aho_corasick::AhoCorasick;
use serde::Deserialize;

use crate::tool::secrets::regexes::Lazy;

/// Rules that are ready to search with.
#[derive(Debug)]
pub struct Rules {
    pub(super) all: Vec<Rule>,
    pub(super) allow: Vec<Allow>,
    /// Finds the words without which no rule can match, whatever their case.
    pub(super) words: AhoCorasick,
    /// By word: the rules that it stands for.
    pub(super) by_word: Vec<Vec<usize>>,
}

#[derive(Debug, Default)]
pub struct Rule {
    pub id: String,
    pub(super) regex: Option<Lazy>,
    pub(super) path: Option<Lazy>,
    pub(super) group: usize,
    pub(super) entropy: f64,
    pub(super) words: Vec<String>,
    pub(super) allow: Vec<Allow>,
}

/// What is no secret although a rule matches.
#[derive(Debug)]
pub struct Allow {
    pub(super) all_must_hold: bool,
    pub(super) target: Target,
    pub(super) paths: Vec<Lazy>,
    pub(super) regexes: Vec<Lazy>,
    pub(super) stop: Option<AhoCorasick>,
    /// It names commits; what is searched here belongs to none.
    pub(super) commits: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Target {
    Secret,
    Match,
    Line,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct File {
    #[serde(rename = "title")]
    _title: String,
    #[serde(rename = "description")]
    _description: String,
    #[serde(rename = "minversion")]
    _min_version: String,
    extend: Extend,
    rules: Vec<FileRule>,
    allowlist: Option<FileAllow>,
    allowlists: Vec<FileAllow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct Extend {
    path: String,
    url: String,
    usedefault: bool,
    disabledrules: BTreeSet<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileRule {
    id: String,
    #[serde(rename = "description")]
    _description: String,
    #[serde(rename = "tags")]
    _tags: Vec<String>,
    regex: String,
    path: String,
    secretgroup: usize,
    entropy: f64,
    keywords: Vec<String>,
    allowlist: Option<FileAllow>,
    allowlists: Vec<FileAllow>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
struct FileAllow {
    #[serde(rename = "description")]
    _description: String,
    targetrules: Vec<String>,
    condition: String,
    commits: Vec<String>,
    paths: Vec<String>,
    regextarget: String,
    regexes: Vec<String>,
    stopwords: Vec<String>,
}

impl Rules {
    /// The rules of a file; its fault, in one line, if it has one.
    pub fn parse(text: &str) -> Result<Rules, String> {
        let (rules, allow) = read(text, true)?;
        let mut words: Vec<String> = rules.iter().flat_map(|r| r.words.clone()).collect();
        words.sort();
        words.dedup();
        let by_word = words
            .iter()
            .map(|w| {
                (0..rules.len())
                    .filter(|i| rules[*i].words.contains(w))
                    .collect()
            })
            .collect();
        Ok(Rules {
            words: automaton(&words)?,
            by_word,
            all: rules,
            allow,
        })
    }

    /// Compiles everything that may ever be needed.
    pub fn check(&self) -> Result<usize, String> {
        let ours = self.all.iter().flat_map(|r| r.regex.iter().chain(&r.path));
        let lists = self.all.iter().flat_map(|r| &r.allow).chain(&self.allow);
        let theirs = lists.flat_map(|a| a.paths.iter().chain(&a.regexes));
        ours.chain(theirs).try_for_each(|l| l.get().map(|_| ()))?;
        Ok(self.all.len())
    }
}

type Read = (Vec<Rule>, Vec<Allow>);

fn read(text: &str, may_extend: bool) -> Result<Read, String> {
    let table: toml::Value = toml::from_str(text).map_err(|e| one_line(&e))?;
    // The format takes its keys in any case.
    let file: File = lower(table).try_into().map_err(|e| one_line(&e))?;
    if !file.extend.path.is_empty() || !file.extend.url.is_empty() {
        return Err("extend.path and extend.url are for gitleaks alone".into());
    }
    let mut rules = Vec::new();
    for rule in file.rules {
        rules.push(rule_of(rule)?);
    }
    let mut allow = Vec::new();
    let mut aimed = Vec::new();
    for list in file.allowlists.into_iter().chain(file.allowlist) {
        let at = list.targetrules.clone();
        let list = || allow_of(&list);
        match at.is_empty() {
            true => allow.push(list()?),
            false => aimed.extend(at.into_iter().map(|id| list().map(|l| (id, l)))),
        }
    }
    if file.extend.usedefault && may_extend {
        let (theirs, lists) = read(super::DEFAULT, false)?;
        let theirs = theirs
            .into_iter()
            .filter(|r| !file.extend.disabledrules.contains(&r.id));
        rules = merge(rules, theirs);
        allow.extend(lists);
    }
    for item in aimed {
        let (id, list) = item?;
        let rule = rules.iter_mut().find(|r| r.id == id);
        let rule = rule.ok_or(format!(
            "an allowlist names the rule {id:?}, which is not there"
        ))?;
        rule.allow.push(list);
    }
    if let Some(bad) = rules.iter().find(|r| r.regex.is_none() && r.path.is_none()) {
        return Err(format!("the rule {:?} has neither regex nor path", bad.id));
    }
    Ok((rules, allow))
}

/// The rules of a file over those that it extends: of a rule that both have, what the file says counts.
fn merge(ours: Vec<Rule>, theirs: impl Iterator<Item = Rule>) -> Vec<Rule> {
    let mut all: BTreeMap<String, Rule> = theirs.map(|r| (r.id.clone(), r)).collect();
    for rule in ours {
        let Some(base) = all.get_mut(&rule.id) else {
            all.insert(rule.id.clone(), rule);
            continue;
        };
        base.regex = rule.regex.or(base.regex.take());
        base.path = rule.path.or(base.path.take());
        if rule.group != 0 {
            base.group = rule.group;
        }
        if rule.entropy != 0.0 {
            base.entropy = rule.entropy;
        }
        base.words.extend(rule.words);
        base.allow.extend(rule.allow);
    }
    all.into_values().collect()
}

fn rule_of(rule: FileRule) -> Result<Rule, String> {
    if rule.id.is_empty() {
        return Err("a rule has no id".into());
    }
    let lazy = |s: &str| (!s.is_empty()).then(|| Lazy::new(s));
    let lists = rule.allowlists.iter().chain(&rule.allowlist);
    let allow = lists.map(allow_of).collect::<Result<_, _>>();
    Ok(Rule {
        regex: lazy(&rule.regex),
        path: lazy(&rule.path),
        group: rule.secretgroup,
        entropy: rule.entropy,
        words: rule.keywords.iter().map(|k| k.to_lowercase()).collect(),
        allow: allow.map_err(|e| format!("rule {}: {e}", rule.id))?,
        id: rule.id,
    })
}

fn allow_of(list: &FileAllow) -> Result<Allow, String> {
    let all_must_hold = match list.condition.to_uppercase().as_str() {
        "AND" | "&&" => true,
        "" | "OR" | "||" => false,
        other => return Err(format!("unknown condition {other:?} of an allowlist")),
    };
    let target = match list.regextarget.as_str() {
        "" | "secret" => Target::Secret,
        "match" => Target::Match,
        "line" => Target::Line,
        other => return Err(format!("unknown regexTarget {other:?} of an allowlist")),
    };
    let none = |v: &Vec<String>| v.is_empty();
    if none(&list.commits) && none(&list.paths) && none(&list.regexes) && none(&list.stopwords) {
        return Err("an allowlist that names nothing".into());
    }
    let lazy = |v: &[String]| v.iter().map(|s| Lazy::new(s)).collect();
    Ok(Allow {
        all_must_hold,
        target,
        paths: lazy(&list.paths),
        regexes: lazy(&list.regexes),
        stop: match none(&list.stopwords) {
            true => None,
            false => Some(automaton(&list.stopwords)?),
        },
        commits: !none(&list.commits),
    })
}

fn automaton(words: &[String]) -> Result<AhoCorasick, String> {
    AhoCorasick::builder()
        .ascii_case_insensitive(true)
        .build(words)
        .map_err(|e| e.to_string())
}

fn lower(value: toml::Value) -> toml::Value {
    use toml::Value::{Array, Table};
    match value {
        Table(t) => {
            let lowered = t.into_iter().map(|(k, v)| (k.to_lowercase(), lower(v)));
            Table(lowered.collect())
        }
        Array(a) => Array(a.into_iter().map(lower).collect()),
        other => other,
    }
}

fn one_line(e: &toml::de::Error) -> String {
    e.message().replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_of_the_shipped_file_is_taken() {
        let rules = Rules::parse(crate::tool::secrets::DEFAULT).unwrap();
        assert_eq!(rules.check().unwrap(), 222);
        assert_eq!(
            crate::tool::secrets::DEFAULT
                .matches("\n[[rules]]\n")
                .count(),
            222
        );
    }

    #[test]
    fn a_file_extends_the_shipped_one_as_its_format_says() {
        let text = r#"
            [extend]
            useDefault = true
            disabledRules = ["jwt"]
            [[rules]]
            ID = "github-pat"
            entropy = 5.5
            [[rules.allowlists]]
            stopWords = ["sample"]
            [[rules]]
            id = "own"
            regex = '''own-[0-9]{4}'''
            [[allowlists]]
            targetRules = ["own"]
            paths = ["docs/"]
            [[allowlists]]
            regexes = ["^nothing$"]
        "#;
        let rules = Rules::parse(text).unwrap();
        assert_eq!(rules.check().unwrap(), 222);
        let of = |id: &str| rules.all.iter().find(|r| r.id == id);
        assert!(of("jwt").is_none());
        let pat = of("github-pat").unwrap();
        assert!(pat.regex.is_some() && pat.entropy == 5.5 && pat.allow.len() == 2);
        assert_eq!((of("own").unwrap().allow.len(), rules.allow.len()), (1, 2));
    }

    #[test]
    fn what_is_not_understood_is_an_error_and_not_left_out() {
        for (bad, word) in [
            (
                "[[rules]]\nid = 'a'\nregex = 'x'\nrequired = []",
                "required",
            ),
            ("[extend]\npath = 'other.toml'", "extend.path"),
            ("[[rules]]\nregex = 'x'", "no id"),
            ("[[rules]]\nid = 'a'", "neither"),
            ("[allowlist]\ncondition = 'xor'\npaths = ['a']", "XOR"),
            ("[allowlist]", "nothing"),
            (
                "[[allowlists]]\ntargetRules = ['no']\npaths = ['a']",
                "not there",
            ),
            ("rules = 1", "sequence"),
            ("[[rule", "expected"),
        ] {
            let said = Rules::parse(bad).unwrap_err();
            assert!(said.contains(word), "{bad}: {said}");
        }
        let bad = Rules::parse("[[rules]]\nid = 'a'\nregex = '(?<!a)b'").unwrap();
        assert!(bad.check().is_err());
    }
}
