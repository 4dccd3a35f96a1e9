//! `report`: one page for a browser that answers whether everything is fine, and shows what the records hold. Connects to nobody.

use std::path::PathBuf;

use clap::Args;

use super::args::Global;
use super::documents;
use super::failure::Failure;
use super::out;
use super::render::report::{Facts, page};
use super::worker_state;
use crate::audit::store::Store;
use crate::host::{clock, files, policy_file};
use crate::lanes::memory;
use crate::model::conflict::conflicts;
use crate::model::exit;
use crate::model::overview;
use crate::model::record::{Record, SCHEMA};

/// Write a page for a browser: is everything fine, what ran, what is open
#[derive(Debug, Args)]
pub struct Report {
    /// Where to put it [default: standard output]
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
}

/// Records that are looked through: three and a half days of one every five minutes.
const NEWEST: usize = 1000;

impl Report {
    pub fn run(&self, global: &Global) -> Result<u8, Failure> {
        let policy = policy_file::load(global.policy.as_deref())?;
        let store = Store::open(&policy.audit.dir).map_err(|e| Failure::failed(e.to_string()))?;
        let newest = store
            .newest(NEWEST)
            .map_err(|e| Failure::failed(e.to_string()))?;
        let damaged = newest.iter().filter(|s| s.damaged.is_some()).count();
        let records: Vec<Record> = newest
            .iter()
            .filter_map(|s| store.read(&s.run).ok())
            .collect();
        let worker = worker_state::read(&policy);
        let facts = Facts {
            now: clock::now(),
            site: &policy.site.name,
            most: policy.schedule.interval * 3 + policy.schedule.jitter,
            standings: overview::standings(&policy, &records),
            conflicts: conflicts(&records),
            streak: memory::streak(&policy),
            worker: worker.as_ref().map(|w| (w.alive, w.doc.clone())),
            records: &records,
            damaged,
        };
        let html = page(&facts);
        let Some(file) = &self.out else {
            out::text(&html);
            return Ok(exit::DONE);
        };
        files::write_atomic(file, html.as_bytes(), files::Sync::Name)
            .map_err(|e| Failure::failed(format!("the report cannot be written: {e}")))?;
        if global.json {
            out::json(&documents::Report {
                schema: SCHEMA,
                command: "report",
                outcome: "applied",
                exit_code: exit::DONE,
                file: file.to_string_lossy(),
                bytes: html.len(),
                runs: records.len(),
            });
        } else if !global.quiet {
            out::line(&format!(
                "{}: {} of {}",
                crate::model::text::neutral(&file.to_string_lossy()),
                crate::model::text::size(html.len() as u64),
                crate::model::text::count(records.len(), "run")
            ));
        }
        Ok(exit::DONE)
    }
}
