//! The small programs that unison and rsync take for ssh: each goes over the connection that the link already has.

use super::{Link, Way};
use crate::host::process;
use crate::tool::ssh;

impl Link {
    /// The program that the engine takes for ssh: it starts `<rundir>/engine.sh` on this link's host.
    pub fn engine_starter(&self, rundir: &str) -> String {
        let skip = "while [ $# -gt 0 ] && [ \"$1\" != -server ]; do shift; done\n";
        match &self.way {
            Way::Local => format!(
                "#!/bin/sh\n{skip}exec /bin/sh {} \"$@\"\n",
                quote(&format!("{rundir}/engine.sh"))
            ),
            Way::Ssh {
                remote: r, socket, ..
            } => {
                let octal: String = format!("{rundir}/engine.sh")
                    .bytes()
                    .map(|b| format!("\\{b:03o}"))
                    .collect();
                // Digits and backslashes only: no login shell can misread it.
                let started = |arguments: &str| {
                    let command = format!(
                        "exec sh -c 'f=$(printf \"{octal}\") && exec sh \"$f\" {arguments}'"
                    );
                    let words: Vec<String> = ssh::session(r, socket, &command)
                        .iter()
                        .map(|a| quote(a))
                        .collect();
                    let ssh = process::which("ssh").unwrap_or_else(|| "ssh".into());
                    format!(
                        "exec {} {}",
                        quote(&ssh.display().to_string()),
                        words.join(" ")
                    )
                };
                // The client names the protocol: 2.51 knows only the old one, and 2.52 serves it when it is not told otherwise.
                format!(
                    "#!/bin/sh\n{skip}case ${{2-}} in\n__new-rpc-mode) {} ;;\n*) {} ;;\nesac\n",
                    started("-server __new-rpc-mode"),
                    started("-server"),
                )
            }
        }
    }

    /// The program that rsync takes for ssh: it starts `program` in `dir` on this link's host, with the flags that the rsync
    /// here asks for. These are words of rsync's own; anything else among them ends it.
    pub fn rsync_starter(&self, dir: &[u8], program: &str) -> String {
        let octal =
            |bytes: &[u8]| -> String { bytes.iter().map(|b| format!("\\{b:03o}")).collect() };
        // What follows the directory keeps a line break at the end of its name.
        let (d, f) = (octal(&[dir, b"/."].concat()), octal(program.as_bytes()));
        let head = "#!/bin/sh\nwhile [ $# -gt 0 ] && [ \"$1\" != --server ]; do shift; done\n\
                    for a; do case $a in *[!A-Za-z0-9._=,:/+-]*) exit 2 ;; esac; done\n";
        let go = format!("d=$(printf \"{d}\") && f=$(printf \"{f}\") && cd \"$d\" && exec \"$f\"");
        match &self.way {
            Way::Local => format!("{head}{go} \"$@\"\n"),
            Way::Ssh {
                remote: r, socket, ..
            } => {
                let words: Vec<String> = ssh::session(r, socket, "")
                    .iter()
                    .map(|a| quote(a))
                    .collect();
                // The last word is the command, which only the stand-in can complete.
                let words = words[..words.len() - 1].join(" ");
                let ssh = process::which("ssh").unwrap_or_else(|| "ssh".into());
                format!(
                    "{head}exec {} {words} \"exec sh -c '{} $*'\"\n",
                    quote(&ssh.display().to_string()),
                    go.replace('\\', "\\\\")
                        .replace('"', "\\\"")
                        .replace('$', "\\$"),
                )
            }
        }
    }
}

/// A word for a POSIX shell.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', "'\\''"))
}
