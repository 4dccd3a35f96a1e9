//! The record of a run, and the head of the chain of records.

use ubos_sync::audit::chain::{Head, Link};
use ubos_sync::audit::human;
use ubos_sync::model::record::Record;
use ubos_sync::model::words::next_command;

use super::{assert_harmless, json_stays};

pub fn check(data: &[u8]) {
    json_stays::<Head>(data);
    let Ok(record) = serde_json::from_slice::<Record>(data) else {
        return;
    };
    let document = record.document();
    document.lines().for_each(assert_harmless);
    let again: Record = serde_json::from_str(&document).expect("ours");
    assert_eq!(again.document(), document);
    // What proves the chain reads the same of it as what shows it.
    let link: Link = serde_json::from_slice(data).expect("a record is a link");
    assert_eq!(
        (
            link.schema,
            &link.run,
            link.complete,
            link.sequence,
            &link.previous,
            &link.command,
            link.mode
        ),
        (
            record.schema,
            &record.run,
            record.complete,
            record.sequence,
            &record.previous,
            &record.command,
            record.mode
        )
    );
    let text = human::text(&record, "digest");
    text.lines().for_each(assert_harmless);
    assert!(text.len() < 64 * data.len() + 4096);
    assert!(!human::file_name(&record).contains(['/', '\0', '\n']));
    if let Some(command) = next_command(&record) {
        assert_harmless(&command);
    }
}
