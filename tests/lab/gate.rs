//! Stand-ins for the programs of a host, to stop a run at a chosen point and to let it go on.
//!
//! Only labs built with [`LabBuilder::injectable`] have a search path of their own that a stand-in can be put on.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use super::run::wait_until;
use super::tools::find_program;
use super::world::{Lab, LabBuilder, Side};

/// Where a gated engine stops.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before it looks at anything.
    Start,
    /// After its questions were answered, before it changes anything. Only the half that is asked can be held here.
    Proceed,
}

/// A closed gate: whoever comes stands until [`Gate::open`].
#[derive(Debug)]
pub struct Gate {
    dir: PathBuf,
}

impl LabBuilder {
    pub fn injectable(self) -> Self {
        self.hide(Side::Laptop, &["-"]).hide(Side::Server, &["-"])
    }
}

impl Lab {
    /// Puts a shell script in a program's place on one host. It finds the program itself in `$REAL`.
    pub fn stand_in(&self, side: Side, program: &str, script: &str) {
        let name = match side {
            Side::Laptop => "laptop-bin",
            Side::Server | Side::Third => "server-bin",
        };
        let at = self.root().join(name).join(program);
        let real = find_program(program).unwrap_or_else(|| panic!("{program} is installed"));
        let staged = at.with_extension("staged");
        fs::write(
            &staged,
            format!("#!/bin/sh\nREAL={}\n{script}\n", real.display()),
        )
        .unwrap();
        fs::set_permissions(&staged, fs::Permissions::from_mode(0o755)).unwrap();
        fs::rename(staged, at).unwrap();
    }

    /// Lets the program itself be called again.
    pub fn no_stand_in(&self, side: Side, program: &str) {
        self.stand_in(side, program, "exec \"$REAL\" \"$@\"");
    }

    /// Holds every engine that starts on a host from now on, until the gate opens.
    pub fn gate(&self, side: Side, at: At) -> Gate {
        let gate = self.new_gate(side);
        let stop = gate.stop();
        self.stand_in(
            side,
            "unison",
            &match at {
                At::Start => format!(
                    "[ \"$1\" = -version ] || {{ {stop}; }}\nexec \"$REAL\" \"$@\""
                ),
                // The answers pass through a pipe whose far end waits when it reads the last of them.
                At::Proceed => format!(
                    "[ \"$1\" = -version ] && exec \"$REAL\" \"$@\"\n\
                     p=$UBOS_LAB/tmp/answers.$$; mkfifo \"$p\"; exec 3<&0\n\
                     (while IFS= read -r l; do if [ \"$l\" = y ]; then {stop}; fi; printf '%s\\n' \"$l\"; done) \
                     <&3 >\"$p\" 2>/dev/null &\n\
                     exec 3<&-; exec \"$REAL\" \"$@\" <\"$p\""
                ),
            },
        );
        gate
    }

    /// Holds every call of a program on a host whose arguments match a shell pattern.
    pub fn gate_call(&self, side: Side, program: &str, pattern: &str) -> Gate {
        let gate = self.new_gate(side);
        let stop = gate.stop();
        let script = format!("case \"$*\" in {pattern}) {stop} ;; esac\nexec \"$REAL\" \"$@\"");
        self.stand_in(side, program, &script);
        gate
    }

    fn new_gate(&self, side: Side) -> Gate {
        let dir = (0..)
            .map(|n| self.root().join(format!("tmp/gate-{}-{n}", side.host())))
            .find(|d| !d.exists())
            .unwrap();
        fs::create_dir(&dir).unwrap();
        Gate { dir }
    }
}

impl Gate {
    fn stop(&self) -> String {
        let dir = self.dir.display();
        format!(": >{dir}/held; while [ ! -e {dir}/open ]; do sleep 0.02; done")
    }

    /// Waits until somebody stands at the gate.
    #[track_caller]
    pub fn wait(&self) {
        wait_until("somebody stands at the gate", || self.is_held());
    }

    pub fn is_held(&self) -> bool {
        self.dir.join("held").exists()
    }

    /// Lets them through, and everyone after them.
    pub fn open(&self) {
        fs::write(self.dir.join("open"), "").unwrap();
    }
}
