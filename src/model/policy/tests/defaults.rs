//! What a policy says that hardly says anything.

use std::time::Duration;

use super::*;

#[test]
fn defaults_are_those_of_the_contract() {
    let p =
        with("[[peer]]\nname = \"balaur\"\nhost = \"b.example\"\nroot = \"~/repo/\"\n").unwrap();
    assert_eq!(p.site.name, "mac");
    assert_eq!(p.site.root, Path::new("/home/u/ubos"));
    assert_eq!(
        p.site.state_dir,
        Path::new("/home/u/.local/state/ubos-sync")
    );
    assert_eq!(p.audit.dir, Path::new("/etc/ubos/logs"));
    assert_eq!(p.guards.max_delete, DeleteLimit::Percent(20.0));
    assert_eq!(p.guards.min_free_space, 256 << 20);
    assert_eq!(p.guards.marker, ".ubos-root");
    assert_eq!(p.schedule.interval, Duration::from_secs(300));
    assert_eq!(p.schedule.debounce, Duration::from_millis(300));
    assert_eq!(p.snapshots.keep, 10);
    assert_eq!(p.truth.conflicts, Strategy::Newer);
    assert_eq!(p.peers[0].root, "repo");
    assert_eq!(p.peers[0].state_dir, ".local/state/ubos-sync");
    assert!(p.peers[0].truth && p.writer.is_none() && p.publish.is_none());
    let root = p.settings.iter().find(|s| s.key == "site.root").unwrap();
    assert_eq!(
        (root.value.as_str(), root.origin),
        ("\"/home/u/ubos\"", Origin::Line(3))
    );
    let name = p.settings.iter().find(|s| s.key == "site.name").unwrap();
    assert_eq!(name.origin, Origin::Default);
}

#[test]
fn a_local_peer_keeps_its_state_beside_ours() {
    let p = with("[[peer]]\nname = \"disk\"\nroot = \"/mnt/d\"\n").unwrap();
    assert_eq!(
        p.peers[0].state_dir,
        "/home/u/.local/state/ubos-sync/local/disk"
    );
}
