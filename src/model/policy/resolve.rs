//! From the text of the file to a [`Policy`], or to every fault in it at once.

use std::path::Path;

use sha2::{Digest, Sha256};
use toml::de::DeValue;

use super::fault::{Bad, Fault, Lines};
use super::place::Env;
use super::reader::{MAX_FAULTS, Reader, Section};
use super::types::*;
use super::{checks, machine, peers, publish, source, truth, values};

/// What every section needs to resolve paths.
pub struct Context<'a> {
    pub file: &'a Path,
    /// The directory of the policy.
    pub base: &'a Path,
    pub env: &'a Env,
}

/// Reads a policy. `file` must be absolute; it decides where relative paths lead.
pub fn read(bytes: &[u8], file: &Path, env: &Env) -> Result<Policy, Vec<Fault>> {
    let text = source::decode(bytes)?;
    let lines = Lines::new(text);
    let (table, syntax) = source::parse(text, &lines);
    let reader = Reader::new(lines);
    let context = Context {
        file,
        base: file.parent().unwrap_or(Path::new("/")),
        env,
    };
    let root = Section::root(&reader, table.get_ref());
    let policy = sections(&root, &context, digest(bytes));
    root.close();
    // A contradiction between values that are themselves wrong would only confuse.
    let policy = match policy {
        Some(mut policy) if syntax.is_empty() && reader.is_sound() => {
            checks::contradictions(&policy, &context, &reader);
            if reader.is_sound() {
                truth::compile(&mut policy, &context, &reader);
            }
            Some(policy)
        }
        _ => None,
    };
    let (faults, settings) = reader.finish();
    match policy {
        Some(mut policy) if faults.is_empty() => {
            policy.settings = settings;
            Ok(policy)
        }
        _ => Err(merged(syntax, faults)),
    }
}

/// Syntax faults first hide what they caused: values on their lines, and keys gone missing.
fn merged(syntax: Vec<Fault>, mut faults: Vec<Fault>) -> Vec<Fault> {
    if !syntax.is_empty() {
        faults.retain(|f| {
            !f.reason.starts_with("is missing") && syntax.iter().all(|s| s.line != f.line)
        });
    }
    faults.extend(syntax);
    faults.sort_by(|a, b| (a.line, a.column, &a.key).cmp(&(b.line, b.column, &b.key)));
    faults.dedup();
    faults.truncate(MAX_FAULTS);
    faults
}

fn sections(root: &Section, context: &Context, digest: String) -> Option<Policy> {
    root.or("schema", 1, schema, |n| n.to_string());
    let site = machine::site(root, context);
    let truth = truth::truth(root);
    let guards = machine::guards(root);
    let peers = peers::peers(root, context, site.as_ref());
    let writer = machine::writer(root);
    let schedule = machine::schedule(root);
    let snapshots = machine::snapshots(root);
    let service = machine::service(root);
    let audit = machine::audit(root, context);
    let notify = machine::notify(root, context);
    let metrics_textfile = machine::metrics(root, context);
    let publish = publish::publish(root, context, site.as_ref());
    Some(Policy {
        file: context.file.to_owned(),
        digest,
        site: site?,
        truth,
        guards,
        peers,
        writer,
        schedule,
        snapshots,
        service,
        audit: audit?,
        notify,
        metrics_textfile,
        publish: publish?,
        settings: Vec::new(),
    })
}

fn schema(value: &DeValue) -> Result<u64, Bad> {
    match values::integer(value, 0, u64::MAX)? {
        1 => Ok(1),
        0 => Err(Bad::with("there is no such schema", "1")),
        n => Err(Bad::with(
            format!(
                "schema {n} is newer than this program knows: it could misread what the policy allows"
            ),
            "a newer ubos-sync, or schema = 1",
        )),
    }
}

fn digest(bytes: &[u8]) -> String {
    Sha256::digest(bytes)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect()
}
