//! What long work says about how far it is, without knowing who listens.
//!
//! Invariant: progress is for people only; nothing depends on it having been shown.

/// A listener. Phases follow one another; a new one ends the one before.
pub trait Progress: Send + Sync {
    /// Something long begins; `total` is how much of it there is, when that is known.
    fn phase(&self, name: &str, total: Option<u64>);
    /// So much more of it is done.
    fn advance(&self, n: u64);
    /// What it is at right now.
    fn message(&self, text: &str);
    /// The phase is over.
    fn done(&self);
    /// A listener for work that goes on beside others', under a name of its own.
    fn beside(&self, name: &str) -> Box<dyn Progress>;
}

/// Nobody listens.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Progress for Silent {
    fn phase(&self, _name: &str, _total: Option<u64>) {}
    fn advance(&self, _n: u64) {}
    fn message(&self, _text: &str) {}
    fn done(&self) {}
    fn beside(&self, _name: &str) -> Box<dyn Progress> {
        Box::new(Silent)
    }
}
