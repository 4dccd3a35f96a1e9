//! Which processes exist and whose they are, so that a lab can end exactly its own.

use std::collections::BTreeSet;
use std::path::Path;

use rustix::process::{Pid, Signal};

/// One process as the system lists it.
#[derive(Debug, Clone)]
pub struct Proc {
    pub pid: u32,
    pub parent: u32,
    /// Arguments joined by spaces; of a process that renamed itself, the new name.
    pub command: String,
    /// Environment (Linux only; empty when unreadable or overwritten by the process).
    environ: Vec<u8>,
}

impl Proc {
    /// The file name of its program. sshd's halves call themselves `sshd:`, which counts as `sshd`.
    pub fn program(&self) -> &str {
        let first = self.command.split(' ').next().unwrap_or_default();
        first
            .rsplit('/')
            .next()
            .unwrap_or(first)
            .trim_end_matches(':')
    }
}

/// All live processes; zombies are dead.
#[cfg(target_os = "linux")]
pub fn processes() -> Vec<Proc> {
    let Ok(dir) = std::fs::read_dir("/proc") else {
        return Vec::new();
    };
    dir.flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse().ok())
        .filter_map(read_proc)
        .collect()
}

#[cfg(target_os = "linux")]
fn read_proc(pid: u32) -> Option<Proc> {
    let base = Path::new("/proc").join(pid.to_string());
    let stat = std::fs::read_to_string(base.join("stat")).ok()?;
    // The command in parentheses may hold anything, so the fields are counted from its end.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    if fields.next()? == "Z" {
        return None;
    }
    let parent = fields.next()?.parse().ok()?;
    let cmdline = std::fs::read(base.join("cmdline")).unwrap_or_default();
    let command = String::from_utf8_lossy(&cmdline).replace('\0', " ");
    let environ = std::fs::read(base.join("environ")).unwrap_or_default();
    Some(Proc {
        pid,
        parent,
        command: command.trim_end().to_owned(),
        environ,
    })
}

/// All live processes, by `ps` where there is no `/proc`.
#[cfg(not(target_os = "linux"))]
pub fn processes() -> Vec<Proc> {
    let listed = std::process::Command::new("ps")
        .args(["-A", "-o", "pid=,ppid=,state=,args="])
        .output()
        .map(|out| String::from_utf8_lossy(&out.stdout).into_owned())
        .unwrap_or_default();
    listed.lines().filter_map(parse_ps).collect()
}

#[cfg(not(target_os = "linux"))]
fn parse_ps(line: &str) -> Option<Proc> {
    let mut fields = line.split_whitespace();
    let pid = fields.next()?.parse().ok()?;
    let parent = fields.next()?.parse().ok()?;
    if fields.next()?.starts_with('Z') {
        return None;
    }
    Some(Proc {
        pid,
        parent,
        command: fields.collect::<Vec<_>>().join(" "),
        environ: Vec::new(),
    })
}

/// Whether a process runs (a zombie does not).
pub fn alive(pid: u32) -> bool {
    processes().iter().any(|p| p.pid == pid)
}

/// Sends a signal; a process that is gone already is no error.
pub fn signal(pid: u32, signal: Signal) {
    if let Some(pid) = i32::try_from(pid).ok().and_then(Pid::from_raw) {
        let _ = rustix::process::kill_process(pid, signal);
    }
}

/// The descendants of `root`, without it.
pub fn descendants(root: u32) -> Vec<Proc> {
    let all = processes();
    let mut found = BTreeSet::from([root]);
    loop {
        let before = found.len();
        found.extend(
            all.iter()
                .filter(|p| found.contains(&p.parent))
                .map(|p| p.pid)
                .collect::<Vec<_>>(),
        );
        if found.len() == before {
            break;
        }
    }
    all.into_iter()
        .filter(|p| p.pid != root && found.contains(&p.pid))
        .collect()
}

/// Everything that belongs to the lab in `dir`: it names the directory in its arguments or environment, or
/// descends from a process that does. The test process itself never counts.
pub fn of_lab(dir: &Path) -> Vec<Proc> {
    let needle = dir.as_os_str().as_encoded_bytes();
    let own = std::process::id();
    let all = processes();
    let mut ids: BTreeSet<u32> = all
        .iter()
        .filter(|p| contains(p.command.as_bytes(), needle) || contains(&p.environ, needle))
        .map(|p| p.pid)
        .collect();
    ids.remove(&own);
    loop {
        let more: Vec<u32> = all
            .iter()
            .filter(|p| p.pid != own && ids.contains(&p.parent) && !ids.contains(&p.pid))
            .map(|p| p.pid)
            .collect();
        if more.is_empty() {
            break;
        }
        ids.extend(more);
    }
    all.into_iter().filter(|p| ids.contains(&p.pid)).collect()
}

fn contains(hay: &[u8], needle: &[u8]) -> bool {
    hay.windows(needle.len()).any(|w| w == needle)
}
