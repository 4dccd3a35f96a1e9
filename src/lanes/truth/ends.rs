//! The two ends of a pair, as far as an engine has to know them.
//!
//! One of them may not have told all of its tree yet; whether it holds its lock is then asked of its [`Head`].

use std::path::Path;

use crate::host::link::Link;
use crate::lanes::truth::hosts::{Host, Pair};
use crate::lanes::truth::said::{Said, parse_said};
use crate::tool::remote;

#[derive(Clone, Copy)]
pub struct Ends<'a> {
    /// Of the pair.
    pub id: &'a str,
    /// A private folder of this run on this machine.
    pub scratch: &'a Path,
    pub local: End<'a>,
    pub peer: End<'a>,
}

#[derive(Clone, Copy)]
pub struct End<'a> {
    pub name: &'a str,
    pub link: &'a Link,
    /// The state directory as the policy gives it.
    pub state: &'a str,
    pub said: &'a Said,
}

/// What a peer is, told before its tree.
pub struct Head {
    link: Link,
    state_given: String,
    pub said: Said,
    pub is_locked: bool,
}

impl Head {
    /// `told`: what its agent has said so far.
    pub fn of(link: &Link, state: &str, program: &str, told: &[u8]) -> Self {
        Self {
            link: link.clone(),
            state_given: state.to_owned(),
            said: Said {
                program: program.to_owned(),
                ..parse_said(told)
            },
            is_locked: remote::value(told, "lock") == Some("held"),
        }
    }

    pub fn end(&self) -> End<'_> {
        End {
            name: &self.link.name,
            link: &self.link,
            state: &self.state_given,
            said: &self.said,
        }
    }
}

impl Host {
    pub fn end(&self) -> End<'_> {
        End {
            name: &self.name,
            link: &self.link,
            state: &self.state_given,
            said: &self.said,
        }
    }
}

impl Pair {
    pub fn ends(&self) -> Ends<'_> {
        Ends {
            id: &self.id,
            scratch: &self.scratch,
            local: self.local.end(),
            peer: self.peer.end(),
        }
    }
}
