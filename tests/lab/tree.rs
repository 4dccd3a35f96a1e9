//! Small hands for the two trees: write, touch, chmod, remove, by paths that need not be UTF-8.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};

use super::world::{Lab, Side};

impl Lab {
    /// Where a path of the tree lies on disk.
    pub fn at(&self, side: Side, path: impl AsRef<[u8]>) -> PathBuf {
        self.tree(side).join(OsStr::from_bytes(path.as_ref()))
    }

    /// Writes a file, making the directories above it.
    #[track_caller]
    pub fn write(&self, side: Side, path: impl AsRef<[u8]>, content: impl AsRef<[u8]>) {
        let file = self.at(side, path);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(&file, content).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    /// Writes a file and sets its time, in nanoseconds since 1970.
    #[track_caller]
    pub fn write_at(
        &self,
        side: Side,
        path: impl AsRef<[u8]>,
        content: impl AsRef<[u8]>,
        ns: i128,
    ) {
        self.write(side, path.as_ref(), content);
        self.set_mtime(side, path, ns);
    }

    /// Sets the modification time, in nanoseconds since 1970; of a link, its own.
    #[track_caller]
    pub fn set_mtime(&self, side: Side, path: impl AsRef<[u8]>, ns: i128) {
        set_mtime(&self.at(side, path), ns);
    }

    #[track_caller]
    pub fn mkdir(&self, side: Side, path: impl AsRef<[u8]>) {
        fs::create_dir_all(self.at(side, path)).unwrap();
    }

    #[track_caller]
    pub fn symlink(&self, side: Side, path: impl AsRef<[u8]>, target: impl AsRef<[u8]>) {
        let link = self.at(side, path);
        fs::create_dir_all(link.parent().unwrap()).unwrap();
        std::os::unix::fs::symlink(OsStr::from_bytes(target.as_ref()), link).unwrap();
    }

    #[track_caller]
    pub fn chmod(&self, side: Side, path: impl AsRef<[u8]>, mode: u32) {
        fs::set_permissions(self.at(side, path), fs::Permissions::from_mode(mode)).unwrap();
    }

    #[track_caller]
    pub fn rename(&self, side: Side, from: impl AsRef<[u8]>, to: impl AsRef<[u8]>) {
        let to = self.at(side, to);
        fs::create_dir_all(to.parent().unwrap()).unwrap();
        fs::rename(self.at(side, from), to).unwrap();
    }

    /// Removes a file, a link or a whole directory.
    #[track_caller]
    pub fn remove(&self, side: Side, path: impl AsRef<[u8]>) {
        let file = self.at(side, path);
        let removed = if file.symlink_metadata().is_ok_and(|m| m.is_dir()) {
            fs::remove_dir_all(&file)
        } else {
            fs::remove_file(&file)
        };
        removed.unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    }

    #[track_caller]
    pub fn read(&self, side: Side, path: impl AsRef<[u8]>) -> Vec<u8> {
        let file = self.at(side, path);
        fs::read(&file).unwrap_or_else(|e| panic!("{}: {e}", file.display()))
    }

    /// The file as text, lossy.
    #[track_caller]
    pub fn read_text(&self, side: Side, path: impl AsRef<[u8]>) -> String {
        String::from_utf8_lossy(&self.read(side, path)).into_owned()
    }

    /// Whether anything is there, a dangling link too.
    pub fn exists(&self, side: Side, path: impl AsRef<[u8]>) -> bool {
        self.at(side, path).symlink_metadata().is_ok()
    }

    /// Permission bits.
    #[track_caller]
    pub fn mode(&self, side: Side, path: impl AsRef<[u8]>) -> u32 {
        let file = self.at(side, path);
        file.symlink_metadata()
            .unwrap_or_else(|e| panic!("{}: {e}", file.display()))
            .mode()
            & 0o7777
    }
}

/// The modification time in nanoseconds since 1970.
pub fn mtime_ns(file: &Path) -> i128 {
    let meta = file
        .symlink_metadata()
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

/// Sets the modification time, in nanoseconds since 1970; of a link, its own.
#[track_caller]
pub fn set_mtime(file: &Path, ns: i128) {
    let time = Timespec {
        tv_sec: i64::try_from(ns.div_euclid(1_000_000_000)).unwrap(),
        tv_nsec: i64::try_from(ns.rem_euclid(1_000_000_000)).unwrap() as _,
    };
    let times = Timestamps {
        last_access: time,
        last_modification: time,
    };
    rustix::fs::utimensat(CWD, file, &times, AtFlags::SYMLINK_NOFOLLOW)
        .unwrap_or_else(|e| panic!("{}: {e}", file.display()));
}
