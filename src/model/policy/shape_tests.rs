//! The policy as editors know it: from these types comes `schema/ubos-sync.schema.json`, which `init` lays beside a policy.
//!
//! The program itself reads policies key by key (`reader.rs`), to report every fault with its place; no derived reader does that.
//! So these types are no second reader: they are the published shape, section by section as the program's own files are, and
//! `agreement` holds it against the reader.
//!
//! `UPDATE_SCHEMAS=1 cargo test --lib schema` writes the file anew.

mod agreement;
mod machine;
mod peers;
mod publish;
mod truth;
mod words;

use schemars::JsonSchema;

use crate::model::schema_tests::{is_current, of};

/// What ubos-sync may do on this host. Times: "300", "5m", "1h30m"; a bare number is seconds. Sizes: "256MiB". Globs as in .gitignore, without !
#[derive(JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(title = "ubos-sync policy")]
#[allow(dead_code, reason = "only its shape counts")]
struct PolicyFile {
    /// The version of this format
    #[schemars(default = "one", extend("const" = 1))]
    schema: u32,
    site: machine::Site,
    #[schemars(default)]
    truth: truth::Truth,
    #[schemars(default)]
    guards: machine::Guards,
    /// Another replica; any number of them
    #[schemars(default)]
    peer: Vec<peers::Peer>,
    /// A process that has to hold still while truth is carried over; absent: there is none
    writer: Option<machine::Writer>,
    #[schemars(default)]
    schedule: machine::Schedule,
    #[schemars(default)]
    snapshots: machine::Snapshots,
    #[schemars(default)]
    service: machine::Service,
    #[schemars(default)]
    audit: machine::Audit,
    #[schemars(default)]
    notify: machine::Notify,
    #[schemars(default)]
    metrics: machine::Metrics,
    /// The fan-out of a commit to targets without git; absent: there is none
    publish: Option<publish::Publish>,
}

fn one() -> u32 {
    1
}

fn generated() -> serde_json::Value {
    of::<PolicyFile>(true)
}

#[test]
fn the_schema_for_editors_is_current() {
    is_current("ubos-sync.schema.json", &generated());
}
