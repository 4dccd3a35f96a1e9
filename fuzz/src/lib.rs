//! What must hold of every parser of foreign or persisted bytes, whatever the bytes are: one function each, called by the
//! fuzzer (`fuzz_targets/`) and by its bounded twin in the tests (`tests/fuzz_twins.rs`).
//!
//! No panic is the least of it: what is accepted says the same when it is written down and read again, paths stay below their
//! root, nothing that is shown can drive a terminal, and what comes out is not much longer than what went in.

pub mod chain;
pub mod facts;
pub mod git;
pub mod glob;
pub mod listener;
pub mod log_probe;
pub mod memory;
pub mod policy;
pub mod publish;
pub mod record;
pub mod reply;
pub mod report;
pub mod unison;
pub mod unison_regex;

/// A property of all bytes.
pub type Check = fn(&[u8]);

/// Every target by its name, which is also that of its seeds.
pub const TARGETS: [(&str, Check); 13] = [
    ("chain", chain::check),
    ("facts", facts::check),
    ("git", git::check),
    ("glob", glob::check),
    ("listener", listener::check),
    ("log_probe", log_probe::check),
    ("memory", memory::check),
    ("policy", policy::check),
    ("publish", publish::check),
    ("record", record::check),
    ("reply", reply::check),
    ("report", report::check),
    ("unison", unison::check),
];

/// What every target takes for the word that a script's answer is framed by.
pub const NONCE: &str = "N0nce";

/// Nothing in it drives a terminal.
pub fn assert_harmless(text: &str) {
    let bad = |c: char| c.is_control() || ('\u{202a}'..='\u{202e}').contains(&c);
    assert!(!text.contains(bad), "{text:?}");
}

/// A path of ours, looked at from outside its type.
pub fn assert_below(path: &ubos_sync::model::path::RelPath) {
    let bytes = path.as_bytes();
    let sound =
        |part: &[u8]| !part.is_empty() && part != b"." && part != b".." && !part.contains(&0);
    assert!(
        bytes.is_empty() || bytes.split(|b| *b == b'/').all(sound),
        "{path}"
    );
}

/// A document that is accepted says the same when it is written and read again.
pub fn json_stays<T>(data: &[u8]) -> Option<T>
where
    T: serde::Serialize + serde::de::DeserializeOwned + PartialEq + std::fmt::Debug,
{
    let read: T = serde_json::from_slice(data).ok()?;
    let written = serde_json::to_vec(&read).expect("what was read can be written");
    assert_eq!(serde_json::from_slice::<T>(&written).expect("ours"), read);
    Some(read)
}

/// Cuts at the first byte that separates; without one, everything is the first part.
pub fn halves(data: &[u8], at: u8) -> (&[u8], &[u8]) {
    let cut = data.iter().position(|b| *b == at);
    cut.map_or((data, &[]), |i| (&data[..i], &data[i + 1..]))
}
