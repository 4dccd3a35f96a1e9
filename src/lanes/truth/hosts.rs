//! Both hosts of a pair, opened: the lock is held on each, and each has said what it is and what its tree holds.
//!
//! Invariant: a [`Pair`] exists only while both agents live; dropping it lets both locks go.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc;
use std::time::Duration;

use sha2::{Digest, Sha256};

use crate::host::link::{Agent, Link, LinkError, Meanwhile};
use crate::host::sweep::{Swept, sweep};
use crate::host::{clock, process, signals};
use crate::lanes::reach::Reach;
use crate::lanes::truth::ends::Head;
use crate::lanes::truth::said::{Said, parse_said};
use crate::model::entry::ContentHash;
use crate::model::path::RelPath;
use crate::model::policy::{Peer, Policy, Site};
use crate::model::region::Region;
use crate::model::rules::Rules;
use crate::model::sorted::Sorted;
use crate::model::tree::{Stat, Tree};
use crate::tool::{facts, remote};

/// One host, as its agent described it.
pub struct Host {
    pub name: String,
    pub link: Link,
    pub agent: Agent,
    /// As given to the scripts: the root and state directory of the policy.
    pub root_given: String,
    pub state_given: String,
    pub said: Said,
    /// Whether the list has been read into [`Host::tree`].
    is_sorted: bool,
    /// Filled by [`sort_trees`].
    pub tree: Tree,
    /// What was hashed of it while the other host was not there yet.
    pub hashed: Option<Sorted<ContentHash>>,
    /// The list of files as it came, until it is sorted.
    list: List,
    /// Of the list, when it is complete; equal lists are equal trees.
    pub sweep_digest: Option<String>,
    /// Bytes its login shell printed before our script began.
    pub noise: usize,
}

/// A list of files: of another host as its agent told it, of this one as it was seen.
enum List {
    Told(Vec<u8>),
    Seen(Option<Swept>),
}

/// Who holds a lock, in words for a person.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    pub on: String,
    pub words: String,
    /// The site that drives the holder's run, and its process there.
    pub driver: String,
    pub pid: Option<u32>,
}

impl Holder {
    /// A run of this site that is dead already: its agent over there is ending the engine, and lets go behind that.
    fn is_ending(&self, site: &Site) -> bool {
        self.driver == site.name && self.pid.is_some_and(|pid| !process::is_running(pid))
    }
}

/// How long the agent of a dead run may take: its engine gets three seconds to end by itself.
const ENDING: Duration = Duration::from_secs(10);

#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    #[error("{message}")]
    Offline { message: String, hint: String },
    #[error("{message}")]
    Failed { message: String, hint: String },
    /// It broke off, which may not happen again.
    #[error("{message}")]
    Lost { message: String, hint: String },
    #[error("another run holds the lock on {}: {}", .0.on, .0.words)]
    Locked(Holder),
    /// Something that is no lock stands in its place.
    #[error("{message}")]
    NoLock { message: String, hint: String },
    #[error("stopped by a signal")]
    Stopped,
}

impl From<LinkError> for OpenError {
    fn from(e: LinkError) -> Self {
        match e {
            LinkError::Offline { message, hint } => OpenError::Offline { message, hint },
            LinkError::Failed { message, hint } => OpenError::Failed { message, hint },
            LinkError::Lost { message, hint } => OpenError::Lost { message, hint },
            LinkError::Stopped => OpenError::Stopped,
        }
    }
}

pub struct Pair {
    pub id: String,
    pub local: Host,
    pub peer: Host,
    /// Our clock when the connections began, and when the peer's answer was whole.
    pub opened_at: i128,
    pub answered_at: i128,
    /// A private folder of this run on this machine.
    pub scratch: PathBuf,
}

impl Drop for Pair {
    /// Both hosts let go at the same time.
    fn drop(&mut self) {
        self.local.agent.dismiss();
        self.peer.agent.dismiss();
    }
}

/// The pair's identity: both names, sorted, so that either host may drive it.
pub fn pair_id(site: &str, peer: &str) -> String {
    let mut names = [site, peer];
    names.sort_unstable();
    names.join("+")
}

