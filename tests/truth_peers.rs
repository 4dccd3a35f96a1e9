//! Several peers in one run: each gets its turn on the local replica, and one that is away or refused stops nobody else.
#![allow(clippy::disallowed_methods, reason = "tests drive the real programs")]

mod lab;
mod pair;

use std::fs;

use lab::{Lab, Side};
use pair::{BALAUR, MAC, pair_with, said};

/// A lab whose policy has, beside balaur over ssh, a disk on this machine and, when asked, a host that refuses connections.
fn with_disk(dead_port: Option<u16>) -> Option<Lab> {
    let lab = pair_with(Lab::builder(), "")?;
    let disk = lab.root().join("disk");
    fs::create_dir_all(&disk).unwrap();
    fs::write(disk.join(".ubos-root"), "").unwrap();
    let mut extra = format!("\n[[peer]]\nname = \"disk\"\nroot = {disk:?}\n");
    if let Some(port) = dead_port {
        extra += &format!(
            "\n[[peer]]\nname = \"gone\"\nhost = \"127.0.0.1\"\nport = {port}\nroot = \"/srv/gone\"\n"
        );
    }
    lab.policy(&extra);
    Some(lab)
}

fn lane<'a>(json: &'a serde_json::Value, peer: &str) -> &'a serde_json::Value {
    let lanes = json["lanes"].as_array().unwrap();
    let found = lanes.iter().find(|l| l["peer"] == peer);
    found.unwrap_or_else(|| panic!("no lane of {peer}: {json:#}"))
}

#[test]
fn what_one_peer_brings_reaches_the_others_within_two_runs() {
    let Some(lab) = with_disk(None) else { return };
    let disk = lab.root().join("disk");
    lab.write(MAC, "docs/from-mac.md", "mac");
    lab.write(BALAUR, "docs/from-balaur.md", "balaur");
    fs::create_dir_all(disk.join("docs")).unwrap();
    fs::write(disk.join("docs/from-disk.md"), "disk").unwrap();
    for _ in 0..2 {
        said(lab.run(&["truth", "--apply", "--json"]), 0);
    }
    for name in ["from-mac", "from-balaur", "from-disk"] {
        let path = format!("docs/{name}.md");
        assert!(lab.exists(MAC, &path), "{path} on mac");
        assert!(lab.exists(BALAUR, &path), "{path} on balaur");
        assert!(disk.join(&path).exists(), "{path} on the disk");
    }
    let idle = said(lab.run(&["truth", "--apply", "--json"]), 0);
    assert_eq!(idle["outcome"], "in-sync", "{idle:#}");
}

#[test]
fn a_peer_that_is_away_stops_nobody_else() {
    // Nobody listens on a port that was bound and let go of.
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let Some(lab) = with_disk(Some(port)) else {
        return;
    };
    lab.write(MAC, "docs/a.md", "a");
    let json = said(lab.run(&["truth", "--apply", "--json"]), 0);
    assert_eq!(lane(&json, "gone")["outcome"], "offline", "{json:#}");
    for peer in ["balaur", "disk"] {
        assert_eq!(lane(&json, peer)["outcome"], "applied", "{json:#}");
    }
    assert_eq!(lab.read_text(Side::Server, "docs/a.md"), "a");
}

#[test]
fn a_peer_that_a_guard_refuses_stops_nobody_else_and_the_run_has_failed_in_part() {
    let Some(lab) = with_disk(None) else { return };
    fs::remove_file(lab.root().join("disk/.ubos-root")).unwrap();
    lab.write(MAC, "docs/a.md", "a");
    let json = said(lab.run(&["truth", "--apply", "--json"]), 1);
    assert_eq!(lane(&json, "disk")["outcome"], "refused", "{json:#}");
    assert_eq!(lane(&json, "balaur")["outcome"], "applied", "{json:#}");
    assert_eq!(lab.read_text(Side::Server, "docs/a.md"), "a");
    assert!(!lab.root().join("disk/docs").exists());
}
