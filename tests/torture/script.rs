//! The steps of a sequence as values and as text: what two users do, and what the program is told to do meanwhile.
//!
//! Invariants: a step says everything itself and asks no dice, so any part of a list can be run again; one step is one line, and
//! reading what was written gives the same step.

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::lab::Side;

/// A path of a replica; bytes that could be mistaken in a line of text are written as `%XX`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Path(pub Vec<u8>);

impl Serialize for Path {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"/._-".contains(&b);
        let text: String = self
            .0
            .iter()
            .map(|&b| match plain(b) {
                true => char::from(b).to_string(),
                false => format!("%{b:02X}"),
            })
            .collect();
        to.serialize_str(&text)
    }
}

impl<'de> Deserialize<'de> for Path {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Path, D::Error> {
        let text = String::deserialize(from)?;
        let mut bytes = Vec::new();
        let mut rest = text.as_bytes();
        while let Some((&first, more)) = rest.split_first() {
            rest = more;
            if first != b'%' {
                bytes.push(first);
                continue;
            }
            let hex = text.get(text.len() - rest.len()..text.len() - rest.len() + 2);
            let byte = hex.and_then(|h| u8::from_str_radix(h, 16).ok());
            bytes.push(byte.ok_or_else(|| serde::de::Error::custom("%XX is wanted"))?);
            rest = &rest[2..];
        }
        Ok(Path(bytes))
    }
}

/// A host by its name in the federation. Of three, `mac` is the hub: it syncs with each of the others, and they with it alone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Host {
    Mac,
    Balaur,
    Nas,
}

impl Host {
    pub const ALL: [Host; 3] = [Host::Mac, Host::Balaur, Host::Nas];

    pub fn side(self) -> Side {
        match self {
            Host::Mac => Side::Laptop,
            Host::Balaur => Side::Server,
            Host::Nas => Side::Third,
        }
    }

    pub fn name(self) -> &'static str {
        self.side().host()
    }
}

/// The time that a file gets, in nanoseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum When {
    /// After the common beginning of all sequences.
    At(i64),
    /// From now on.
    Now(i64),
    /// From the time that the same path has on the other side.
    Other(i64),
    /// From the time it had.
    Was(i64),
}

/// How a file gets its content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum How {
    /// The same inode.
    Place,
    /// Another inode, as editors write.
    Rename,
    Append,
}

/// What a user does.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Deed {
    /// Content that occurs nowhere else unless `tag` does; so long, at least as long as the tag.
    Write {
        path: Path,
        tag: u32,
        len: usize,
        how: How,
        when: When,
    },
    Remove {
        path: Path,
    },
    Rename {
        path: Path,
        to: Path,
    },
    Swap {
        path: Path,
        with: Path,
    },
    Mkdir {
        path: Path,
    },
    Link {
        path: Path,
        tag: u32,
    },
    Chmod {
        path: Path,
        mode: u32,
    },
    Touch {
        path: Path,
        when: When,
    },
}

/// Whom a signal hits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Victim {
    Itself,
    Engine,
    /// Everything of the run on the other host.
    Far,
    /// The connection alone; of a local peer, the shells of the run.
    Link,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Blow {
    Kill,
    Term,
    Int,
}

/// What befalls a run. `at`: after so many thousandths of the time that the last whole run took.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Fault {
    Kill {
        who: Victim,
        blow: Blow,
        at: u64,
    },
    /// No file may grow beyond so many blocks of 512 bytes.
    Full {
        blocks: u32,
    },
    /// The driver's clock is wrong by so many seconds.
    Skew {
        seconds: i64,
    },
    /// A user does something meanwhile.
    Edit {
        host: Host,
        deed: Deed,
        at: u64,
    },
    /// The other host starts a run of its own.
    Twin {
        at: u64,
    },
    /// A disk of a host is not fit to be written to while the run lasts, and while it is tried once more.
    Disk {
        host: Host,
        place: Place,
        ill: Ill,
    },
}

/// What lies on the disk that is meant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Place {
    /// The replica; of a publish, the target.
    Tree,
    State,
    Records,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Ill {
    /// So many bytes are left.
    Full(u64),
    Closed,
}

