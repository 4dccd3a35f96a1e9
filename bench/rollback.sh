#!/usr/bin/env bash
# `ubos-sync rollback --apply` against the apply that it takes back, in pairs.
#
#   bench/rollback.sh [PROGRAM]       default: target/release/ubos-sync
#
#   CHANGED=2000  edited files of each run      and what bench/pair.sh says
#
# Two trees on this machine, so that no line hides what the work costs.
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
files=${CHANGED:-2000}

fill "$lab/mac/tree" "$files" "$((12 * files))"
echo anchor >"$lab/mac/tree/docs/anchor"
local_policy
apply() { ours disk truth --apply --allow all_changed; }
roll_back() { ours disk rollback last --apply; }

heading "rollback: $files edited files, two trees on this machine"
quietly apply
for ((k = 0; k < pairs; k++)); do
    find "$lab/mac/tree/docs" -name 'f*' -exec sh -c 'for f; do echo "edit $0" >>"$f"; done' "$k" {} +
    timed timing.b apply
    timed timing.a roll_back
    quietly ours disk release disk
    # What was taken back is done again, so that the next round begins in sync.
    quietly apply
done
ratios "rollback" "the apply it takes back" - "$lab/timing.a" "$lab/timing.b"
