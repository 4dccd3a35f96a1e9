//! Faults of `[truth]`.

use super::Row;

pub(super) const FAULTS: &[Row] = &[
    ("[truth]\nexlude = []\n", "truth.exlude", "unknown key"),
    (
        "[truth]\ninclude = \"docs\"\n",
        "truth.include",
        "wanted an array",
    ),
    (
        "[truth]\ninclude = [\"/abs\"]\n",
        "truth.include[0]",
        "is absolute",
    ),
    (
        "[truth]\ninclude = [\"../x\"]\n",
        "truth.include[0]",
        "leave the root",
    ),
    (
        "[truth]\ninclude = [\"a*\"]\n",
        "truth.include[0]",
        "not a pattern",
    ),
    (
        "[truth]\ninclude = [\"models\"]\n",
        "truth.include",
        "taken out by exclude",
    ),
    (
        "[truth]\ninclude = [\"x_state.json\"]\n",
        "truth.include",
        "taken out by state",
    ),
    (
        "[truth]\nexclude = [\"ok\", \"[abc\"]\n",
        "truth.exclude[1]",
        "never closed",
    ),
    (
        "[truth]\nexclude = [\"*\"]\n",
        "truth.exclude[0]",
        "every path",
    ),
    (
        "[truth]\nexclude = [\"{z,*}\"]\n",
        "truth.exclude[0]",
        "every path",
    ),
    (
        "[truth]\nexclude = [3]\n",
        "truth.exclude[0]",
        "wanted a pattern",
    ),
    (
        "[truth]\nconflicts = \"never\"\n",
        "truth.conflicts",
        "must be \"newer\"",
    ),
    (
        "[truth]\npermissions = 1\n",
        "truth.permissions",
        "wanted true or false",
    ),
    (
        "[truth]\nfull_scan_every = \"soon\"\n",
        "truth.full_scan_every",
        "not a duration",
    ),
];
