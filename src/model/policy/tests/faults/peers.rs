//! Faults of `[[peer]]` and of its logs.

use super::{Row, with};

pub(super) const FAULTS: &[Row] = &[
    ("[[peer]]\nname = \"b\"\n", "peer[0].root", "is missing"),
    (
        "[[peer]]\nname = \"-b\"\nroot = \"/r\"\n",
        "peer[0].name",
        "begins with",
    ),
    (
        "[[peer]]\nname = \"mac\"\nroot = \"/r\"\n",
        "peer[0].name",
        "name of this site",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"-oProxyCommand=x\"\nroot = \"/r\"\n",
        "peer[0].host",
        "a host begins",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nuser = \"a@b\"\nroot = \"/r\"\n",
        "peer[0].user",
        "a user begins",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nport = 0\nroot = \"/r\"\n",
        "peer[0].port",
        "from 1 to 65535",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nport = 70000\nroot = \"/r\"\n",
        "peer[0].port",
        "from 1 to 65535",
    ),
    (
        "[[peer]]\nname = \"b\"\nuser = \"u\"\nroot = \"/r\"\n",
        "peer[0].user",
        "without `host`",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"~\"\n",
        "peer[0].root",
        "whole home",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/\"\n",
        "peer[0].root",
        "whole file system",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"$HOME/x\"\n",
        "peer[0].root",
        "variables",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/r\"\nunison = \"u -x\"\n",
        "peer[0].unison",
        "a program is",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/r/s\"\nstate_dir = \"/r\"\n",
        "peer[0].root",
        "state_dir",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~/ubos/sub\"\n",
        "peer[0].root",
        "nested with site.root",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~/ubos\"\n",
        "peer[0].root",
        "the same directory as",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"/\"\n",
        "peer[0].root",
        "whole file system",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~\"\n",
        "peer[0].root",
        "whole home",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"~/.local/state/ubos-sync/x\"\n",
        "peer[0].root",
        "inside site.state_dir",
    ),
    (
        "[[peer]]\nname = \"b\"\nroot = \"/x\"\n[[peer]]\nname = \"B\"\nroot = \"/y\"\n",
        "peer[1].name",
        "two peers",
    ),
    (
        "[[peer]]\nname = \"b\"\nhost = \"h\"\nroot = \"/x\"\n[[peer]]\nname = \"c\"\nhost = \"h\"\nport = 22\nroot = \"/x/y\"\n",
        "peer[1].root",
        "nested with",
    ),
];

const PEER: &str = "[[peer]]\nname = \"b\"\nhost = \"b\"\nroot = \"/srv/r\"\n";

#[test]
fn faults_of_logs() {
    let log = |remote: &str, local: &str| {
        format!("[[peer.log]]\nremote = \"{remote}\"\nlocal = \"{local}\"\n")
    };
    let table = [
        (
            log("a", "x") + &log("b", "x"),
            "peer[0].log[1].local",
            "already",
        ),
        (
            log("a", "x") + &log("a", "y"),
            "peer[0].log[1].remote",
            "twice",
        ),
        (log("a", "../x"), "peer[0].log[0].local", "leave the root"),
        (log("../a", "x"), "peer[0].log[0].remote", "leave the root"),
        (log("a/[b", "x"), "peer[0].log[0].remote", "never closed"),
        (
            log("a_state.json", "x"),
            "peer[0].log[0].remote",
            "is state",
        ),
        (
            log("a", "/home/u/.local/state/ubos-sync/l"),
            "peer[0].log[0].local",
            "ours alone",
        ),
    ];
    for (rest, key, reason) in table {
        let faults = with(&format!("{PEER}{rest}")).expect_err(&rest);
        assert!(
            faults
                .iter()
                .any(|f| f.key == key && f.reason.contains(reason)),
            "{rest}: {faults:#?}"
        );
    }
}
