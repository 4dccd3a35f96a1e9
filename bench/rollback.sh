#!/usr/bin/env bash
# `ubos-sync rollback --apply` against the apply that it takes back, in pairs.
#
#   bench/rollback.sh [PROGRAM]       default: target/release/ubos-sync
#
#   FILES=2000  edited files of each run     PAIRS=5  paired runs     KEEP=1  leave the scratch folder behind
#
# Two trees on this machine, so that no line hides what the work costs. Judge by the median of the paired ratios.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$here/target/release/ubos-sync}
files=${FILES:-2000}
pairs=${PAIRS:-5}

[ -x "$program" ] || {
    echo "bench: $program is not there; run 'make build' first" >&2
    exit 1
}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")

lab=$(mktemp -d /tmp/ubb-XXXXXX)
leave() {
    code=$?
    trap - EXIT
    if [ -n "${KEEP:-}" ]; then
        echo "scratch folder: $lab"
    else
        rm -rf "$lab"
    fi
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$lab/home" "$lab/mac/docs" "$lab/disk"
for ((i = 0; i < files; i++)); do
    dir=$lab/mac/docs/d$((i / 100))
    [ $((i % 100)) != 0 ] || mkdir -p "$dir"
    printf 'file %s\n' "$i" >"$dir/f$i"
done
echo anchor >"$lab/mac/docs/anchor"
touch "$lab/mac/.ubos-root" "$lab/disk/.ubos-root"
cat >"$lab/ubos-sync.toml" <<POLICY
schema = 1
[site]
name = "mac"
root = "$lab/mac"
state_dir = "$lab/state"
[[peer]]
name = "disk"
root = "$lab/disk"
POLICY

ours() { env -i HOME="$lab/home" PATH="$PATH" LANG=C.UTF-8 TZ=UTC "$program" --policy "$lab/ubos-sync.toml" --no-progress "$@"; }

# timed NAME WORDS…: appends the seconds that these words took to NAME.
timed() {
    local name=$1 started ended
    shift
    started=$(date +%s%N)
    ours "$@" >"$lab/out" 2>&1 || {
        echo "bench: $* failed:" >&2
        cat "$lab/out" >&2
        exit 1
    }
    ended=$(date +%s%N)
    echo "$started $ended" | awk '{ printf "%.4f\n", ($2 - $1) / 1e9 }' >>"$lab/$name"
}

spread() {
    sort -n "$1" | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%8.3f %8.3f %8.3f", v[1], m, v[NR] }'
}

ours truth --apply >/dev/null
for ((k = 0; k < pairs; k++)); do
    find "$lab/mac/docs" -name 'f*' -exec sh -c 'for f; do echo "edit $0" >>"$f"; done' "$k" {} +
    timed apply truth --apply --allow all_changed
    timed rollback rollback last --apply
    ours release disk >/dev/null
    # What was taken back is done again, so that the next round begins in sync.
    ours truth --apply --allow all_changed >/dev/null
done
paste "$lab/rollback" "$lab/apply" | awk '{ printf "%.4f\n", $1 / $2 }' >"$lab/ratio"
printf '%-10s %8s %8s %8s   (%s files, %s pairs)\n' '' min median max "$files" "$pairs"
for name in apply rollback ratio; do
    printf '%-10s %s\n' "$name" "$(spread "$lab/$name")"
done
