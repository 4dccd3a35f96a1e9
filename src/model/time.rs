//! Times as text: RFC 3339 for machines, run-id and file-name stamps. Pure; the clock itself is `host::clock`.

use chrono::{DateTime, SecondsFormat, Utc};

/// Nanoseconds since 1970 as RFC 3339 UTC with nanoseconds.
pub fn rfc3339_ns(ns: i128) -> String {
    let secs = ns.div_euclid(1_000_000_000) as i64;
    let sub = ns.rem_euclid(1_000_000_000) as u32;
    DateTime::<Utc>::from_timestamp(secs, sub)
        .map(|t| t.to_rfc3339_opts(SecondsFormat::Nanos, true))
        .unwrap_or_else(|| format!("{secs}.{sub:09} s since 1970"))
}

/// RFC 3339 UTC to the second, as it stands in records.
pub fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// Where a run stands among others: its second, then what its last part says of the fraction of that second.
pub fn run_order(run: &str) -> (&str, &str) {
    let stamp = run.split('-').next().unwrap_or(run);
    (stamp, run.rsplit('-').next().unwrap_or(run))
}

/// `20251007T120000Z`
pub fn run_stamp(at: DateTime<Utc>) -> String {
    at.format("%Y%m%dT%H%M%SZ").to_string()
}
