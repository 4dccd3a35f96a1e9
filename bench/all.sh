#!/usr/bin/env bash
# Every benchmark, one after the other; then docs/benchmarks.md and docs/benchmarks.svg of what they found.
#
#   bench/all.sh [PROGRAM]            default: target/release/ubos-sync
#
#   PAIRS=5   paired runs of each row    FILES, BYTES  the tree, where a benchmark has one
#   LAB=/tmp  where the trees lie
#   ONLY="truth full"                    these only; of the others, the report has what they found last time
set -uo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$here/target/release/ubos-sync}
export PAIRS=${PAIRS:-5}
found=$here/target/bench
mkdir -p "$found"

failed=()
part() { # NAME SCRIPT
    case " ${ONLY:-$1} " in *" $1 "*) ;; *) return 0 ;; esac
    local began=$SECONDS load
    load=$(cut -d' ' -f1 /proc/loadavg 2>/dev/null || echo unknown)
    rm -f "$found/new"
    if ROWS=$found/new "$here/bench/$2.sh" "$program"; then
        {
            printf '@\t%s\t%s\t%s\n' "$(date -u +'%Y-%m-%d %H:%M UTC')" "$("$program" --version)" "$load"
            cat "$found/new"
        } >"$found/$1.tsv"
    else
        failed+=("$1")
    fi
    printf '(%s: %s s)\n\n' "$1" $((SECONDS - began))
}
part truth truth
part full full
part rclone rclone
part logs logs
part publish publish
part watch watch
part growth growth
# Many targets, a short line and a small tree, because the loop goes through them one by one.
TARGETS="1 8 64" CASES=nothing FILES=500 DELAY=10 PAIRS=$((PAIRS < 3 ? PAIRS : 3)) part targets publish
part rollback rollback
part screens screens
rm -f "$found/new"

{
    printf 'machine\t%s\n' "$(sed -n 's/^model name[^:]*: //p' /proc/cpuinfo 2>/dev/null | head -n 1), $(getconf _NPROCESSORS_ONLN) cores, $(awk '/^MemTotal/ { printf "%d GiB", $2 / 1048576 + 0.5 }' /proc/meminfo 2>/dev/null)"
    # shellcheck disable=SC1091
    printf 'system\t%s\n' "$(. /etc/os-release 2>/dev/null && echo "$PRETTY_NAME, ")$(uname -s) $(uname -r | sed 's/-.*//')"
    printf 'trees on\t%s\n' "$(df -PT "${LAB:-/tmp}" 2>/dev/null | awk 'NR == 2 { print $2 }')"
    printf 'unison\t%s\n' "$(unison -version | sed 's/^unison version //')"
    printf 'rsync\t%s\n' "$(rsync --version | sed -n '1s/^rsync *version \([^ ]*\).*/\1/p')"
    printf 'ssh\t%s\n' "$(ssh -V 2>&1 | sed 's/,.*//')"
    printf 'rclone\t%s\n' "$(rclone version 2>/dev/null | sed -n '1s/^rclone //p' | grep . || echo 'not installed')"
    printf 'command\tmake bench PAIRS=%s%s%s\n' "$PAIRS" "${FILES:+ FILES=$FILES}" "${BYTES:+ BYTES=$BYTES}${LAB:+ LAB=$LAB}"
} >"$found/facts"
python3 "$here/bench/report.py" "$found" "$here/docs" || failed+=(report)
[ ${#failed[@]} = 0 ] || {
    echo "bench: failed: ${failed[*]}" >&2
    exit 1
}
