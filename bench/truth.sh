#!/usr/bin/env bash
# `ubos-sync truth --apply` against plain `unison -batch` over a fresh connection of the same loopback ssh, in pairs.
#
#   bench/truth.sh [PROGRAM]          default: target/release/ubos-sync
#
#   FILES=20000  files in the tree      BYTES=60000000  their total size
#   and what bench/pair.sh says
#
# Warm rows have a connection that an earlier run left (`keep_connection`); the other one has none, as it has no such thing.
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
files=${FILES:-20000}
bytes=${BYTES:-60000000}

serve
fill "$lab/mac/tree" "$files" "$bytes"
raw_trees
policy cold
policy warm 'keep_connection = "60s"'

cold() { ours cold truth --apply; }
warm() { ours warm truth --apply; }
raw() { unison_by_hand config raw; }
first=0
# Roots, memories and archives that nobody has seen before, and nothing over there.
fresh_peer() {
    rm -rf "$lab/balaur/first-$first" "$lab/balaur/raw-first-$first" "$lab/mac/memory-$first"* "$lab/balaur/memory-$first"
    first=$((first + 1))
    mkdir "$lab/balaur/first-$first" "$lab/balaur/raw-first-$first"
    : >"$lab/balaur/first-$first/.ubos-root"
    far=first-$first memory=$lab/mac/memory-$first policy first "state_dir = \"$lab/balaur/memory-$first\""
}
first_sync() { ours first truth --apply; }
raw_first() { unison_by_hand config "raw-first-$first"; }

heading "truth: $files files, $bytes bytes; $(unison -version)"
# The first sync and one more, so that no run that counts has to build archives or fill a cache.
for _ in 1 2; do
    quietly cold
    quietly raw
done
pairs_of "no-op" "unison -batch" 0.9 cold raw
pairs_of "one edit" "unison -batch" 1.0 cold raw edit_both
pairs_of "$new_files new files" "unison -batch" 0.8 cold raw bring_new_files
few pairs_of "first sync of everything" "unison -batch" 0.45 first_sync raw_first fresh_peer
diff -rq "$lab/mac/tree" "$lab/balaur/first-$first"
quietly warm
pairs_of "no-op, warm connection" "unison -batch" 0.35 warm raw
pairs_of "one edit, warm connection" "unison -batch" 0.5 warm raw edit_both
diff -rq "$lab/mac/tree" "$lab/balaur/tree"
edit_both
peak_row "one edit, peak memory" - --policy "$lab/mac/cold.toml" --no-progress truth --apply
