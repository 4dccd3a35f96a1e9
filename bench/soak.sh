#!/usr/bin/env bash
# A worker over loopback ssh for a thousand cycles, with an edit on either side now and then: does anything grow?
#
#   bench/soak.sh [PROGRAM]           default: target/release/ubos-sync
#
#   CYCLES=1000  cycles      FILES=500  files in the tree      KEEP=1  leave the scratch folder
#
# Shows memory, open descriptors, children, threads, temporary folders and sockets after the first 20 cycles and at the end, and what
# is left when the worker has ended. Ends with 1 when something other than memory has grown or anything is left.
set -euo pipefail

# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
cycles=${CYCLES:-1000}

files=${FILES:-500}
serve
policy ubos-sync
fill "$lab/mac/tree" "$files" "$((3000 * files))"
quietly "$program" truth --apply
cat >>"$UBOS_SYNC_POLICY" <<POLICY
[schedule]
interval = "50ms"
jitter = 0
min_interval = 0
POLICY

"$program" watch --apply 2>"$lab/worker.err" &
worker=$!
started+=("$worker")
done_cycles() { sed -n 's/.*"cycles": \([0-9]*\).*/\1/p' "$state/worker.json" 2>/dev/null || echo 0; }
reached() { [ "$(done_cycles)" -ge "$1" ] 2>/dev/null; }
below() { # PID: it and all its descendants
    echo "$1"
    for child in $(pgrep -P "$1" || true); do below "$child"; done
}
left_over() {
    find "$state" "$lab/balaur/.local/state/ubos-sync" "$lab/tmp" -mindepth 1 -maxdepth 1 \
        \( -name 'run-*' -o -name 'worker-*' -o -name 'ear.*' -o -name 'ubos-*' -o -name '.tmp*' \) 2>/dev/null | wc -l || true
}
sockets() { find "$lab" -type s 2>/dev/null | wc -l || true; }
measure() {
    rss=$(ps -o rss= -p $worker | tr -d ' ')
    fds=$(find /proc/$worker/fd -mindepth 1 2>/dev/null | wc -l || true)
    threads=$(ps -o nlwp= -p $worker | tr -d ' ')
    children=$(($(below $worker | wc -l) - 1))
    far=$(($(below "$(cat "$lab/ssh/pid")" | wc -l) - 1))
    temp=$(left_over)
    sockets=$(sockets)
}
show() { printf '%-22s %8s KiB %5s fds %4s threads %3s children %3s far %3s temp %3s sockets\n' "$@"; }
# Between cycles things look alike; within one they do not: the least of many looks is what stays.
settle() {
    l_rss='' l_fds=9999 l_threads=9999 l_children=9999 l_far=9999 l_temp=9999 l_sockets=9999
    for _ in $(seq 60); do
        measure
        l_rss=$rss
        for m in fds threads children far temp sockets; do
            eval "[ \"\$$m\" -ge \"\$l_$m\" ] || l_$m=\$$m"
        done
        sleep 0.05
    done
    show "$1" "$l_rss" "$l_fds" "$l_threads" "$l_children" "$l_far" "$l_temp" "$l_sockets"
}

until reached 20; do sleep 0.1; done
settle "after $(done_cycles) cycles"
first="$l_fds $l_threads $l_children $l_far $l_temp $l_sockets"
n=0
until reached "$cycles"; do
    n=$((n + 1))
    echo "edit $n" >"$lab/mac/tree/docs/soak-mac-$((n % 20))"
    echo "edit $n" >"$lab/balaur/tree/docs/soak-balaur-$((n % 20))"
    [ $((n % 120)) != 0 ] || { measure; show "after $(done_cycles) cycles" "$rss" "$fds" "$threads" "$children" "$far" "$temp" "$sockets"; }
    kill -0 $worker
    sleep 0.5
done
settle "after $(done_cycles) cycles"
last="$l_fds $l_threads $l_children $l_far $l_temp $l_sockets"
echo "connections made: $(grep -c 'Accepted publickey' "$lab/ssh/log")"
grep -E '"(cycles|succeeded|failed|skipped)"' "$state/worker.json" | tr -d '\n'
echo
kill -TERM $worker
wait $worker && echo "the worker ended with 0"
far=$(($(below "$(cat "$lab/ssh/pid")" | wc -l) - 1))
temp=$(left_over)
sockets=$(sockets)
echo "left behind: $far processes on the peer, $temp temporary folders, $sockets sockets"
diff -r "$lab/mac/tree" "$lab/balaur/tree" && echo "both trees are equal"
[ "$first" = "$last" ] && [ "$far $temp $sockets" = "0 0 0" ]
