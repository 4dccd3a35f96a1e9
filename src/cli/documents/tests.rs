//! The published schema of each document is what its type makes.

use serde_json::Value;

use super::*;
use crate::model::notice::Notice;
use crate::model::schema_tests::{is_current, printed};

/// Every document by the name of its schema.
fn all() -> [(&'static str, Value); 23] {
    [
        ("error", printed::<Failed>()),
        ("check", printed::<Check>()),
        ("status", printed::<Status>()),
        ("doctor", printed::<Doctor>()),
        ("conflicts-list", printed::<Conflicts>()),
        ("conflicts-show", printed::<ConflictShown>()),
        ("runs-list", printed::<Runs>()),
        ("runs-verify", printed::<RunsVerified>()),
        ("snapshots-list", printed::<Snapshots>()),
        ("snapshots-prune", printed::<SnapshotsPruned>()),
        ("librarian", printed::<Librarian>()),
        ("health", printed::<Health>()),
        ("explain", printed::<Explain>()),
        ("profile", printed::<Profiles>()),
        ("init", printed::<Init>()),
        ("hold", printed::<Hold>()),
        ("stop", printed::<Stop>()),
        ("report", printed::<Report>()),
        ("service-print", printed::<ServicePrint>()),
        ("service-commands", printed::<ServiceCommands>()),
        ("service-uninstall", printed::<ServiceUninstall>()),
        ("service-status", printed::<ServiceStatus>()),
        // What a webhook and a command of [notify] are given.
        ("event", printed::<Notice>()),
    ]
}

#[test]
fn the_schema_of_every_document_is_current() {
    for (name, mut schema) in all() {
        schema["title"] = format!("ubos-sync {name}").into();
        is_current(&format!("ubos-sync.{name}.schema.json"), &schema);
    }
}
