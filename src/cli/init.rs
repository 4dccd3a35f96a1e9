//! `init`: a commented starter policy and the marker of its root.
//!
//! Invariant: nothing that exists is changed, and nothing is written that `check` would not accept.

use std::path::{Path, PathBuf};

use clap::Args;

use super::args::Global;
use super::documents;
use super::failure::Failure;
use super::out;
use crate::host::plain_files;
use crate::host::policy_file::{self, FILE_NAME, PolicyError};
use crate::model::exit;
use crate::model::policy::{self, Policy};
use crate::model::record;
use crate::model::text::neutral;

const STARTER: &str = include_str!("starter.toml");
const SCHEMA: &str = include_str!("../../schema/ubos-sync.schema.json");

/// Write a starter policy and the markers; never overwrites
#[derive(Debug, Args)]
pub struct Init {
    /// The directory to sync; the policy goes into it
    #[arg(default_value = ".")]
    dir: PathBuf,
    /// Write no policy: only the markers that an existing policy's local roots lack
    #[arg(long, conflicts_with = "dir")]
    markers: bool,
}

impl Init {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let written = if self.markers {
            markers(&policy_file::load(global.policy.as_deref())?)?
        } else {
            self.starter()?
        };
        if global.json {
            let written = written.iter().map(|p| p.to_string_lossy()).collect();
            out::json(&documents::Init {
                schema: record::SCHEMA,
                command: "init",
                outcome: "applied",
                exit_code: exit::DONE,
                written,
            });
        } else if !global.quiet {
            for path in &written {
                out::line(&format!("wrote {}", shown(path)));
            }
            if !self.markers {
                out::line(
                    "Next: name a peer in it, then `ubos-sync check` and `ubos-sync doctor`.",
                );
            }
        }
        Ok(exit::DONE)
    }

    fn starter(&self) -> Result<Vec<PathBuf>, Failure> {
        let dir = plain_files::absolute(&self.dir).map_err(|e| cannot(&self.dir, &e))?;
        let file = dir.join(FILE_NAME);
        if plain_files::exists(&file) {
            let message = format!(
                "{} exists and is not overwritten; `ubos-sync init --markers` writes the markers its roots lack",
                shown(&file)
            );
            return Err(Failure::usage(message));
        }
        let policy = policy::read(STARTER.as_bytes(), &file, &policy_file::env())
            .map_err(|faults| Failure::from(PolicyError::Faults(file.clone(), faults)))?;
        plain_files::make_dir(&dir).map_err(|e| cannot(&dir, &e))?;
        plain_files::write_new(&file, STARTER.as_bytes()).map_err(|e| cannot(&file, &e))?;
        let mut written = vec![file];
        let schema = dir.join(policy::SCHEMA_FILE);
        if !plain_files::exists(&schema) {
            plain_files::write_new(&schema, SCHEMA.as_bytes()).map_err(|e| cannot(&schema, &e))?;
            written.push(schema);
        }
        written.extend(markers(&policy)?);
        Ok(written)
    }
}

/// Marks every root on this machine that is there and has no marker. A root that is NOT there is
/// never made: it may be a disk that is not mounted.
fn markers(policy: &Policy) -> Result<Vec<PathBuf>, Failure> {
    let mut written = Vec::new();
    let roots = policy.peers.iter().filter_map(|p| p.local_root());
    for root in std::iter::once(policy.site.root.clone()).chain(roots) {
        let marker = root.join(&policy.guards.marker);
        if !plain_files::leads_to_dir(&root) {
            out::note(&format!(
                "{}: no such directory, so no marker",
                shown(&root)
            ));
        } else if !plain_files::exists(&marker) {
            plain_files::write_new(&marker, b"").map_err(|e| cannot(&marker, &e))?;
            written.push(marker);
        }
    }
    for peer in policy.peers.iter().filter(|p| p.remote.is_some()) {
        out::note(&format!(
            "{}: on that host, create {}/{}",
            peer.name,
            neutral(&peer.root),
            policy.guards.marker
        ));
    }
    Ok(written)
}

fn cannot(path: &Path, error: &std::io::Error) -> Failure {
    Failure::failed(format!("cannot write {}: {error}", shown(path)))
}

fn shown(path: &Path) -> String {
    neutral(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_starter_is_a_sound_policy() {
        let env = policy::Env {
            home: Some("/home/u".into()),
            hostname: "h".into(),
            state_home: None,
        };
        let policy = policy::read(STARTER.as_bytes(), Path::new("/srv/x/ubos-sync.toml"), &env);
        assert_eq!(policy.unwrap().site.root, Path::new("/srv/x"));
    }
}
