#!/usr/bin/env bash
# `ubos-sync publish --apply` against a loop of `rsync -a --delete`, in pairs, to several targets behind a slow line.
#
#   bench/publish.sh [PROGRAM]        default: target/release/ubos-sync
#
#   FILES=20000   files in the repository     TARGETS=8    directories that are published to
#   DELAY=50      milliseconds of round trip, half of it each way        PAIRS=5        paired runs per case
#   PARALLEL=8    targets at the same time    KEEP=1       leave the scratch folder behind
#   CASES="nothing one-file"
#
# Two cases: nothing to do, and one changed file. The loop pays a new connection for each target, as it does in practice.
# Runs alternate; judge by the median of the paired ratios. The largest memory of a run is told as well.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
program=${1:-$here/target/release/ubos-sync}
files=${FILES:-20000}
targets=${TARGETS:-8}
delay=${DELAY:-50}
pairs=${PAIRS:-5}
[ -x "$program" ] || { echo "bench: $program is not there; run 'make build' first" >&2; exit 1; }
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
sshd=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd) || { echo "bench: sshd is not installed" >&2; exit 1; }
lab=$(mktemp -d /tmp/ubp-XXXXXX)
pids=()
leave() {
    code=$?
    trap - EXIT
    for pid in "${pids[@]}"; do kill "$pid" 2>/dev/null || true; done
    if [ -n "${KEEP:-}" ]; then echo "scratch folder: $lab"; else rm -rf "$lab"; fi
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$lab/ssh" "$lab/src" "$lab/ours" "$lab/theirs" "$lab/home"
ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/host_key"
ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/client"
cp "$lab/ssh/client.pub" "$lab/ssh/authorized_keys"
[ "$(id -u)" != 0 ] || mkdir -p /run/sshd
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
port=$(free_port)
slow=$(free_port)
cat >"$lab/ssh/sshd_config" <<CONFIG
Port $port
ListenAddress 127.0.0.1
HostKey $lab/ssh/host_key
AuthorizedKeysFile $lab/ssh/authorized_keys
PidFile none
UsePAM no
StrictModes no
PermitRootLogin yes
MaxSessions 64
MaxStartups 100
UseDNS no
SetEnv HOME=$lab/home
CONFIG
"$sshd" -D -e -f "$lab/ssh/sshd_config" 2>"$lab/ssh/log" &
pids+=($!)
python3 "$here/bench/delay.py" "$slow" "$port" "$delay" &
pids+=($!)
echo "[127.0.0.1]:$slow $(cut -d' ' -f1,2 "$lab/ssh/host_key.pub")" >"$lab/ssh/known"
cat >"$lab/ssh/config" <<CONFIG
Host 127.0.0.1
  UserKnownHostsFile $lab/ssh/known
  IdentityFile $lab/ssh/client
  IdentitiesOnly yes
  StrictHostKeyChecking yes
  LogLevel ERROR
CONFIG
chmod 600 "$lab/ssh/config"
for _ in 1 2 3 4 5 6 7 8 9 10; do
    ssh -F "$lab/ssh/config" -p "$slow" 127.0.0.1 true 2>/dev/null && break
    sleep 0.3
done

python3 - "$lab/src" "$files" <<'PY'
import os
import sys

root, n = sys.argv[1], int(sys.argv[2])
for i in range(n):
    d = f"{root}/d{i % 200:03}"
    os.makedirs(d, exist_ok=True)
    with open(f"{d}/f{i:06}.txt", "w") as f:
        f.write(f"file {i}\n" * (i % 300 + 1))
PY
git="git -C $lab/src -c user.name=n -c user.email=e@example"
$git init -q -b main .
$git add -A
$git commit -qm first
{
    printf 'schema = 1\n[site]\nname = "bench"\nroot = "%s/src"\nstate_dir = "%s/state"\n[audit]\ndir = "%s/logs"\n' "$lab" "$lab" "$lab"
    printf '[publish]\nremote = ""\nscan = "builtin"\nparallel = %s\n' "${PARALLEL:-8}"
    for t in $(seq "$targets"); do
        printf '[[publish.target]]\nname = "t%s"\nhost = "127.0.0.1"\nport = %s\nssh_config = "%s/ssh/config"\npath = "%s/ours/t%s"\n' "$t" "$slow" "$lab" "$lab" "$t"
    done
} >"$lab/policy.toml"
chmod 600 "$lab/policy.toml"

ours() { /usr/bin/time -f '%M' -o "$lab/memory" "$program" --policy "$lab/policy.toml" publish --apply -q; }
theirs() {
    for t in $(seq "$targets"); do
        rsync -a --delete --exclude=.git/ -e "ssh -F $lab/ssh/config -p $slow" "$lab/src/" "127.0.0.1:$lab/theirs/t$t/"
    done
}
now() { date +%s.%N; }
timed() {
    local from
    from=$(now)
    "$1" >"$lab/out" 2>&1 || { cat "$lab/out" >&2; exit 1; }
    echo "$(now) $from" | awk '{ printf "%.3f", $1 - $2 }'
}
edit() {
    echo "edit $1" >>"$lab/src/d007/f000007.txt"
    $git commit -qam "edit $1"
}
echo "first publish, $files files to $targets targets, $delay ms: ubos-sync $(timed ours) s, loop $(timed theirs) s"
timed ours >/dev/null
sleep 2.5
timed ours >/dev/null
for case in ${CASES:-nothing one-file}; do
    : >"$lab/ratios"
    for i in $(seq "$pairs"); do
        [ $case = nothing ] || edit "$case-$i"
        if [ $((i % 2)) = 0 ]; then
            a=$(timed ours) b=$(timed theirs)
        else
            b=$(timed theirs) a=$(timed ours)
        fi
        echo "$a $b" | awk '{ printf "%.3f %s %s\n", $1 / $2, $1, $2 }' >>"$lab/ratios"
    done
    sort -n "$lab/ratios" | awk -v c=$case -v m="$(cat "$lab/memory")" '{ r[NR] = $0 } END { print c ": median ratio, ubos-sync s, loop s: " r[int((NR + 1) / 2)] "; largest memory " int(m / 1024) " MiB" }'
done
