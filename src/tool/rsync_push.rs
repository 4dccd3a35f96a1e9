//! rsync as a mover: one directory, or what a list names of it, into an empty stage. Pure: builds argument lists, explains exit codes.
//!
//! Invariants: no path of a policy or a tree is ever part of the far command line (the shell that is started there stands in the
//! target already, and the stage has a plain name); nothing is deleted, followed or written in place. What is used here exists in
//! 2.6.9, in openrsync and in every rsync since.

use std::ffi::OsString;
use std::path::Path;

use crate::model::invocation::Invocation;

/// The name under which rsync finds our starter on its search path: it splits what `-e` says at blanks.
pub const STARTER: &str = "ubos-sync-rsh";

/// Sends all of `from` into `stage`, which is relative to the target.
pub fn push(
    rsync: &Path,
    from: &Path,
    stage: &str,
    starter_dir: &Path,
    path: OsString,
) -> Invocation {
    let mut search = starter_dir.as_os_str().to_owned();
    search.push(":");
    search.push(path);
    let mut source = from.as_os_str().to_owned();
    source.push("/");
    Invocation::new(rsync)
        .args([
            "-rlptO",
            // A basis that lies ready in the stage has the size and perhaps the time of the new file: content decides.
            "-I",
            // A far side that is silent for so long is gone.
            "--timeout=180",
            "-e",
            STARTER,
        ])
        .args([source, OsString::from(format!("target:{stage}/"))])
        .env("PATH", search)
        .env("RSYNC_PROTECT_ARGS", "0")
}

/// Copies the files and directories of a list, and nothing else, into an empty stage beside their places. `dir` is where it runs and
/// where the starter lies; where from and where to is up to the caller.
pub fn listed(rsync: &Path, list: &Path, permissions: bool, dir: &Path) -> Invocation {
    let mut from = OsString::from("--files-from=");
    from.push(list);
    Invocation::new(rsync)
        // Nothing that is a link now is followed, nor carried; a new file needs no comparing.
        .args([
            if permissions { "-ptOW" } else { "-tOW" },
            "--from0",
            "--timeout=180",
        ])
        .args([from])
        .args(["-e".to_owned(), format!("./{STARTER}")])
        .env("RSYNC_PROTECT_ARGS", "0")
        .within(dir)
}

/// What the exit code of a push means, for a person; `None`: all of it arrived.
pub fn explain(code: Option<i32>, stderr: &str) -> Option<String> {
    let said = crate::model::text::neutral(
        stderr
            .lines()
            .find(|l| !l.trim().is_empty())
            .unwrap_or("no message")
            .trim(),
    );
    let full = stderr.contains("No space left") || stderr.contains("Disk quota exceeded");
    Some(match code {
        Some(0) => return None,
        _ if full => "the target's disk is full".to_owned(),
        Some(23 | 24) => format!("some files could not be sent: {said}"),
        Some(30 | 35) => "the target stopped answering".to_owned(),
        Some(10 | 12 | 255) => format!("the connection broke: {said}"),
        Some(127) => "there is no rsync on the target".to_owned(),
        Some(code) => format!("rsync ended with {code}: {said}"),
        None => "rsync was killed".to_owned(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_push_names_nothing_of_the_policy_on_the_far_side() {
        let call = push(
            Path::new("/usr/bin/rsync"),
            Path::new("/s/send"),
            ".ubos-sync.publish/stage.R",
            Path::new("/s/with blank"),
            "/usr/bin".into(),
        );
        let argv = call.argv();
        assert_eq!(argv[argv.len() - 2], "/s/send/");
        assert_eq!(argv[argv.len() - 1], "target:.ubos-sync.publish/stage.R/");
        assert!(
            call.env
                .iter()
                .any(|(k, v)| k == "PATH" && v == "/s/with blank:/usr/bin")
        );
        for never in ["--delete", "--inplace", "-L", "-K", "--append"] {
            assert!(!argv.iter().any(|a| a.starts_with(never)), "{never}");
        }
    }

    #[test]
    fn failures_are_told_in_words() {
        assert_eq!(explain(Some(0), ""), None);
        assert!(
            explain(Some(11), "write failed: No space left on device (28)")
                .unwrap()
                .contains("full")
        );
        assert!(explain(None, "").unwrap().contains("killed"));
    }
}
