#!/usr/bin/env bash
# `ubos-sync truth --apply` against `rclone bisync` over sftp of the same sshd, without its hashes, in pairs.
#
#   bench/rclone.sh [PROGRAM]         default: target/release/ubos-sync
#
#   FILES=20000  files in the tree      BYTES=60000000  their total size
#   and what bench/pair.sh says
set -euo pipefail
# shellcheck source=bench/pair.sh
. "$(dirname "${BASH_SOURCE[0]}")/pair.sh"
files=${FILES:-20000}
bytes=${BYTES:-60000000}

if ! command -v rclone >/dev/null; then
    for title in "no-op" "one edit" "$new_files new files"; do absent "$title" "rclone bisync" 1 "rclone is not installed"; done
    exit 0
fi
serve
fill "$lab/mac/tree" "$files" "$bytes"
raw_trees
policy cold
# Rclone's own ssh knows no alias, and takes host keys by address. With hashes it has every file read on each run, one command each, which
# takes minutes: it goes by size and time, as unison does.
echo "[127.0.0.1]:$port $(cut -d' ' -f1,2 "$lab/ssh/host_key.pub")" >"$lab/ssh/rclone_hosts"
cat >"$lab/mac/rclone.conf" <<CONFIG
[balaur]
type = sftp
host = 127.0.0.1
port = $port
user = $(id -un)
key_file = $lab/ssh/client
known_hosts_file = $lab/ssh/rclone_hosts
shell_type = unix
disable_hashcheck = true
CONFIG
# shellcheck disable=SC2120
bisync() { rclone --config "$lab/mac/rclone.conf" bisync "$lab/mac/raw" "balaur:$lab/balaur/raw" --workdir "$lab/mac/bisync" "$@"; }
cold() { ours cold truth --apply; }
# shellcheck disable=SC2119
raw() { bisync; }

heading "rclone: $files files, $bytes bytes; $(rclone version | head -n 1)"
quietly bisync --resync
quietly cold
quietly cold
few pairs_of "no-op" "rclone bisync" 1 cold raw
few pairs_of "one edit" "rclone bisync" 1 cold raw edit_both
few pairs_of "$new_files new files" "rclone bisync" 1 cold raw bring_new_files
diff -rq "$lab/mac/tree" "$lab/balaur/tree"
diff -rq "$lab/mac/raw" "$lab/balaur/raw"