/// What becomes of the program's own files on one host.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Damage {
    /// Everything that is known of the pair is gone, backups too.
    Pair,
    /// Half of the newest list of what both had in common is wrong.
    Manifest,
    /// The engine's own memory is cut to half.
    Archive,
    /// The list of hashes by facts is cut to half.
    Index,
    /// All records are gone.
    Records,
}

/// How a root is not there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Missing {
    /// An empty directory in its place, as of a disk that is not mounted.
    Empty,
    Gone,
    /// A file in its place.
    File,
    /// The marker alone is there.
    Marker,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Step {
    User {
        host: Host,
        deed: Deed,
    },
    /// The log on balaur gains so many lines; with `rotate` in a new file, the old one beside it.
    Log {
        lines: u32,
        rotate: bool,
    },
    Dry {
        driver: Host,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<Host>,
    },
    /// `with`: the one peer that the hub is to sync with; without, all that there are.
    Apply {
        driver: Host,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        with: Option<Host>,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
    /// An apply that is taken back, from either host; with `at`, the taking back is killed first.
    Undo {
        driver: Host,
        by: Host,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
    Pull {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
    /// A run while a root is not there.
    Unmount {
        host: Host,
        driver: Host,
        how: Missing,
    },
    Damage {
        host: Host,
        what: Damage,
    },
    /// The user of mac commits what is there.
    Commit,
    /// What a user does on the target.
    Target {
        deed: Deed,
    },
    /// The commit goes to the target. An edit in the middle of it, on mac or on the target, is one of the source or of the target.
    Publish {
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        dry: bool,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        fault: Option<Fault>,
    },
    /// The last publish is taken back; with `at`, the taking back is killed first.
    Unpublish {
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at: Option<u64>,
    },
}

/// How what is published lies on the target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Layout {
    InPlace,
    Releases,
}

impl Layout {
    pub fn word(self) -> &'static str {
        match self {
            Layout::InPlace => "in-place",
            Layout::Releases => "releases",
        }
    }
}

/// A sequence: over a real ssh connection or between directories, between how many hosts, with a target or without, and its steps.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Script {
    pub ssh: bool,
    pub hub: bool,
    pub target: Option<Layout>,
    pub steps: Vec<Step>,
}

impl Script {
    pub fn text(&self) -> String {
        let mut first = String::from(if self.ssh { "ssh" } else { "local" });
        if self.hub {
            first += " hub";
        }
        if let Some(layout) = self.target {
            first = format!("{first} {}", layout.word());
        }
        let lines = self.steps.iter().map(|s| serde_json::to_string(s).unwrap());
        std::iter::once(first)
            .chain(lines)
            .collect::<Vec<_>>()
            .join("\n")
    }

    /// Lines that are empty or begin with `#` say nothing.
    pub fn parse(text: &str) -> Result<Script, String> {
        let lines = text.lines().enumerate().map(|(n, l)| (n + 1, l.trim()));
        let mut lines = lines.filter(|(_, l)| !l.is_empty() && !l.starts_with('#'));
        let mut words = lines.next().unwrap_or_default().1.split(' ');
        let mut script = Script {
            ssh: match words.next() {
                Some("ssh") => true,
                Some("local") => false,
                other => return Err(format!("`ssh` or `local` is wanted first, not {other:?}")),
            },
            ..Script::default()
        };
        for word in words {
            let layout = [Layout::InPlace, Layout::Releases];
            match (word, layout.into_iter().find(|l| l.word() == word)) {
                ("hub", _) => script.hub = true,
                (_, Some(layout)) => script.target = Some(layout),
                (other, None) => return Err(format!("what is {other}?")),
            }
        }
        script.steps = lines
            .map(|(n, l)| serde_json::from_str(l).map_err(|e| format!("line {n}: {e}")))
            .collect::<Result<_, _>>()?;
        Ok(script)
    }

    /// Whether running it twice may end differently: moments are never the same again.
    pub fn has_moments(&self) -> bool {
        self.steps.iter().any(|s| {
            matches!(
                s,
                Step::Apply { fault: Some(_), .. }
                    | Step::Publish { fault: Some(_), .. }
                    | Step::Undo { at: Some(_), .. }
                    | Step::Unpublish { at: Some(_) }
                    | Step::Pull { at: Some(_) }
            )
        })
    }
}
