//! What a listener on another host says, however it is cut into pieces.

use ubos_sync::tool::ear::{Parser, Word};

use super::{NONCE, assert_below, assert_harmless};

pub fn check(data: &[u8]) {
    let whole = heard(data, data.len().max(1));
    // The first byte decides where it is cut; what is said does not depend on that.
    let step = usize::from(data.first().copied().unwrap_or(7)) + 1;
    let pieces = heard(data, step);
    if let (Ok(whole), Ok(pieces)) = (&whole, &pieces) {
        assert_eq!(whole, pieces);
    }
    for word in whole.iter().flatten() {
        match word {
            Word::Changed(path) | Word::Renamed(path) => {
                assert_below(path);
                assert!(!path.is_root());
            }
            Word::Tool(text) | Word::Died(text) => assert_harmless(text),
            Word::None | Word::Mark(_) | Word::Missed => {}
        }
    }
}

fn heard(data: &[u8], step: usize) -> Result<Vec<Word>, &'static str> {
    let mut parser = Parser::new(NONCE);
    let mut words = Vec::new();
    for piece in data.chunks(step) {
        words.extend(parser.take(piece)?);
    }
    Ok(words)
}
