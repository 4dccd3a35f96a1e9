#!/usr/bin/env bash
# `ubos-sync truth --apply` against plain `unison -batch`, in pairs, over the same loopback ssh.
#
#   bench/truth.sh [PROGRAM]          default: target/release/ubos-sync
#
#   FILES=20000  files in the tree      BYTES=60000000  their total size
#   PAIRS=7      paired runs per case   KEEP=1          leave the scratch folder behind
#
# Two cases: nothing to do, and one edited file. Each side has its own copy of the tree and of the archives, so
# that neither finds the other's work done. The runs alternate, and who goes first alternates as well: what the
# machine does meanwhile falls on both. Judge by the median of the paired ratios, not by the times.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$here/target/release/ubos-sync}
files=${FILES:-20000}
bytes=${BYTES:-60000000}
pairs=${PAIRS:-7}

[ -x "$program" ] || {
    echo "bench: $program is not there; run 'make build' first" >&2
    exit 1
}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
sshd=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd) || {
    echo "bench: sshd is not installed" >&2
    exit 1
}

# A short path: ssh's control socket has to fit into some 100 bytes.
lab=$(mktemp -d /tmp/ubb-XXXXXX)
leave() {
    code=$?
    trap - EXIT
    # The sessions go with their listener's children; only processes of this lab are touched.
    if [ -s "$lab/ssh/pid" ]; then
        listener=$(cat "$lab/ssh/pid")
        kill "$listener" 2>/dev/null || true
    fi
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

# -- the server

start_sshd() {
    mkdir -p "$lab/ssh" "$lab/mac" "$lab/balaur"
    ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/host_key"
    ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/client"
    cp "$lab/ssh/client.pub" "$lab/ssh/authorized_keys"
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
    local try
    for try in 1 2 3 4 5 6 7 8 9 10; do
        port=$((20000 + (RANDOM + try) % 20000))
        cat >"$lab/ssh/sshd_config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey $lab/ssh/host_key
AuthorizedKeysFile $lab/ssh/authorized_keys
PidFile $lab/ssh/pid
UsePAM no
StrictModes no
PermitRootLogin yes
PasswordAuthentication no
UseDNS no
MaxSessions 64
MaxStartups 100
SetEnv HOME=$lab/balaur
CONFIG
        # It goes to the background only when its port is its own, therefore no race here.
        if "$sshd" -f "$lab/ssh/sshd_config" -E "$lab/ssh/log"; then
            break
        fi
        port=
    done
    [ -n "$port" ] || {
        cat "$lab/ssh/log" >&2
        exit 1
    }
    echo "balaur $(cut -d' ' -f1,2 "$lab/ssh/host_key.pub")" >"$lab/ssh/known_hosts"
    cat >"$lab/ssh/config" <<CONFIG
Host balaur
  HostName 127.0.0.1
  Port $port
  HostKeyAlias balaur
  User $(id -un)
  IdentityFile $lab/ssh/client
  IdentitiesOnly yes
  IdentityAgent none
  UserKnownHostsFile $lab/ssh/known_hosts
  GlobalKnownHostsFile /dev/null
  StrictHostKeyChecking yes
CONFIG
    local tries=0
    until [ -s "$lab/ssh/pid" ] && ssh -F "$lab/ssh/config" -o BatchMode=yes balaur true 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || {
            cat "$lab/ssh/log" >&2
            exit 1
        }
        sleep 0.1
    done
}

# -- the trees

# One stream of noise, cut into equal pieces: as fast as the disk, and the same names on every run.
fill() {
    local root=$1
    local size=$((bytes / files)) per_dir=200
    mkdir -p "$root/pieces"
    (
        cd "$root/pieces"
        head -c "$((size * files))" /dev/urandom | split -b "$size" -a 6 - f
        local count=0 dir=
        for piece in f*; do
            if [ $((count % per_dir)) = 0 ]; then
                dir=$root/docs/d$((count / per_dir))
                mkdir -p "$dir"
                batch=()
            fi
            batch+=("$piece")
            count=$((count + 1))
            if [ $((count % per_dir)) = 0 ] || [ "$count" = "$files" ]; then
                mv "${batch[@]}" "$dir/"
            fi
        done
    )
    rmdir "$root/pieces"
    echo 'before any edit' >"$root/docs/d0/edited.md"
}

edit() { printf 'edit %s %s\n' "$1" "$RANDOM" >>"$2/docs/d0/edited.md"; }

# -- the contestants

with_home() { env -i HOME="$lab/mac" PATH="$PATH" LANG=C.UTF-8 TZ=UTC TMPDIR="$lab" "$@"; }

ours() { with_home "$program" --policy "$lab/mac/ubos-sync.toml" --no-progress truth --apply; }

raw() {
    with_home UNISON="$lab/mac/raw-archives" UNISONLOCALHOSTNAME=mac unison \
        "$lab/mac/raw" "ssh://balaur/$lab/balaur/raw" \
        -batch -terse -times -ui text -prefer newer \
        -sshargs "-F $lab/ssh/config -o BatchMode=yes"
}

# timed NAME FUNCTION: appends the seconds it took to NAME.
timed() {
    local started ended
    started=$(date +%s%N)
    "$2" >"$lab/out" 2>&1 || {
        echo "bench: $2 failed:" >&2
        cat "$lab/out" >&2
        exit 1
    }
    ended=$(date +%s%N)
    echo "$started $ended" | awk '{ printf "%.4f\n", ($2 - $1) / 1e9 }' >>"$lab/$1"
}

spread() {
    sort -n "$1" | awk '{ v[NR] = $1 } END {
        m = NR % 2 ? v[(NR + 1) / 2] : (v[NR / 2] + v[NR / 2 + 1]) / 2
        printf "%8.3f %8.3f %8.3f", v[1], m, v[NR] }'
}