/// Why no run changes a pair, when this host holds it.
pub fn held_here(site: &Site, peer: &str) -> Option<String> {
    let pair = site.state_dir.join("pairs").join(pair_id(&site.name, peer));
    let why = crate::host::files::read_bounded(&pair.join("held"), 4096).ok()?;
    let line = why.split(|b| *b == b'\n').next().unwrap_or_default();
    Some(crate::model::text::neutral_bytes(line))
}

/// Whether a run has to read both trees: sure from the start, or as soon as this host's list is not the one that leaves nothing to do.
#[derive(Default)]
pub struct Need<'a> {
    calm: Option<&'a str>,
    is: AtomicBool,
    tell: Option<mpsc::Sender<()>>,
    /// The part of the trees that is asked for; none for everything.
    region: Option<&'a Region>,
    /// What is done with this host while the peer is not there yet; it may wait for what the peer says first, if there is a peer.
    meanwhile: Option<&'a Work<'a>>,
}

type Work<'a> = dyn Fn(&mut Host, &dyn Fn() -> Option<Head>) + Sync + 'a;

impl<'a> Need<'a> {
    /// `calm`: the digest of this host's list when nothing is to do; `tell` hears of the need once.
    pub fn of_trees(calm: Option<&'a str>, tell: mpsc::Sender<()>) -> Self {
        let need = Self {
            calm,
            is: AtomicBool::new(false),
            tell: Some(tell),
            region: None,
            meanwhile: None,
        };
        if calm.is_none() {
            need.arises();
        }
        need
    }

    pub fn within(self, region: Option<&'a Region>) -> Self {
        Self { region, ..self }
    }

    pub fn meanwhile(self, work: &'a Work<'a>) -> Self {
        Self {
            meanwhile: Some(work),
            ..self
        }
    }

    fn arises(&self) {
        if let Some(tell) = &self.tell
            && !self.is.swap(true, Ordering::AcqRel)
        {
            let _ = tell.send(());
        }
    }

    /// This host's list is there: whether there is a need now.
    fn sees(&self, digest: Option<&str>) -> bool {
        if digest != self.calm {
            self.arises();
        }
        self.is.load(Ordering::Acquire)
    }
}

/// Opens both hosts at once, and locks them.
pub fn open(
    policy: &Policy,
    peer: &Peer,
    reach: &Reach,
    run: &str,
    command: &str,
    need: &Need,
) -> Result<Pair, OpenError> {
    let until = clock::monotonic() + ENDING;
    loop {
        match both(policy, peer, reach, (run, command), "lock", need) {
            Err(OpenError::Locked(holder))
                if holder.is_ending(&policy.site)
                    && clock::monotonic() < until
                    && signals::stop_wish().is_none() =>
            {
                clock::sleep(Duration::from_millis(100));
            }
            answer => return answer,
        }
    }
}

/// Looks at both hosts without a lock: good for questions, not for plans.
pub fn look(
    policy: &Policy,
    peer: &Peer,
    reach: &Reach,
    run: &str,
    command: &str,
) -> Result<Pair, OpenError> {
    let need = Need::default();
    both(policy, peer, reach, (run, command), "look", &need)
}

