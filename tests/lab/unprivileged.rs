//! A server whose sessions are not root's even when the tests are, so that modes mean something there.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use super::world::{Lab, Side};

/// Whom the sessions run as when the tests are root's.
const NOBODY: u32 = 65534;

impl Lab {
    /// Gives everything on the server to the user of an unprivileged server's sessions.
    pub fn hand_over(&self) {
        hand_over(&self.home(Side::Server));
    }
}

/// Writes what sshd runs instead of a command; `None` when nobody needs to be somebody else.
pub(super) fn wrapper(file: &Path) -> Option<PathBuf> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let script = format!(
        "#!/bin/sh\nexec setpriv --reuid={NOBODY} --regid={NOBODY} --clear-groups sh -c \"$SSH_ORIGINAL_COMMAND\"\n"
    );
    fs::write(file, script).unwrap();
    fs::set_permissions(file, fs::Permissions::from_mode(0o755)).unwrap();
    Some(file.to_path_buf())
}

pub(super) fn hand_over(path: &Path) {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
    if path.symlink_metadata().unwrap().is_dir() {
        for child in fs::read_dir(path).unwrap() {
            hand_over(&child.unwrap().path());
        }
    }
}
