# shellcheck shell=bash
# A pair over a loopback sshd of its own, for the benchmarks that source this: $program, $lab, $state, $UBOS_SYNC_POLICY, make_tree.
# Everything goes when the script ends, unless KEEP is set.

program=${1:-$here/../target/release/ubos-sync}
[ -x "$program" ] || {
    echo "bench: $program is not there; run 'make build' first" >&2
    exit 1
}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
sshd=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd)

lab=$(mktemp -d /tmp/ubb-XXXXXX)
worker=
leave() {
    code=$?
    trap - EXIT
    [ -z "$worker" ] || kill "$worker" 2>/dev/null || true
    [ ! -s "$lab/ssh/pid" ] || kill "$(cat "$lab/ssh/pid")" 2>/dev/null || true
    [ -n "${KEEP:-}" ] || rm -rf "$lab"
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$lab/ssh" "$lab/tmp" "$lab/mac/tree/docs" "$lab/balaur/tree"
: >"$lab/mac/tree/.ubos-root"
: >"$lab/balaur/tree/.ubos-root"
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
LogLevel VERBOSE
SetEnv HOME=$lab/balaur
CONFIG
    if "$sshd" -f "$lab/ssh/sshd_config" -E "$lab/ssh/log"; then break; fi
done
until [ -s "$lab/ssh/pid" ]; do sleep 0.05; done
echo "balaur $(cut -d' ' -f1,2 "$lab/ssh/host_key.pub")" >"$lab/ssh/known_hosts"
cat >"$lab/ssh/config" <<CONFIG
Host balaur
HostName 127.0.0.1
Port $port
HostKeyAlias balaur
UserKnownHostsFile $lab/ssh/known_hosts
IdentityFile $lab/ssh/client
IdentitiesOnly yes
CONFIG
cat >"$lab/mac/ubos-sync.toml" <<POLICY
schema = 1
[site]
name = "mac"
root = "tree"
state_dir = "state"
[[peer]]
name = "balaur"
host = "balaur"
ssh_config = "../ssh/config"
root = "$lab/balaur/tree"
POLICY
export UBOS_SYNC_POLICY=$lab/mac/ubos-sync.toml HOME=$lab/mac TMPDIR=$lab/tmp
state=$lab/mac/state

# N files in folders of a hundred, and the pair in sync.
make_tree() {
    local n=0 dir
    while [ "$n" -lt "$1" ]; do
        [ $((n % 100)) != 0 ] || { dir=$lab/mac/tree/docs/d$((n / 100)) && mkdir -p "$dir"; }
        echo "content of file $n" >"$dir/f$n"
        n=$((n + 1))
    done
    "$program" truth --apply -q
}
