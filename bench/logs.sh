#!/usr/bin/env bash
# `ubos-sync logs --apply` against doing it by hand, in alternating pairs, over the same loopback ssh.
#
#   bench/logs.sh [PROGRAM]           default: target/release/ubos-sync
#
#   LINES=2240494  lines of the log (259 bytes each: 579 MB)      PAIRS=5  paired runs per case      KEEP=1  leave the scratch folder
#
# Cases: the first pull against `ssh cat`, and rsync alone against the same; one more megabyte, and nothing new, against a fresh `ssh true`; five logs of one
# peer against one. Judge by the median of the paired ratios.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$here/target/release/ubos-sync}
lines=${LINES:-2240494}
pairs=${PAIRS:-5}
[ -x "$program" ] || {
    echo "bench: $program is not there; run 'make build' first" >&2
    exit 1
}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
sshd=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd)

lab=$(mktemp -d /tmp/ubb-XXXXXX)
leave() {
    code=$?
    trap - EXIT
    [ ! -s "$lab/ssh/pid" ] || kill "$(cat "$lab/ssh/pid")" 2>/dev/null || true
    if [ -n "${KEEP:-}" ]; then echo "scratch folder: $lab"; else rm -rf "$lab"; fi
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$lab/ssh" "$lab/mac/tree" "$lab/balaur/tree/logs"
: >"$lab/mac/tree/.ubos-root"
ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/client"
cp "$lab/ssh/client.pub" "$lab/ssh/authorized_keys"
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
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
    if "$sshd" -f "$lab/ssh/sshd_config" -E "$lab/ssh/log"; then break; fi
done
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

policy() { # NAME...: a policy that pulls these logs
    local text name
    text="schema = 1
[site]
name = \"mac\"
root = \"$lab/mac/tree\"
[[peer]]
name = \"balaur\"
host = \"balaur\"
user = \"$(id -un)\"
port = $port
ssh_config = \"$lab/ssh/config\"
root = \"$lab/balaur/tree\"
"
    for name; do
        text="$text
[[peer.log]]
remote = \"logs/$name\"
local = \"logs/$name\"
"
    done
    printf '%s' "$text" >"$lab/mac/$1.toml"
    chmod 600 "$lab/mac/$1.toml"
}

with_home() { env -i HOME="$lab/mac" PATH="$PATH" LANG=C.UTF-8 TZ=UTC TMPDIR="$lab" "$@"; }
pull() { with_home "$program" --policy "$lab/mac/$1.toml" --no-progress logs --apply; }
pull_big() { pull big.jsonl; }
pull_five() { pull a1.jsonl; }
pull_one() { pull b1.jsonl; }
by_ssh() { with_home ssh -F "$lab/ssh/config" -o BatchMode=yes balaur "$@"; }
ssh_true() { by_ssh true; }
by_rsync() {
    rm -f "$lab/mac/by-rsync"
    with_home rsync -t -e "ssh -F $lab/ssh/config -o BatchMode=yes" "balaur:$lab/balaur/tree/logs/big.jsonl" "$lab/mac/by-rsync"
}
ssh_cat() { by_ssh "cat '$lab/balaur/tree/logs/big.jsonl'" >"$lab/mac/by-hand"; }

timed() { # NAME FUNCTION
    local started ended
    # What the one before left to be written must not be waited for by this one.
    sync
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
pairs_of() { # CASE PREPARE OURS THEIRS
    local k
    for ((k = 0; k < pairs; k++)); do
        "$2"
        if [ $((k % 2)) = 0 ]; then
            timed "$1.a" "$3"
            timed "$1.b" "$4"
        else
            timed "$1.b" "$4"
            timed "$1.a" "$3"
        fi
    done
    paste "$lab/$1.a" "$lab/$1.b" | awk '{ printf "%.4f\n", $1 / $2 }' >"$lab/$1.ratio"
    printf '%-8s %-10s %s\n' "$1" "$3" "$(spread "$lab/$1.a")"
    printf '%-8s %-10s %s\n' "$1" "$4" "$(spread "$lab/$1.b")"
    printf '%-8s %-10s %s\n' "$1" ratio "$(spread "$lab/$1.ratio")"
}

policy big.jsonl
policy a1.jsonl a2.jsonl a3.jsonl a4.jsonl a5.jsonl
policy b1.jsonl
awk -v n="$lines" 'BEGIN { for (i = 0; i < n; i++) printf "{\"record\":%010d,\"text\":\"%0228d\"}\n", i, i }' >"$lab/balaur/tree/logs/big.jsonl"
for name in a1 a2 a3 a4 a5 b1; do head -n 700 "$lab/balaur/tree/logs/big.jsonl" >"$lab/balaur/tree/logs/$name.jsonl"; done
echo "log: $lines lines, $(wc -c <"$lab/balaur/tree/logs/big.jsonl") bytes; $pairs pairs; $(rsync --version | head -n 1)"
printf '\n%-8s %-10s %8s %8s %8s\n' case who min median max

nothing() { :; }
anew() { rm -rf "$lab/mac/tree/logs" "$lab/mac/.local/state/ubos-sync/logs"; }
more() { tail -c 1000000 "$lab/balaur/tree/logs/a1.jsonl" >/dev/null; awk 'BEGIN { for (i = 0; i < 3861; i++) printf "{\"more\":%012d,\"text\":\"%0228d\"}\n", i, i }' >>"$lab/balaur/tree/logs/big.jsonl"; }
pairs_of first anew pull_big ssh_cat
pairs_of rsync nothing by_rsync ssh_cat
pairs_of +1MB more pull_big ssh_true
pairs_of no-op nothing pull_big ssh_true
pull_five >/dev/null
pull_one >/dev/null
pairs_of five nothing pull_five pull_one
cmp "$lab/mac/tree/logs/big.jsonl" "$lab/balaur/tree/logs/big.jsonl"

anew
(exec env -i HOME="$lab/mac" PATH="$PATH" TMPDIR="$lab" "$program" --policy "$lab/mac/big.jsonl.toml" --no-progress logs --apply >"$lab/out" 2>&1) &
pid=$! peak=0
while kill -0 "$pid" 2>/dev/null; do
    if [ "/proc/$pid/exe" -ef "$program" ]; then
        now=$(awk '/^VmHWM/ { print $2 }' "/proc/$pid/status" 2>/dev/null || true)
        if [ -n "$now" ] && [ "$now" -gt "$peak" ]; then peak=$now; fi
    fi
    sleep 0.005
done
wait "$pid"
printf '\npeak memory of ubos-sync itself, first pull: %s KiB\n' "$peak"
