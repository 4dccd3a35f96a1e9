//! The scripts of the fan-out, each behind what they share. Pure: text only.

macro_rules! script {
    ($($part:literal),+) => { concat!($(include_str!(concat!("sh/", $part, ".sh")), "\n"),+) };
}

pub const OPEN: &str = script!("publish_common", "publish_open");
pub const MAKE: &str = script!("publish_common", "publish_make");
pub const ARM: &str = script!("publish_common", "publish_own", "publish_arm");
pub const COMMIT: &str = script!("publish_common", "publish_own", "publish_commit");
pub const FLIP: &str = script!("publish_common", "publish_own", "publish_flip");
pub const FINISH: &str = script!("publish_common", "publish_own", "publish_finish");

/// The private folder on a target. Nothing in it is ever published, listed or taken for the target's own.
pub const OWN: &str = ".ubos-sync.publish";
/// The file that names the commit a target holds.
pub const SENTINEL: &str = ".sync_rev";
