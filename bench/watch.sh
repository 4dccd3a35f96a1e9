#!/usr/bin/env bash
# From an edit here until it is seen on the peer, while the worker watches over loopback ssh; and what the worker costs while idle.
#
#   bench/watch.sh [PROGRAM]          default: target/release/ubos-sync
#
#   FILES=20000  files in the tree    EDITS=50  edits of existing files    IDLE=60  seconds of looking at an idle worker
#   KEEP=1       leave the scratch folder
#
# The policy has the default debounce (300 ms), which every figure contains. The next edit comes a while after the one before was
# seen, when the worker has come to rest. A second row edits on the peer, where its own file events are heard (inotifywait, fswatch).
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=bench/pair.sh
. "$here/pair.sh"
edits=${EDITS:-50}
idle=${IDLE:-60}

make_tree "${FILES:-20000}"
cat >>"$UBOS_SYNC_POLICY" <<POLICY
[schedule]
interval = "1h"
min_interval = 0
POLICY
"$program" watch --apply 2>"$lab/worker.err" &
worker=$!
word() { sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$state/worker.json" 2>/dev/null || true; }
until [ "$(word cycles)" -ge 1 ] 2>/dev/null; do sleep 0.1; done
sleep 3

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
# Milliseconds until each of the edits made in tree $1 was seen in tree $2, one a line.
measure() {
    local n file line start
    for n in $(seq "$edits"); do
        file=docs/d$((n * 7 % (${FILES:-20000} / 100)))/f$((n * 7 % (${FILES:-20000} / 100) * 100 + n % 100))
        start=$(now_us)
        echo "edit $n of $1" >"$1/$file"
        while :; do
            line=
            IFS= read -r line <"$2/$file" || true
            [ "$line" != "edit $n of $1" ] || break
            sleep 0.01
        done
        echo $((($(now_us) - start) / 1000))
        # At rest, and not in step with anything.
        sleep "1.$((RANDOM % 10))"
    done
}
show() {
    sort -n | awk -v what="$1" '{ v[NR] = $1 }
        END { printf "%-28s p50 %5d ms   p95 %5d ms   max %5d ms   of %d\n", what, v[int((NR + 1) / 2)], v[int(NR * 0.95 + 0.5)], v[NR], NR }'
}
cpu() { # Processor time of the worker and of what it started and still runs, in hundredths of a second.
    local sum=0 pid stat
    for pid in $worker $(pgrep -P $worker || true); do
        stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        # Behind the name in brackets, which may hold blanks: utime and stime are the 12th and 13th.
        set -- ${stat##*) }
        sum=$((sum + ${12} + ${13}))
    done
    echo $((sum * 100 / $(getconf CLK_TCK)))
}

echo "${FILES:-20000} files, load $(cut -d' ' -f1 /proc/loadavg)"
measure "$lab/mac/tree" "$lab/balaur/tree" | show "edit here, seen on the peer"
if PATH=$PATH:/usr/bin command -v inotifywait fswatch >/dev/null; then
    measure "$lab/balaur/tree" "$lab/mac/tree" | show "edit there, seen here"
fi
sleep 5
before=$(cpu)
sleep "$idle"
spent=$(($(cpu) - before))
awk -v s="$spent" -v t="$idle" 'BEGIN { printf "idle for %d s: %.2f s of processor time, %.2f %% of a core\n", t, s / 100, s / t }'
echo "resident: $(ps -o rss= -p $worker | tr -d ' ') KiB"
sed -n 's/.*\("\(cycles\|failed\)": [0-9]*\).*/\1/p' "$state/worker.json" | paste -sd' '
kill -TERM $worker
wait $worker