# pairs_of CASE: `edit` before each run when the case asks for it.
pairs_of() {
    local case=$1 k
    rm -f "$lab/$case.ours" "$lab/$case.raw"
    for ((k = 0; k < pairs; k++)); do
        if [ "$case" = edit ]; then
            edit "$k" "$lab/mac/tree"
            edit "$k" "$lab/mac/raw"
        fi
        if [ $((k % 2)) = 0 ]; then
            timed "$case.ours" ours
            timed "$case.raw" raw
        else
            timed "$case.raw" raw
            timed "$case.ours" ours
        fi
    done
    paste "$lab/$case.ours" "$lab/$case.raw" | awk '{ printf "%.4f\n", $1 / $2 }' >"$lab/$case.ratio"
    printf '%-8s %-10s %s\n' "$case" ubos-sync "$(spread "$lab/$case.ours")"
    printf '%-8s %-10s %s\n' "$case" unison "$(spread "$lab/$case.raw")"
    printf '%-8s %-10s %s\n' "$case" ratio "$(spread "$lab/$case.ratio")"
}

# Peak resident memory in KiB of ubos-sync alone: time(1) would report the largest of its children instead.
peak_of_ours() {
    (exec env -i HOME="$lab/mac" PATH="$PATH" LANG=C.UTF-8 TZ=UTC TMPDIR="$lab" \
        "$program" --policy "$lab/mac/ubos-sync.toml" --no-progress truth --apply >"$lab/out" 2>&1) &
    local pid=$! peak=0 now
    while kill -0 "$pid" 2>/dev/null; do
        # Between fork and exec it is still this shell, whose memory does not count.
        if [ "/proc/$pid/exe" -ef "$program" ]; then
            now=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
            if [ -n "$now" ] && [ "$now" -gt "$peak" ]; then peak=$now; fi
        fi
        sleep 0.005
    done
    wait "$pid"
    echo "$peak"
}

# -- the bench

start_sshd
echo "tree: $files files, $bytes bytes; $pairs pairs; $(unison -version)"
for side in mac balaur; do mkdir -p "$lab/$side/tree" "$lab/$side/raw"; done
fill "$lab/mac/tree"
cp -pR "$lab/mac/tree/docs" "$lab/mac/raw/"
cp -pR "$lab/mac/tree/docs" "$lab/balaur/tree/"
cp -pR "$lab/mac/tree/docs" "$lab/balaur/raw/"
: >"$lab/mac/tree/.ubos-root"
: >"$lab/balaur/tree/.ubos-root"
cat >"$lab/mac/ubos-sync.toml" <<POLICY
schema = 1

[site]
name = "mac"
root = "$lab/mac/tree"

[[peer]]
name = "balaur"
host = "balaur"
user = "$(id -un)"
port = $port
ssh_config = "$lab/ssh/config"
root = "$lab/balaur/tree"
POLICY
chmod 600 "$lab/mac/ubos-sync.toml"

# The first sync and one more, so that no run that counts has to build archives or fill a cache.
for warm_up in 1 2; do
    timed "warm-up.$warm_up" ours
    timed "warm-up.$warm_up" raw
done

printf '\n%-8s %-10s %8s %8s %8s\n' case who min median max
pairs_of no-op
pairs_of edit
cmp -s "$lab/mac/tree/docs/d0/edited.md" "$lab/balaur/tree/docs/d0/edited.md" || {
    echo "bench: the edit has not arrived" >&2
    exit 1
}

printf '\n'
if [ -r /proc/self/status ]; then
    echo "peak memory of ubos-sync itself, no-op: $(peak_of_ours) KiB"
elif [ -x /usr/bin/time ]; then
    # BSD time: bytes, of the program alone.
    with_home /usr/bin/time -l "$program" --policy "$lab/mac/ubos-sync.toml" --no-progress truth --apply 2>&1 |
        awk '/maximum resident set size/ { printf "peak memory of ubos-sync itself, no-op: %d KiB\n", $1 / 1024 }'
fi
