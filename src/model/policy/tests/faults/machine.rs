//! Faults of the sections about this machine and how it runs, and of sections that there are not.

use super::Row;

pub(super) const FAULTS: &[Row] = &[
    ("[writer]\nsides = []\n", "writer.sides", "names no side"),
    ("[trut]\n", "trut", "unknown key"),
    (
        "[guards]\nmax_delete = \"101%\"\n",
        "guards.max_delete",
        "percentage",
    ),
    (
        "[guards]\nmax_delete = -1\n",
        "guards.max_delete",
        "percentage",
    ),
    (
        "[guards]\nmax_delete_floor = -1\n",
        "guards.max_delete_floor",
        "at least 0",
    ),
    (
        "[guards]\nmin_free_space = \"lots\"\n",
        "guards.min_free_space",
        "not a size",
    ),
    (
        "[guards]\nmarker = \"a/b\"\n",
        "guards.marker",
        "not a path",
    ),
    (
        "[schedule]\ninterval = 0\n",
        "schedule.interval",
        "may not be zero",
    ),
    (
        "[schedule]\ninterval = \"1m\"\njitter = \"2m\"\n",
        "schedule.jitter",
        "longer than",
    ),
    (
        "[schedule]\nthreshold = nan\n",
        "schedule.threshold",
        "whole number",
    ),
    ("[snapshots]\nkeep = 0\n", "snapshots.keep", "from 1"),
    (
        "[service]\nmemory_max = \"much\"\n",
        "service.memory_max",
        "memory limit",
    ),
    (
        "[service]\ncpu_quota = \"50\"\n",
        "service.cpu_quota",
        "CPU quota",
    ),
    (
        "[service]\nwants = [\"a b\"]\n",
        "service.wants[0]",
        "name of a unit",
    ),
    (
        "[writer]\nsides = [\"far\"]\n",
        "writer.sides[0]",
        "must be",
    ),
    (
        "[writer]\npause_file = \"../p\"\n",
        "writer.pause_file",
        "leave the root",
    ),
    (
        "[writer]\nack_file = \"/p\"\n",
        "writer.ack_file",
        "absolute",
    ),
    (
        "[writer]\nack_file = \".ubos/sync-pause\"\n",
        "writer.ack_file",
        "pause file itself",
    ),
    (
        "[writer]\nmax_pause = \"6m\"\n",
        "writer.max_pause",
        "at most 5 minutes",
    ),
    (
        "[writer]\nack_timeout = \"5m\"\nmax_pause = \"1m\"\n",
        "writer.ack_timeout",
        "longer than",
    ),
    (
        "[notify]\nwebhook_url_env = \"https://x.example\"\n",
        "notify.webhook_url_env",
        "NAME",
    ),
    ("[notify]\non = [\"always\"]\n", "notify.on[0]", "must be"),
    (
        "[metrics]\ntextfile = \"/var/x.txt\"\n",
        "metrics.textfile",
        ".prom",
    ),
    ("[audit]\ndir = \"~\"\n", "audit.dir", "holds a root"),
];
