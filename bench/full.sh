#!/usr/bin/env bash
# `ubos-sync full --apply` with nothing to do against the pipeline by hand: unison, and an rsync for each of two logs, a connection each.
#
#   bench/full.sh [PROGRAM]           default: target/release/ubos-sync
#
#   FILES=20000  files in the tree      LOG=100000000  bytes of the large log      DELAY=50  milliseconds of round trip of the slow line
#   and what bench/pair.sh says
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
files=${FILES:-20000}
log=${LOG:-100000000}
delay=${DELAY:-50}

serve
slow_down "$delay"
fill "$lab/mac/tree" "$files" "$((3000 * files))"
raw_trees
mkdir -p "$lab/balaur/logs" "$lab/mac/pulled"
records $((log / 259)) text >"$lab/balaur/logs/large.jsonl"
records 4000 text >"$lab/balaur/logs/small.jsonl"

for name in config slow; do
    for keep in 0s 60s; do
        route=$name policy "$name-$keep" "keep_connection = \"$keep\"" \
            '[[peer.log]]' "remote = \"$lab/balaur/logs/large.jsonl\"" 'local = "logs/large.jsonl"' \
            '[[peer.log]]' "remote = \"$lab/balaur/logs/small.jsonl\"" 'local = "logs/small.jsonl"'
    done
done
by_hand() { # ROUTE
    local name
    unison_by_hand "$1" raw
    for name in large small; do
        rsync -t --append-verify -e "ssh -F $lab/ssh/$1" "balaur:$lab/balaur/logs/$name.jsonl" "$lab/mac/pulled/"
    done
}
cold() { ours config-0s full --apply; }
warm() { ours config-60s full --apply; }
near() { by_hand config; }
slow_cold() { ours slow-0s full --apply; }
slow_warm() { ours slow-60s full --apply; }
slow() { by_hand slow; }

heading "full: $files files and two logs, $(cat "$lab"/balaur/logs/* | wc -c) bytes; $(rsync --version | head -n 1)"
for _ in 1 2; do
    quietly cold
    quietly near
done
cmp "$lab/mac/tree/logs/large.jsonl" "$lab/balaur/logs/large.jsonl"
pairs_of "no-op, two logs" "unison + 2 rsync" 0.45 cold near
pairs_of "no-op, two logs, $delay ms" "unison + 2 rsync" 0.3 slow_cold slow
quietly warm
pairs_of "no-op, two logs, warm" "unison + 2 rsync" 0.2 warm near
hang_up
quietly slow_warm
pairs_of "no-op, two logs, warm, $delay ms" "unison + 2 rsync" - slow_warm slow