fn both(
    policy: &Policy,
    peer: &Peer,
    reach: &Reach,
    (run, command): (&str, &str),
    want: &str,
    need: &Need,
) -> Result<Pair, OpenError> {
    let id = pair_id(&policy.site.name, &peer.name);
    let state = policy.site.state_dir.display().to_string();
    let scratch = reach.scratch.path();
    let local_link = Link::local(&policy.site.name);
    let peer_link = reach.link.clone();
    let who = format!(
        "driver={}\u{1f}driver_pid={}\u{1f}command={}\u{1f}since={}\u{1f}run={run}",
        policy.site.name,
        std::process::id(),
        crate::model::text::neutral(command),
        crate::model::time::rfc3339(clock::now()),
    );
    let opened_at = clock::now_ns();
    let ours = Asked {
        link: local_link,
        state,
        root: policy.site.root.display().to_string(),
        unison: "unison".into(),
        owner: std::process::id().to_string(),
    };
    let theirs = Asked {
        owner: if peer_link.is_remote() {
            "0".into()
        } else {
            ours.owner.clone()
        },
        link: peer_link,
        state: peer.state_dir.clone(),
        root: peer.root.clone(),
        unison: peer.unison.clone(),
    };
    let open_one = |asked: Asked, file: &Path, head: &(dyn Fn(Head) + Sync)| {
        open_host(policy, asked, &id, (run, &who, want), file, (need, head))
    };
    let (here, there) = (scratch.join("local.err"), scratch.join("peer.err"));
    let (local, peer) = std::thread::scope(|s| {
        let (tell, heads) = mpsc::channel();
        let far = s.spawn(move || open_one(theirs, &there, &|head| drop(tell.send(head))));
        let mut near = open_one(ours, &here, &|_| {});
        if let Ok(host) = &mut near
            && need.sees(host.sweep_digest.as_deref())
            // While the peer is not there yet; what is wrong with it is said when both are sorted.
            && sort_tree(host, &Sorted::default(), &policy.truth.rules).is_ok()
            && let Some(work) = need.meanwhile
        {
            work(host, &|| heads.recv().ok());
        }
        (near, far.join())
    });
    let peer = peer.unwrap_or_else(|_| {
        Err(OpenError::Lost {
            message: "the connection to the peer ended unexpectedly".into(),
            hint: "run it again".into(),
        })
    });
    let (local, peer) = (local?, peer?);
    Ok(Pair {
        id,
        local,
        peer,
        opened_at,
        answered_at: clock::now_ns(),
        scratch: scratch.to_path_buf(),
    })
}

struct Asked {
    link: Link,
    state: String,
    root: String,
    unison: String,
    owner: String,
}

fn open_host(
    policy: &Policy,
    asked: Asked,
    pair: &str,
    (run, who, want): (&str, &str, &str),
    stderr: &Path,
    (need, tell): (&Need, &(dyn Fn(Head) + Sync)),
) -> Result<Host, OpenError> {
    let rules = &policy.truth.rules;
    let prunes = rules.prune_names();
    let (paths, above) = match need.region {
        Some(region) => (region.paths(), region.above()),
        None => (rules.include_roots(), &[][..]),
    };
    let lines = |paths: &[RelPath]| paths.iter().map(RelPath::lossy).collect::<Vec<_>>();
    let (includes, on_the_way) = (lines(paths), lines(above));
    let [n_prunes, n_includes, n_above] =
        [&prunes, &includes, &on_the_way].map(|all| all.len().to_string());
    let is_here = !asked.link.is_remote();
    let mut parameters: Vec<&str> = vec![
        &asked.state,
        &asked.root,
        &policy.guards.marker,
        pair,
        run,
        who,
        &asked.unison,
        want,
        &asked.owner,
        &n_prunes,
        &n_includes,
        if is_here { "0" } else { "1" },
        &n_above,
    ];
    for lines in [&includes, &prunes, &on_the_way] {
        parameters.extend(lines.iter().map(String::as_str));
    }
    let told = |body: &[u8]| tell(Head::of(&asked.link, &asked.state, &asked.unison, body));
    let meanwhile = Meanwhile {
        more: &need.is,
        head: &told,
    };
    let (agent, mut body) = asked.link.open_agent(&parameters, stderr, &meanwhile)?;
    let name = asked.link.name.clone();
    if let Some(what) = remote::value(&body, "nolock") {
        let what = crate::model::text::neutral(what);
        return Err(OpenError::NoLock {
            message: format!("the lock on {name} cannot be taken: {what}"),
            hint: match what.contains("its disk is full") {
                true => format!("on {name}: df -h {}", asked.state),
                false => format!(
                    "look at it on {name}, and remove it when no run lives: ls -la {}",
                    asked.state
                ),
            },
        });
    }
    if remote::value(&body, "lock") == Some("refused") {
        return Err(OpenError::Locked(holder(&name, &body)));
    }
    if want == "lock" && remote::value(&body, "lock") != Some("held") {
        return Err(OpenError::Failed {
            message: format!(
                "the state directory {} on {name} cannot be written",
                asked.state
            ),
            hint: format!("on {name}: mkdir -p {0} && ls -ld {0}", asked.state),
        });
    }
    let swept_from = remote::find(&body, format!("{} SWEEP ", agent.nonce()).as_bytes());
    // The long part stays where it is.
    let head: Vec<u8> = body.drain(..swept_from.unwrap_or(body.len())).collect();
    let told = body;
    let mut said = parse_said(&head);
    said.program.clone_from(&asked.unison);
    let list = match (is_here, &said.root) {
        (true, Some(root)) => List::Seen(see(root, &said, (paths, above), &prunes)),
        _ => List::Told(told),
    };
    let sweep_digest = match &list {
        List::Seen(seen) => seen.as_ref().and_then(Swept::digest),
        List::Told(told) => facts::complete_list(told, agent.nonce())
            .map(|list| crate::model::text::hex(&Sha256::digest(list))),
    };
    Ok(Host {
        name,
        noise: agent
            .noise
            .iter()
            .filter(|b| !b.is_ascii_whitespace())
            .count(),
        link: asked.link,
        agent,
        root_given: asked.root,
        state_given: asked.state,
        said,
        tree: Tree::default(),
        hashed: None,
        list,
        is_sorted: false,
        sweep_digest,
    })
}

