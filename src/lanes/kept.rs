//! Connections that outlive a run, one for each peer, and an ear on each peer: what a worker keeps between its cycles.
//!
//! Invariants: a connection that does not answer is cut and made again by the next run that needs it; everything ends with this
//! process, also when it is killed, because it hangs on pipes of ours; a peer without a tool that hears is told of once.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::host::clock;
use crate::host::link::ear::{Ear, State};
use crate::host::link::{Keeper, Link};
use crate::lanes::reach::{self, CONNECT_TIMEOUT, Reach, Sockets};
use crate::lanes::truth::propose::ProposeError;
use crate::model::policy::{Peer, Policy, Remote};
use crate::tool::ear::{Word, exclusion};

/// A kept connection that does not answer within this is dead: what sleeps and lost networks leave behind.
const ANSWER: Duration = Duration::from_secs(5);
/// So long a run waits for the ear, so that nothing changes between its look and the ear's first word.
const OPENING: Duration = Duration::from_secs(3);
/// An ear that has lived for less has shown nothing.
const SEASONED: Duration = Duration::from_secs(60);

pub struct Kept {
    lines: Mutex<BTreeMap<String, Arc<Mutex<Line>>>>,
    state: PathBuf,
    /// Dropped after the lines, and before the folder.
    sockets: Sockets,
    home: tempfile::TempDir,
}

/// The line to one peer. Fields stand in the order in which they end.
#[derive(Default)]
struct Line {
    ear: Option<Ear>,
    up: Option<(Link, Keeper)>,
    /// When a run looked, the ear could not hear everything yet.
    was_deaf: bool,
    has_been_told: bool,
}

impl Kept {
    pub fn new(state: &Path) -> Result<Self, ProposeError> {
        let home = reach::of_a_worker(state)?;
        let sockets = Sockets::beside(home.path()).map_err(|e| ProposeError::Failed {
            message: format!("no room for the sockets of connections: {e}"),
            hint: format!("ls -ld {}", state.display()),
        })?;
        Ok(Self {
            lines: Mutex::default(),
            state: state.to_owned(),
            sockets,
            home,
        })
    }

    /// A private folder that lives as long as this.
    pub fn home(&self) -> &Path {
        self.home.path()
    }

    /// The way to a peer over the kept connection, which is made when there is none, or none that answers.
    pub fn reach(&self, policy: &Policy, peer: &Peer) -> Result<Reach, ProposeError> {
        let Some(remote) = &peer.remote else {
            return reach::over(&self.state, Link::local(&peer.name));
        };
        let line = Arc::clone(held(&self.lines).entry(peer.name.clone()).or_default());
        let mut line = held(&line);
        let link = self.connected(&mut line, peer, remote)?;
        if peer.truth {
            line.listen(policy, peer, &link);
        }
        reach::over(&self.state, link)
    }

    fn connected(
        &self,
        line: &mut Line,
        peer: &Peer,
        remote: &Remote,
    ) -> Result<Link, ProposeError> {
        if let Some((link, _)) = &line.up {
            if link.is_kept(ANSWER) {
                return Ok(link.clone());
            }
            tracing::debug!(peer = peer.name, "the connection is gone and is made again");
            line.cut();
        }
        let socket = self.sockets.path(peer, remote);
        let link = Link::ssh(&peer.name, remote, socket, 0, CONNECT_TIMEOUT);
        if let Some(keeper) = link.keep()? {
            line.up = Some((link.clone(), keeper));
        }
        Ok(link)
    }

    /// A cycle begins: it looks at everything that the ears could tell of.
    pub fn begin(&self) {
        for (_, line) in self.all() {
            if let Some(ear) = &mut held(&line).ear {
                ear.begin_count();
            }
        }
    }

    /// Asks every ear that hears for a mark: what a peer said before it had happened before now.
    pub fn mark(&self) -> Vec<(String, u64)> {
        let all = self.all().into_iter();
        all.filter_map(|(name, line)| {
            let mut line = held(&line);
            let ear = line.ear.as_mut().filter(|e| e.state() == State::Hears)?;
            Some((name, ear.mark()))
        })
        .collect()
    }

