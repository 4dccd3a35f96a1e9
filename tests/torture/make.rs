//! A sequence of steps from a seed, by the weights of what users and machines do to a pair.
//!
//! Invariant: the same seed gives the same steps, whatever the machine.

use super::script::{
    Blow, Damage, Deed, Fault, Host, How, Ill, Layout, Missing, Path, Place, Script, Step, Victim,
    When,
};
use crate::lab::Dice;

const S: i64 = 1_000_000_000;

/// Names that have broken somebody's sync: prefixes of one another, case and normal forms, globs, options, bytes.
fn pool(dice: &mut Dice) -> Vec<Path> {
    let long = format!("docs/{}", "n".repeat(255));
    let odd: [&[u8]; 15] = [
        b"docs/a.md",
        b"docs/A.md",
        "docs/\u{e9}.md".as_bytes(),
        "docs/e\u{301}.md".as_bytes(),
        b"x[1]*?.md",
        long.as_bytes(),
        b"-rf",
        b"li\nne/f",
        b"sp ace/q'\"`$(x)",
        b"docs/\xff\xfe",
        b"docs/deep/er/f",
        b"state.json",
        b"back\\slash",
        b"{a,b}/c",
        b" lead/trail ",
    ];
    // Always the family of prefixes; of the others a few, so that both sides meet at the same paths.
    let mut pool: Vec<Path> = ["a", "a/b", "a/b/c", "docs/deep"]
        .map(|p| Path(p.into()))
        .to_vec();
    while pool.len() < 9 {
        let next = Path(dice.pick(&odd).to_vec());
        if !pool.contains(&next) {
            pool.push(next);
        }
    }
    pool
}

struct Maker {
    dice: Dice,
    hosts: Vec<Host>,
    pool: Vec<Path>,
    tag: u32,
    /// What was touched lately: two users who work on the same paths are what is hard.
    hot: Vec<Path>,
}

impl Maker {
    fn host(&mut self) -> Host {
        self.dice.pick(&self.hosts)
    }

    /// Whom the hub syncs with, if it is to be one.
    fn with(&mut self) -> Option<Host> {
        let mut all = vec![(1, None)];
        all.extend(self.hosts[1..].iter().map(|h| (1, Some(*h))));
        match self.hosts.len() {
            2 => None,
            _ => self.dice.weighed(&all),
        }
    }

    fn path(&mut self) -> Path {
        let path = match self.hot.is_empty() || self.dice.one_in(2) {
            true => self.dice.pick(&self.pool),
            false => self.dice.pick(&self.hot),
        };
        self.hot.push(path.clone());
        if self.hot.len() > 4 {
            self.hot.remove(0);
        }
        path
    }

    fn tag(&mut self) -> u32 {
        // Seldom one that was there already: equal contents by two hands.
        if self.tag > 0 && self.dice.one_in(10) {
            return 1 + self.dice.roll(u64::from(self.tag)) as u32;
        }
        self.tag += 1;
        self.tag
    }

    fn when(&mut self) -> When {
        let step = self
            .dice
            .pick(&[0, 1, S / 10, S / 2, S - 1, S, 2 * S, 3600 * S]);
        let by = if self.dice.one_in(2) { step } else { -step };
        let far = self.dice.roll(10_000_000) as i64 * S + self.dice.roll(S as u64) as i64;
        self.dice.weighed(&[
            (4, When::Now(0)),
            (1, When::Now(-step)),
            (3, When::Other(by)),
            (3, When::Was(by)),
            (3, When::At(far)),
            (1, When::At(-far)),
            (1, When::Now(86_400 * S)),
        ])
    }

    fn write(&mut self, path: Path) -> Deed {
        let how = self
            .dice
            .weighed(&[(4, How::Place), (3, How::Rename), (1, How::Append)]);
        let when = match how {
            How::Append => When::Was(0),
            _ => self.when(),
        };
        Deed::Write {
            path,
            tag: self.tag(),
            // Sizes that meet often.
            len: self
                .dice
                .weighed(&[(1, 0), (6, 16), (3, 40), (1, 4096), (1, 70_000)]),
            how,
            when,
        }
    }

    fn deed(&mut self) -> Deed {
        let path = self.path();
        match self.dice.weighed(&[
            (40, 'w'),
            (10, 'd'),
            (4, 'r'),
            (7, 'm'),
            (2, 's'),
            (4, 't'),
            (5, 'c'),
            (6, 'h'),
            (5, 'x'),
        ]) {
            'w' => self.write(path),
            'd' => Deed::Remove { path },
            'r' => Deed::Remove {
                path: self
                    .dice
                    .pick(&["a", "docs", "a/b"].map(|p| Path(p.into()))),
            },
            'm' => Deed::Rename {
                path: self.dice.pick(&[path.clone(), Path(b"docs".into()), path]),
                to: self.path(),
            },
            's' => Deed::Swap {
                path,
                with: self.path(),
            },
            't' => match self.dice.roll(2) {
                0 => Deed::Link {
                    path,
                    tag: self.tag(),
                },
                _ => Deed::Mkdir { path },
            },
            'c' => Deed::Chmod {
                path,
                mode: self.dice.pick(&[0o755, 0o600, 0o444, 0o644, 0o700]),
            },
            'h' => Deed::Touch {
                path,
                when: self.when(),
            },
            _ => {
                let dir = self.dice.pick(&["a", "docs", "docs/deep", "a/b", "own"]);
                let name = self.dice.pick(&["x_state.json", "y_state.json", "z.tmp"]);
                let path = Path(format!("{dir}/{name}").into());
                match self.dice.one_in(5) {
                    true => Deed::Remove { path },
                    false => self.write(path),
                }
            }
        }
    }

