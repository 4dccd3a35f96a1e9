//! Secrets that the service manager hands over in private files (systemd's `LoadCredential=`), instead of in the environment or in a
//! file that every process of the user may read.
//!
//! Invariant: what stands in such a file is never printed, and one that the manager could not fill counts as absent.

use std::path::PathBuf;

use super::policy_file::{env, variable};
use super::{files, plain_files};
use crate::model::policy::Policy;
use crate::tool::units::{self, EMPTY};

/// The file of a credential, when one was handed over.
pub fn file(id: &str) -> Option<PathBuf> {
    let dir = variable("CREDENTIALS_DIRECTORY").map(PathBuf::from)?;
    let file = dir.join(id);
    let bytes = files::read_bounded(&file, 1 << 16).ok()?;
    (bytes != EMPTY.as_bytes()).then_some(file)
}

/// What a variable says, or the credential of the same name.
pub fn secret(name: &str) -> Option<String> {
    variable(name).or_else(|| text(name))
}

/// The text of a credential.
pub fn text(id: &str) -> Option<String> {
    let bytes = files::read_bounded(&file(id)?, 4096).ok()?;
    let text = String::from_utf8_lossy(&bytes).trim().to_owned();
    (!text.is_empty()).then_some(text)
}

/// Where a unit of this user, and one of the system, would find a secret.
pub fn places(name: &str) -> Vec<PathBuf> {
    let home = env().home.map(|h| h.join(".config"));
    let config = variable("XDG_CONFIG_HOME").map(PathBuf::from).or(home);
    let all = config.into_iter().chain([PathBuf::from("/etc")]);
    all.map(|dir| dir.join(units::SECRETS).join(name)).collect()
}

/// Keys that were handed over take the place of those that the policy names.
pub fn adopt(policy: &mut Policy) {
    if !variable("CREDENTIALS_DIRECTORY").is_some_and(|d| plain_files::leads_to_dir(d.as_ref())) {
        return;
    }
    let peers = policy.peers.iter_mut();
    let peers = peers.map(|p| (units::key_of_peer(&p.name), &mut p.remote));
    let targets = policy.publish.iter_mut().flat_map(|p| &mut p.targets);
    let targets = targets.map(|t| (units::key_of_target(&t.name), &mut t.remote));
    for (id, remote) in peers.chain(targets) {
        if let Some(identity) = remote.as_mut().and_then(|r| r.identity.as_mut())
            && let Some(file) = file(&id)
        {
            *identity = file;
        }
    }
}