/// The tree of this machine, after its lock was taken: all of it when there are no paths.
fn see(
    root: &str,
    said: &Said,
    (paths, above): (&[RelPath], &[RelPath]),
    prunes: &[String],
) -> Option<Swept> {
    let straight = |include: &&RelPath| !said.through.iter().any(|t| *t == include.lossy());
    let includes: Vec<RelPath> = paths.iter().filter(straight).cloned().collect();
    if includes.is_empty() && !paths.is_empty() {
        return Some(Swept::default());
    }
    let inode = said.root_identity.trim().parse().ok();
    sweep(Path::new(root), inode, &includes, above, prunes).ok()
}

/// Reads the lists of both hosts into trees.
pub fn sort_trees(pair: &mut Pair, policy: &Policy) -> Result<(), OpenError> {
    let rules = &policy.truth.rules;
    // The first is mostly sorted by now, and the second shares its paths.
    let near = sort_tree(&mut pair.local, &Sorted::default(), rules);
    sort_tree(&mut pair.peer, &pair.local.tree.truth, rules).and(near)
}

fn sort_tree(host: &mut Host, beside: &Sorted<Stat>, rules: &Rules) -> Result<(), OpenError> {
    if host.said.root.is_none() || host.is_sorted {
        return Ok(());
    }
    let found = match std::mem::replace(&mut host.list, List::Seen(None)) {
        List::Told(told) => facts::parse_sweep_beside(&told, host.agent.nonce(), beside)
            .map(|told| (told.stats, told.unreadable)),
        List::Seen(seen) => seen.map(|seen| (seen.stats, seen.unreadable)),
    };
    match found {
        Some((stats, unreadable)) => {
            host.tree = Tree::sort(stats, unreadable, rules);
            host.is_sorted = true;
        }
        None if host.said.style == "none" => {}
        None => {
            return Err(OpenError::Lost {
                message: format!("the list of files from {} was cut or garbled", host.name),
                hint: "run it again".into(),
            });
        }
    }
    Ok(())
}

/// Who holds the lock that was refused.
pub fn holder(on: &str, body: &[u8]) -> Holder {
    let field = |key: &str| {
        remote::values(body, "holder")
            .find_map(|l| l.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or("?")
    };
    Holder {
        on: on.to_owned(),
        driver: field("driver").to_owned(),
        pid: field("driver_pid").parse().ok(),
        words: crate::model::text::neutral(&format!(
            "pid {} on {}, `{}`, since {}",
            field("driver_pid"),
            field("driver"),
            field("command"),
            field("since")
        )),
    }
}
