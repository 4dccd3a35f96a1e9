//! A small disk of its own under a directory, which can be full or closed to writing.
//!
//! Invariant: when it is dropped, the directory holds what lay there last, on the disk it was on before.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How large it is while it is not made full.
const ROOM: u64 = 24 << 20;

#[derive(Debug)]
pub struct Disk {
    at: PathBuf,
}

impl Disk {
    /// `None` where nothing can be mounted. What lies there comes along.
    pub fn under(at: &Path) -> Option<Disk> {
        if !rustix::process::geteuid().is_root() {
            eprintln!("skipped: only root may mount a small disk");
            return None;
        }
        fs::create_dir_all(at).unwrap();
        let kept = kept(at);
        copy(at, &kept);
        let mut mount = Command::new("mount");
        mount.args([
            "-t",
            "tmpfs",
            "-o",
            &format!("size={ROOM},mode=755"),
            "tmpfs",
        ]);
        if !mount.arg(at).status().is_ok_and(|s| s.success()) {
            fs::remove_dir_all(kept).unwrap();
            eprintln!("skipped: no tmpfs can be mounted here");
            return None;
        }
        copy(&kept, at);
        fs::remove_dir_all(kept).unwrap();
        Some(Disk { at: at.to_owned() })
    }

    fn remount(&self, how: &str) {
        let mut mount = Command::new("mount");
        mount.args(["-o", &format!("remount,{how}")]).arg(&self.at);
        assert!(mount.status().unwrap().success(), "mount -o remount,{how}");
    }

    /// Leaves so many bytes free, in whole pages.
    pub fn fill(&self, left: u64) {
        let now = rustix::fs::statvfs(&self.at).unwrap();
        let used = (now.f_blocks - now.f_bfree) * now.f_frsize;
        // No size at all would be no bound at all.
        self.remount(&format!("size={}", (used + left).max(now.f_frsize)));
    }

    /// There is room again.
    pub fn empty(&self) {
        self.remount(&format!("size={ROOM}"));
    }

    pub fn close(&self) {
        self.remount("ro");
    }

    pub fn open(&self) {
        self.remount("rw");
    }
}

impl Drop for Disk {
    fn drop(&mut self) {
        let kept = kept(&self.at);
        copy(&self.at, &kept);
        let _ = Command::new("umount").arg("-l").arg(&self.at).status();
        // What the mount hid is older.
        if fs::remove_dir_all(&self.at).is_ok() {
            let _ = fs::rename(&kept, &self.at);
        }
    }
}

fn kept(at: &Path) -> PathBuf {
    at.with_extension("kept")
}

/// With times, modes and links as they are.
fn copy(from: &Path, to: &Path) {
    let mut copy = Command::new("cp");
    copy.args(["-a", "-T"]).arg(from).arg(to);
    assert!(copy.status().is_ok_and(|s| s.success()), "cp -a {from:?}");
}