    fn fault(&mut self) -> Fault {
        let at = self.dice.roll(1200);
        match self
            .dice
            .weighed(&[(6, 'k'), (1, 'f'), (2, 's'), (4, 'e'), (2, 't'), (3, 'd')])
        {
            'd' => self.disk(),
            'k' => self.kill(),
            'f' => Fault::Full {
                blocks: self.dice.roll(180) as u32,
            },
            's' => Fault::Skew {
                seconds: self.dice.pick(&[-3600, -5, 5, 3600, 86_400]),
            },
            'e' => Fault::Edit {
                host: self.host(),
                deed: self.deed(),
                at,
            },
            _ => Fault::Twin { at },
        }
    }

    fn kill(&mut self) -> Fault {
        Fault::Kill {
            who: self.dice.weighed(&[
                (4, Victim::Itself),
                (3, Victim::Engine),
                (2, Victim::Far),
                (2, Victim::Link),
            ]),
            blow: self
                .dice
                .weighed(&[(4, Blow::Kill), (1, Blow::Term), (1, Blow::Int)]),
            at: self.dice.roll(1200),
        }
    }

    fn disk(&mut self) -> Fault {
        let left = self.dice.pick(&[0, 4096, 12_288, 40_960, 131_072]);
        Fault::Disk {
            host: self.host(),
            place: self
                .dice
                .weighed(&[(3, Place::Tree), (2, Place::State), (1, Place::Records)]),
            ill: self.dice.weighed(&[(2, Ill::Full(left)), (1, Ill::Closed)]),
        }
    }

    /// What goes on between a commit and a target.
    fn fan_out(&mut self) -> Vec<Step> {
        let fault = match self.dice.roll(6) {
            0..=2 => None,
            3 => Some(self.disk()),
            4 => Some(Fault::Edit {
                host: self.host(),
                deed: self.deed(),
                at: self.dice.roll(1200),
            }),
            _ => Some(self.kill()),
        };
        let mut steps = Vec::new();
        for _ in 0..self.dice.roll(3) {
            steps.push(Step::Target { deed: self.deed() });
        }
        if !self.dice.one_in(4) {
            steps.push(Step::Commit);
        }
        steps.push(match self.dice.roll(6) {
            0 => Step::Publish {
                dry: true,
                fault: None,
            },
            1 => Step::Unpublish {
                at: self.dice.one_in(2).then(|| self.dice.roll(1200)),
            },
            _ => Step::Publish { dry: false, fault },
        });
        steps
    }

    fn program(&mut self) -> Step {
        let driver = self.host();
        match self.dice.weighed(&[
            (6, 'd'),
            (15, 'a'),
            (14, 'f'),
            (4, 'u'),
            (3, 'p'),
            (2, 'l'),
            (2, 'm'),
            (3, 'b'),
        ]) {
            'd' => Step::Dry {
                driver,
                with: self.with(),
            },
            'a' => Step::Apply {
                driver,
                with: self.with(),
                fault: None,
            },
            'f' => Step::Apply {
                driver,
                with: self.with(),
                fault: Some(self.fault()),
            },
            'u' => Step::Undo {
                driver,
                by: self.host(),
                at: self.dice.one_in(2).then(|| self.dice.roll(1200)),
            },
            'p' => Step::Pull {
                at: self.dice.one_in(3).then(|| self.dice.roll(1200)),
            },
            'l' => Step::Log {
                lines: 1 + self.dice.roll(40) as u32,
                rotate: self.dice.one_in(3),
            },
            'm' => Step::Unmount {
                host: self.host(),
                driver,
                how: self.dice.pick(&[
                    Missing::Empty,
                    Missing::Gone,
                    Missing::File,
                    Missing::Marker,
                ]),
            },
            _ => Step::Damage {
                host: driver,
                what: self.dice.pick(&[
                    Damage::Pair,
                    Damage::Manifest,
                    Damage::Archive,
                    Damage::Index,
                    Damage::Records,
                ]),
            },
        }
    }
}

/// The sequence of a seed. Every fifth goes over a real connection, every fourth is between three, and every third has a target.
pub fn script(seed: u64) -> Script {
    let mut dice = Dice::new(seed);
    let ssh = dice.one_in(5);
    let hub = dice.one_in(4);
    let layout = dice.weighed(&[(2, Layout::InPlace), (1, Layout::Releases)]);
    let target = dice.one_in(3).then_some(layout);
    let pool = pool(&mut dice);
    let mut maker = Maker {
        dice,
        hosts: Host::ALL[..if hub { 3 } else { 2 }].to_vec(),
        pool,
        tag: 0,
        hot: Vec::new(),
    };
    let mut steps = Vec::new();
    // One tree that all have, changed on every side; trees that never met teach nothing.
    for path in maker.pool.clone() {
        if maker.dice.one_in(2) {
            let deed = maker.write(path);
            let host = maker.host();
            steps.push(Step::User { host, deed });
        }
    }
    steps.push(Step::Apply {
        driver: Host::Mac,
        with: None,
        fault: None,
    });
    if target.is_some() {
        let (dry, fault) = (false, None);
        steps.push(Step::Publish { dry, fault });
    }
    let rounds = if ssh { 3 } else { 4 };
    for _ in 0..rounds {
        for _ in 0..1 + maker.dice.roll(6) {
            let host = maker.host();
            let deed = maker.deed();
            steps.push(Step::User { host, deed });
        }
        // Where there is a target, half of what is asked for is about it.
        if target.is_some() && maker.dice.one_in(2) {
            steps.extend(maker.fan_out());
        } else {
            steps.push(maker.program());
        }
        if maker.dice.one_in(4) {
            steps.push(maker.program());
        }
    }
    Script {
        ssh,
        hub,
        target,
        steps,
    }
}
