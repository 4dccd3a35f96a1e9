//! Faults of `[publish]` and of its targets.

use super::Row;

pub(super) const FAULTS: &[Row] = &[
    ("[publish]\nscan = \"maybe\"\n", "publish.scan", "must be"),
    (
        "[publish]\nbranch = \"-x\"\n",
        "publish.branch",
        "git accepts",
    ),
    (
        "[publish]\nurl = \"ext::sh\"\n",
        "publish.url",
        "clone from",
    ),
    ("[publish]\nparallel = 0\n", "publish.parallel", "from 1"),
    (
        "[publish]\n[[publish.target]]\nname = \"a\"\npath = \"/\"\n",
        "publish.target[0].path",
        "whole file system",
    ),
    (
        "[publish]\n[[publish.target]]\nname = \"a\"\npath = \"~/ubos/x\"\n",
        "publish.target[0].path",
        "nested",
    ),
    (
        "[publish]\n[[publish.target]]\nname = \"a\"\npath = \"/x\"\n[[publish.target]]\nname = \"a\"\npath = \"/y\"\n",
        "publish.target[1].name",
        "two targets",
    ),
];
