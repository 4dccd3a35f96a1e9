#!/usr/bin/env bash
# From an edit here until it is seen on the peer, while the worker watches over loopback ssh; and what the worker costs while idle.
#
#   bench/watch.sh [PROGRAM]          default: target/release/ubos-sync
#
#   FILES=20000  files in the tree    EDITS=3*PAIRS  edits of existing files    IDLE=20  seconds of looking at an idle worker
#   and what bench/pair.sh says
#
# The policy has the default debounce (300 ms), which every figure contains. The next edit comes a while after the one before was
# seen, when the worker has come to rest. A second row edits on the peer, where its own file events are heard (inotifywait, fswatch).
# The other contestant is `unison -repeat watch`, or `-repeat 1` where it has no unison-fsmonitor; it is paused while ours is measured.
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
files=${FILES:-20000}
edits=${EDITS:-$((3 * pairs))}
idle=${IDLE:-20}
debounce=300

serve
policy ubos-sync
fill "$lab/mac/tree" "$files" "$((3000 * files))"
raw_trees
quietly "$program" truth --apply
quietly unison_by_hand config raw
cat >>"$UBOS_SYNC_POLICY" <<POLICY
[schedule]
interval = "1h"
min_interval = 0
POLICY
"$program" watch --apply 2>"$lab/worker.err" &
worker=$!
started+=("$worker")
if command -v unison-fsmonitor >/dev/null; then repeat=watch; else repeat=1; fi
unison_by_hand config raw -repeat "$repeat" >"$lab/repeat.out" 2>&1 &
repeating=$!
started+=("$repeating")
word() { sed -n "s/.*\"$1\": \"\{0,1\}\([^\",]*\).*/\1/p" "$state/worker.json" 2>/dev/null || true; }
until [ "$(word cycles)" -ge 1 ] 2>/dev/null; do sleep 0.1; done
sleep 3

# Seconds until the edit number $3 made in tree $1 was seen in tree $2, as a line of $4.
one_edit() {
    local file line start
    file=docs/d$(($3 * 7 % (files / 100)))/f$(($3 * 7 % (files / 100) * 100 + $3 % 100))
    # At rest, and not in step with anything.
    sleep "1.$((RANDOM % 10))"
    start=$(now_us)
    echo "edit $3 of $1" >"$1/$file"
    while :; do
        line=
        IFS= read -r line <"$2/$file" 2>/dev/null || true
        [ "$line" != "edit $3 of $1" ] || break
        sleep 0.01
    done
    seconds_since "$start" >>"$lab/$4"
}
percentile() { sort -n "$2" | awk -v p="$1" '{ v[NR] = $1 } END { print 1000 * v[p == 50 ? int((NR + 1) / 2) : p == 95 ? int(NR * 0.95 + 0.5) : NR] }'; }
# The figure in the middle is p95, the one that has an aim.
show() { # TITLE AIM FILE
    row "$1, p50, p95, max" - ms "$2" "$(wc -l <"$lab/$3" | tr -d ' ')" "$(percentile 50 "$lab/$3")" "$(percentile 95 "$lab/$3")" "$(percentile 100 "$lab/$3")" - -
}
cpu() { # Processor time of the worker and of what it started and still runs, in hundredths of a second.
    local sum=0 pid stat
    for pid in $worker $(pgrep -P $worker || true); do
        stat=$(cat "/proc/$pid/stat" 2>/dev/null) || continue
        # Behind the name in brackets, which may hold blanks: utime and stime are the 12th and 13th.
        # shellcheck disable=SC2086
        set -- ${stat##*) }
        sum=$((sum + ${12} + ${13}))
    done
    echo $((sum * 100 / $(getconf CLK_TCK)))
}

heading "watch: $files files, debounce $debounce ms; $edits edits each way"
for ((n = 1; n <= edits; n++)); do
    pkill -STOP -P "$repeating" || true
    kill -STOP "$repeating"
    one_edit "$lab/mac/tree" "$lab/balaur/tree" "$n" here
    kill -CONT "$repeating"
    pkill -CONT -P "$repeating" || true
    one_edit "$lab/mac/raw" "$lab/balaur/raw" "$n" repeat
done
kill "$repeating"
wait "$repeating" || true
show "edit here, seen on the peer" $((debounce + 250)) here
show "the same, unison -repeat $repeat" - repeat
if [ "$repeat" = watch ]; then
    ratios "edit here, seen on the peer" "unison -repeat watch" - "$lab/here" "$lab/repeat"
else
    absent "edit here, seen on the peer" "unison -repeat watch" - "there is no unison-fsmonitor (Debian ships none)"
    ratios "edit here, seen on the peer" "unison -repeat 1" - "$lab/here" "$lab/repeat"
fi
if PATH=$PATH:/usr/bin command -v inotifywait fswatch >/dev/null; then
    for ((n = 1; n <= edits; n++)); do one_edit "$lab/balaur/tree" "$lab/mac/tree" "$n" there; done
    show "edit there, seen here" - there
fi
sleep 5
before=$(cpu)
sleep "$idle"
spent=$(($(cpu) - before))
one_row() { row "$1" - "$2" - 1 "$3" "$3" "$3" - -; }
one_row "idle for $idle s" "% of a core" "$(awk -v s="$spent" -v t="$idle" 'BEGIN { print s / t }')"
one_row "worker, resident" MiB $(($(ps -o rss= -p $worker) / 1024))
sed -n 's/.*\("\(cycles\|failed\)": [0-9]*\).*/\1/p' "$state/worker.json" | paste -sd' '
kill -TERM $worker
wait $worker
