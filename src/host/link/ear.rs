//! An ear on a host: what changes there, over the connection that the link already has.
//!
//! Invariants: nobody ever waits for it; it ends with its connection, and so does all that it started over there; what it says is
//! bounded by its parser.

use std::path::Path;
use std::time::{Duration, Instant};

use super::{Link, LinkError, nonce};
use crate::host::clock;
use crate::host::process::{self, Heard, Session};
use crate::tool::ear::{Parser, Word};
use crate::tool::remote;

/// A great tree takes the tool a while; one that has not heard our mark by then hears nothing.
const PATIENCE: Duration = Duration::from_secs(600);
/// How often it is asked whether it hears already, at first and later.
const SOON: Duration = Duration::from_millis(50);
const LATER: Duration = Duration::from_secs(1);

pub struct Ear {
    session: Session,
    parser: Parser,
    opened: Instant,
    asked: Instant,
    marks: u64,
    state: State,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum State {
    /// It may not hear everything yet.
    Opening,
    Hears,
    /// There is no tool on that host.
    NoTool,
    Gone,
}

impl Link {
    /// Starts to listen; what becomes of it is heard later. The parameters are those of the script.
    pub fn listen(&self, parameters: &[&str]) -> Result<Ear, LinkError> {
        let nonce = nonce();
        let mut all = vec![nonce.as_str()];
        all.extend(parameters);
        let stdin = remote::encode(remote::EAR, &all).ok_or_else(|| self.unsendable())?;
        // What a tool complains of comes framed; a host that fills an error stream without end must not fill a disk here.
        let session = process::error_file(Path::new("/dev/null"))
            .and_then(|errors| Session::start(&self.invocation(false), errors));
        let mut session = session.map_err(|e| self.not_started(&e))?;
        let _ = session.send(&stdin);
        let now = clock::monotonic();
        Ok(Ear {
            session,
            parser: Parser::new(&nonce),
            opened: now,
            asked: now,
            marks: 0,
            state: State::Opening,
        })
    }
}

impl Ear {
    pub fn state(&self) -> State {
        self.state
    }

    /// What has been said since the last time. `Died` is always the last word.
    pub fn hear(&mut self) -> Vec<Word> {
        let mut words = Vec::new();
        if self.has_ended() {
            return words;
        }
        loop {
            let taken = match self.session.hear(Duration::ZERO) {
                Heard::Bytes(bytes) => self.parser.take(&bytes),
                Heard::Nothing => break,
                Heard::End => Err("the connection ended"),
            };
            match taken {
                Ok(more) => words.extend(more),
                Err(why) => words.push(Word::Died(why.to_owned())),
            }
            let last = words
                .iter()
                .position(|w| matches!(w, Word::Died(_) | Word::None));
            if let Some(at) = last {
                words.truncate(at + 1);
                self.state = match words[at] {
                    Word::None => State::NoTool,
                    _ => State::Gone,
                };
                self.session.close_stdin();
                return words;
            }
        }
        if self.state == State::Opening {
            self.ask(&mut words);
        }
        words
    }

    /// Until it has heard a mark of ours it is asked again and again.
    fn ask(&mut self, words: &mut Vec<Word>) {
        let now = clock::monotonic();
        if words.iter().any(|w| matches!(w, Word::Mark(_))) {
            self.state = State::Hears;
        } else if now.duration_since(self.opened) > PATIENCE {
            self.state = State::Gone;
            self.session.close_stdin();
            words.push(Word::Died("it has not begun to hear".into()));
        } else {
            let young = now.duration_since(self.opened) < LATER * 3;
            if now.duration_since(self.asked) >= if young { SOON } else { LATER } {
                self.asked = now;
                self.mark();
            }
        }
    }

    /// Asks for a mark; its number. When it is heard, all that happened before has been said.
    pub fn mark(&mut self) -> u64 {
        self.marks += 1;
        let _ = self.session.send(format!("{}\n", self.marks).as_bytes());
        self.marks
    }

    pub fn age(&self) -> Duration {
        self.opened.elapsed()
    }

    pub fn has_ended(&self) -> bool {
        matches!(self.state, State::NoTool | State::Gone)
    }

    /// Ends it without a word: its connection is believed to be dead.
    pub fn cut(&mut self) {
        self.state = State::Gone;
        self.session.kill();
    }

    /// A cycle looks at everything: what is said from now on is counted anew.
    pub fn begin_count(&mut self) {
        self.parser.begin_count();
    }
}
