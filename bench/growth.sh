#!/usr/bin/env bash
# What a tree ten and a hundred times as large costs `ubos-sync truth --apply` with nothing to do: time in pairs of sizes, and memory.
#
#   bench/growth.sh [PROGRAM]         default: target/release/ubos-sync
#
#   SIZES="2000 20000 200000"  files in the trees      and what bench/pair.sh says
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
read -ra sizes <<<"${SIZES:-2000 20000 200000}"

serve
for size in "${sizes[@]}"; do
    # Little in each file: what counts here is how many there are.
    fill "$lab/$size/mac" "$size" "$((300 * size))"
    : >"$lab/$size/mac/.ubos-root"
    cp -pR "$lab/$size/mac" "$lab/$size/balaur"
    memory=$lab/$size/memory policy "$size" "state_dir = \"$lab/$size/far-memory\""
    sed -i.bak -e "s|\"$lab/mac/tree\"|\"$lab/$size/mac\"|" -e "s|\"$lab/balaur/tree\"|\"$lab/$size/balaur\"|" "$lab/mac/$size.toml"
done
smaller() { ours "$small" truth --apply; }
larger() { ours "$large" truth --apply; }

# The first sync and what follows an edit, then two that find nothing: only what was untouched for two seconds is remembered.
settle() { # COMMAND
    local _
    for _ in 1 2 3; do
        quietly "$1"
        sleep 2
    done
}

heading "growth: ${sizes[*]} files"
small=
for large in "${sizes[@]}"; do
    settle larger
    if [ -n "$small" ]; then
        settle smaller
        aim=-
        [ "$small-$large" != 20000-200000 ] || aim=11
        pairs_of "no-op, $large files" "no-op, $small files" "$aim" larger smaller
    fi
    aim=-
    [ "$large" != 200000 ] || aim=150
    peak_row "no-op, $large files, peak memory" "$aim" --policy "$lab/mac/$large.toml" --no-progress truth --apply
    # With something to do, the long way is taken.
    echo edit >>"$lab/$large/mac/docs/d0/f0"
    peak_row "one edit, $large files, peak memory" "$aim" --policy "$lab/mac/$large.toml" --no-progress truth --apply
    small=$large
done
