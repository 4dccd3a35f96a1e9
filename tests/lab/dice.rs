//! Chance that can be repeated: `UBOS_SEED=S` gives the same again, `UBOS_TORTURE=N` says how much of it.
//!
//! Invariant: the same seed gives the same rolls, whatever the machine.

use std::time::{SystemTime, UNIX_EPOCH};

/// A small generator of our own (splitmix64): what matters is that a seed repeats a sequence.
pub struct Dice(u64);

impl Dice {
    pub fn new(seed: u64) -> Dice {
        Dice(seed)
    }

    pub fn roll(&mut self, sides: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)) % sides
    }

    pub fn one_in(&mut self, n: u64) -> bool {
        self.roll(n) == 0
    }

    pub fn pick<T: Clone>(&mut self, from: &[T]) -> T {
        from[self.roll(from.len() as u64) as usize].clone()
    }

    /// One of several by weight.
    pub fn weighed<T: Clone>(&mut self, from: &[(u64, T)]) -> T {
        let mut at = self.roll(from.iter().map(|(w, _)| w).sum());
        for (weight, what) in from {
            match at.checked_sub(*weight) {
                None => return what.clone(),
                Some(rest) => at = rest,
            }
        }
        unreachable!("the roll is below the sum")
    }
}

/// The seed that was asked for, or one of this moment; it is told, because it repeats a failure.
pub fn seed() -> u64 {
    let seed = number("UBOS_SEED").unwrap_or_else(|| {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap();
        now.as_secs() * 1000 + u64::from(now.subsec_millis())
    });
    eprintln!("UBOS_SEED={seed}");
    seed
}

/// How many rounds or sequences were asked for, or this many.
pub fn torture(usual: u64) -> u64 {
    number("UBOS_TORTURE").unwrap_or(usual)
}

fn number(name: &str) -> Option<u64> {
    let given = std::env::var(name).ok()?;
    let number = given.trim().parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is no number: {given}")))
}
