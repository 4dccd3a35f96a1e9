#!/usr/bin/env bash
# `ubos-sync logs --apply` against doing it by hand, in alternating pairs, over the same loopback ssh.
#
#   bench/logs.sh [PROGRAM]           default: target/release/ubos-sync
#
#   LINES=400000  lines of the log (259 bytes each: 104 MB)      and what bench/pair.sh says
#
# The first pull against `ssh cat`, and rsync alone against the same; one more megabyte, and nothing new, against a fresh `ssh true`,
# which is as fast as anything can be; five logs of one peer against one.
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
lines=${LINES:-400000}

serve
mkdir -p "$lab/balaur/tree/logs"
pulling() { # NAME...: a policy that pulls these logs
    local name extra=()
    for name; do extra+=('[[peer.log]]' "remote = \"logs/$name.jsonl\"" "local = \"logs/$name.jsonl\""); done
    memory=$lab/mac/memory-$1 policy "$1" "${extra[@]}"
}
pull_big() { ours big logs --apply; }
pull_five() { ours a1 logs --apply; }
pull_one() { ours b1 logs --apply; }
by_ssh() { ssh -F "$lab/ssh/config" balaur "$@"; }
ssh_true() { by_ssh true; }
ssh_cat() { by_ssh "cat '$lab/balaur/tree/logs/big.jsonl'" >"$lab/mac/by-hand"; }
by_rsync() {
    rm -f "$lab/mac/by-rsync"
    rsync -t -e "ssh -F $lab/ssh/config" "balaur:$lab/balaur/tree/logs/big.jsonl" "$lab/mac/by-rsync"
}
anew() { rm -rf "$lab/mac/tree/logs/big.jsonl" "$lab/mac/memory-big"; }
more() { records 3861 more >>"$lab/balaur/tree/logs/big.jsonl"; }

pulling big
pulling a1 a2 a3 a4 a5
pulling b1
records "$lines" text >"$lab/balaur/tree/logs/big.jsonl"
for name in a1 a2 a3 a4 a5 b1; do records 700 text >"$lab/balaur/tree/logs/$name.jsonl"; done
heading "logs: $lines lines, $(wc -c <"$lab/balaur/tree/logs/big.jsonl") bytes; $(rsync --version | head -n 1)"
pairs_of "first pull" "ssh cat" - pull_big ssh_cat anew
pairs_of "first pull by rsync, unchecked" "ssh cat" - by_rsync ssh_cat
pairs_of "1 MB more" "ssh true" - pull_big ssh_true more
pairs_of "no-op" "ssh true" - pull_big ssh_true
quietly pull_five
quietly pull_one
pairs_of "no-op, five logs" "one log" - pull_five pull_one
cmp "$lab/mac/tree/logs/big.jsonl" "$lab/balaur/tree/logs/big.jsonl"
anew
peak_row "first pull, peak memory" - --policy "$lab/mac/big.toml" --no-progress logs --apply