    /// What the peers said since the last time: changes, marks, and that something was missed.
    pub fn hear(&self) -> Vec<(String, Word)> {
        let mut heard = Vec::new();
        for (name, line) in self.all() {
            let words = held(&line).hear(&name);
            heard.extend(words.into_iter().map(|w| (name.clone(), w)));
        }
        heard
    }

    /// Whether any peer tells of its changes.
    pub fn has_ears(&self) -> bool {
        let hears = |l: &Mutex<Line>| held(l).ear.as_ref().is_some_and(|e| !e.has_ended());
        self.all().iter().any(|(_, line)| hears(line))
    }

    /// All connections are believed to be dead: they are cut without a word, and made again when they are needed.
    pub fn lose(&self) {
        self.all().iter().for_each(|(_, line)| held(line).cut());
    }

    /// Ends all connections in order; what is needed is made again.
    pub fn clear(&self) {
        held(&self.lines).clear();
    }

    fn all(&self) -> Vec<(String, Arc<Mutex<Line>>)> {
        let lines = held(&self.lines);
        lines
            .iter()
            .map(|(name, line)| (name.clone(), Arc::clone(line)))
            .collect()
    }
}

fn held<T>(of: &Mutex<T>) -> MutexGuard<'_, T> {
    of.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Line {
    fn cut(&mut self) {
        if let Some(ear) = &mut self.ear {
            ear.cut();
        }
        self.ear = None;
        if let Some((link, _)) = &self.up {
            link.cut();
        }
        self.up = None;
    }

    /// Sees to it that there is an ear, and waits a moment until it hears.
    fn listen(&mut self, policy: &Policy, peer: &Peer, link: &Link) {
        let is_needed = match &self.ear {
            None => true,
            Some(ear) => ear.state() == State::Gone,
        };
        if !is_needed {
            return;
        }
        let rules = &policy.truth.rules;
        let includes: Vec<String> = rules.include_roots().iter().map(|p| p.lossy()).collect();
        let (exclude, count) = (exclusion(&rules.prune_names()), includes.len().to_string());
        let mut parameters: Vec<&str> = vec![&peer.state_dir, &peer.root, &exclude, &count];
        parameters.extend(includes.iter().map(String::as_str));
        match link.listen(&parameters) {
            Ok(ear) => self.ear = Some(ear),
            Err(e) => return tracing::debug!(peer = peer.name, "no ear: {e}"),
        }
        let until = clock::monotonic() + OPENING;
        while self.is_opening() && clock::monotonic() < until {
            // The run that waits here looks at everything itself: nothing that is said now is news.
            self.hear(&peer.name);
            clock::sleep(Duration::from_millis(5));
        }
        self.was_deaf = self.is_opening();
    }

    fn is_opening(&self) -> bool {
        self.ear
            .as_ref()
            .is_some_and(|e| e.state() == State::Opening)
    }

    fn hear(&mut self, name: &str) -> Vec<Word> {
        let Some(ear) = &mut self.ear else {
            return Vec::new();
        };
        let mut words = ear.hear();
        let is_seasoned = ear.age() > SEASONED;
        if self.was_deaf && ear.state() == State::Hears {
            self.was_deaf = false;
            words.push(Word::Missed);
        }
        for word in &mut words {
            match word {
                Word::None => self.tell(name, "it has neither inotifywait nor fswatch"),
                Word::Died(why) => {
                    self.tell(name, why);
                    // What happened around its death may not have been told. One that dies young waits for a cycle that comes
                    // anyway: it would start one after the other.
                    if is_seasoned {
                        *word = Word::Missed;
                    }
                }
                Word::Tool(tool) => tracing::debug!(peer = name, "{tool} listens"),
                _ => {}
            }
        }
        words
    }

    /// Once, however often it happens.
    fn tell(&mut self, name: &str, why: &str) {
        let text = "its changes are looked for at the interval only";
        match self.has_been_told {
            false => tracing::warn!(peer = name, "{text}: {why}"),
            true => tracing::debug!(peer = name, "{text}: {why}"),
        }
        self.has_been_told = true;
    }
}
