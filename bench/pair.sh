# shellcheck shell=bash
# What every benchmark shares: a scratch folder with two homes, an sshd of its own, policies, trees, paired runs and their rows.
# Everything goes when the script ends, unless KEEP is set.
#
#   PAIRS=7   paired runs of each row      ROWS=FILE  where rows go besides the terminal, for bench/report.py
#   LAB=/tmp  where the scratch folder is made: which disk is measured
#   NEW=1000  files of the rows that bring new ones     KEEP=1  leave the scratch folder

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
program=${1:-$here/../target/release/ubos-sync}
pairs=${PAIRS:-7}
new_files=${NEW:-1000}
[ -x "$program" ] || {
    echo "bench: $program is not there; run 'make build' first" >&2
    exit 1
}
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
# Asked before the home changes, because what manages several pythons looks there.
python=$(python3 -c 'import sys; print(sys.executable)')

# A short path: ssh's control socket has to fit into some 100 bytes.
lab=$(mktemp -d "${LAB:-/tmp}/ubb-XXXXXX")
state=$lab/mac/state
started=()
leave() {
    code=$?
    trap - EXIT
    local pid
    for pid in ${started[@]+"${started[@]}"}; do
        kill "$pid" 2>/dev/null || continue
        # A paused contestant hears it only then.
        kill -CONT "$pid" 2>/dev/null || true
    done
    if [ -s "$lab/ssh/pid" ]; then
        hang_up
        kill "$(cat "$lab/ssh/pid")" 2>/dev/null || true
    fi
    if [ -n "${KEEP:-}" ]; then echo "scratch folder: $lab"; else rm -rf "$lab"; fi
    exit "$code"
}
trap leave EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

mkdir -p "$lab/ssh" "$lab/tmp" "$lab/mac/tree" "$lab/balaur/tree"
: >"$lab/mac/tree/.ubos-root"
: >"$lab/balaur/tree/.ubos-root"
unset SSH_AUTH_SOCK XDG_CONFIG_HOME XDG_STATE_HOME XDG_CACHE_HOME XDG_RUNTIME_DIR UNISON
export UBOS_SYNC_POLICY=$lab/mac/ubos-sync.toml HOME=$lab/mac TMPDIR=$lab/tmp LC_ALL=C.UTF-8 TZ=UTC

# -- the line

# An sshd that only this lab knows; the peer is called balaur, and $lab/ssh/config says where it is.
serve() {
    local sshd
    sshd=$(PATH=$PATH:/usr/sbin:/usr/local/sbin command -v sshd) || {
        echo "bench: sshd is not installed" >&2
        exit 1
    }
    ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/host_key"
    ssh-keygen -q -t ed25519 -N '' -f "$lab/ssh/client"
    cp "$lab/ssh/client.pub" "$lab/ssh/authorized_keys"
    [ "$(id -u)" != 0 ] || mkdir -p /run/sshd
    echo "balaur $(cut -d' ' -f1,2 "$lab/ssh/host_key.pub")" >"$lab/ssh/known_hosts"
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
Subsystem sftp internal-sftp
SetEnv HOME=$lab/balaur
CONFIG
        # It goes to the background only when its port is its own, therefore no race here.
        if "$sshd" -f "$lab/ssh/sshd_config" -E "$lab/ssh/log"; then break; fi
    done
    route_to config "$port"
    local tries=0
    until [ -s "$lab/ssh/pid" ] && ssh -F "$lab/ssh/config" balaur true 2>/dev/null; do
        tries=$((tries + 1))
        [ "$tries" -lt 50 ] || {
            cat "$lab/ssh/log" >&2
            exit 1
        }
        sleep 0.1
    done
}

route_to() { # NAME PORT: an ssh configuration that finds the peer at this port
    cat >"$lab/ssh/$1" <<CONFIG
Host balaur
HostName 127.0.0.1
Port $2
HostKeyAlias balaur
User $(id -un)
IdentityFile $lab/ssh/client
IdentitiesOnly yes
IdentityAgent none
UserKnownHostsFile $lab/ssh/known_hosts
GlobalKnownHostsFile /dev/null
StrictHostKeyChecking yes
BatchMode yes
CONFIG
}

# The same peer behind so many milliseconds of round trip: $lab/ssh/slow.
slow_down() {
    local slow
    slow=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    "$python" "$here/delay.py" "$slow" "$port" "$1" &
    started+=($!)
    route_to slow "$slow"
    until ssh -F "$lab/ssh/slow" balaur true 2>/dev/null; do sleep 0.1; done
}

# Ends every connection that a run has left open; only sessions of this lab's sshd.
hang_up() {
    pkill -P "$(cat "$lab/ssh/pid")" || true
    sleep 0.3
}

# -- the pair

# NAME LINE...: $lab/mac/NAME.toml; the lines belong to the peer. $route names the ssh configuration, $far and $memory what else differs.
policy() {
    local file=$lab/mac/$1.toml
    shift
    cat >"$file" <<POLICY
schema = 1
[site]
name = "mac"
root = "$lab/mac/tree"
state_dir = "${memory:-$state}"
[audit]
dir = "${memory:-$state}-audit"
[[peer]]
name = "balaur"
host = "balaur"
ssh_config = "$lab/ssh/${route:-config}"
root = "$lab/balaur/${far:-tree}"
POLICY
    [ $# = 0 ] || printf '%s\n' "$@" >>"$file"
    chmod 600 "$file"
}
# $lab/mac/disk.toml: the same tree, and a peer that is a folder of this machine.
local_policy() {
    policy disk
    mkdir -p "$lab/disk"
    : >"$lab/disk/.ubos-root"
    sed -i.bak -e '/^host = /d' -e '/^ssh_config = /d' -e 's|^name = "balaur"|name = "disk"|' -e "s|^root = \"$lab/balaur/.*|root = \"$lab/disk\"|" "$lab/mac/disk.toml"
}
ours() { # POLICY WORD...
    local name=$1
    shift
    "$program" --policy "$lab/mac/$name.toml" --no-progress "$@"
}

# ROOT FILES BYTES [UNDER]: noise in equal pieces, a hundred to a folder.
fill() {
    "$python" - "$1" "$2" "$3" "${4:-docs}" <<'PY'
import os
import sys

root, files, size = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]) // int(sys.argv[2])
top = f"{root}/{sys.argv[4]}"
for n in range(files):
    folder = f"{top}/d{n // 100}"
    if n % 100 == 0:
        os.makedirs(folder)
    with open(f"{folder}/f{n}", "wb") as file:
        file.write(os.urandom(size))
PY
}

# N WORD: so many lines of a log, 259 bytes each.
records() { awk -v n="$1" -v word="$2" 'BEGIN { for (i = 0; i < n; i++) printf "{\"record\":%010d,\"%s\":\"%0228d\"}\n", i, word, i }'; }

# The same work by hand: a copy of the tree and of the engine's memory, so that neither finds the other's work done.
raw_trees() {
    mkdir -p "$lab/mac/raw" "$lab/balaur/raw"
    cp -pR "$lab/mac/tree/docs" "$lab/mac/raw/"
    cp -pR "$lab/mac/tree/docs" "$lab/balaur/tree/"
    cp -pR "$lab/mac/tree/docs" "$lab/balaur/raw/"
}
unison_by_hand() { # ROUTE FAR WORD...
    local route=$1 far=$2
    shift 2
    UNISON="$lab/mac/raw-archives" UNISONLOCALHOSTNAME=mac unison "$lab/mac/raw" "ssh://balaur/$lab/balaur/$far" \
        -batch -terse -times -ui text -prefer newer -sshargs "-F $lab/ssh/$route" "$@"
}

edit_both() {
    local tree
    for tree in tree raw; do printf 'edit %s\n' "$RANDOM$RANDOM" >>"$lab/mac/$tree/docs/d0/f0"; done
}
batch=0
# New files in both trees; `cold` and `raw` are the two contestants of the script. The earlier ones go first, everywhere, so that
# the tree stays as large as the title says.
bring_new_files() {
    local side
    for side in mac/tree mac/raw balaur/tree balaur/raw; do rm -rf "$lab/$side/docs/new"; done
    quietly cold
    quietly raw
    batch=$((batch + 1))
    for side in tree raw; do fill "$lab/mac/$side" "$new_files" "$((3000 * new_files))" "docs/new/$batch"; done
}

# -- the measuring

now_us() { echo "${EPOCHREALTIME/[.,]/}"; }
seconds_since() { echo $(($(now_us) - $1)) | awk '{ printf "%.4f\n", $1 / 1e6 }'; }

# What it says matters only when it fails.
quietly() {
    "$@" >"$lab/out" 2>&1 || {
        echo "bench: $* failed:" >&2
        cat "$lab/out" >&2
        exit 1
    }
}

# NAME COMMAND...: appends the seconds it took to NAME.
timed() {
    local name=$1 from
    shift
    # What the one before left to be written must not be waited for by this one.
    sync
    from=$(now_us)
    quietly "$@"
    seconds_since "$from" >>"$lab/$name"
}

# TEXT: what the rows below have in common.
heading() {
    [ -z "${ROWS:-}" ] || printf '#\t%s\n' "$1" >>"$ROWS"
    echo "$1"
    printf '%-44s %-24s %9s %9s  %8s %8s %8s  %s\n' row against 'ours s' 'other s' 'min' 'ratio' 'max' aim
}
spread() { sort -n "$1" | awk '{ v[NR] = $1 } END { printf "%.4f\t%.4f\t%.4f", v[1], (v[int((NR + 1) / 2)] + v[int(NR / 2) + 1]) / 2, v[NR] }'; }

# One line for the eye and one for the report. The aim is for the middle figure; `-`: there is none.
row() { # TITLE AGAINST UNIT AIM COUNT LOW MIDDLE HIGH OURS OTHER
    [ -z "${ROWS:-}" ] || (IFS=$'\t' && printf '%s\n' "$*") >>"$ROWS"
    local verdict='' show=%8.3f
    if [ "$4" != - ]; then verdict=$(awk -v is="$7" -v aim="$4" 'BEGIN { print "<= " aim (is <= aim ? "  met" : "  MISSED") }'); fi
    [ "$3" = ratio ] || show=%8.1f
    # shellcheck disable=SC2059
    printf "%-44s %-24s %9s %9s  $show $show $show  %s\n" "$1" "$2" "$9" "${10}" "$6" "$7" "$8" "$([ "$3" = ratio ] || echo "$3 ")$verdict"
}
# A row that cannot be measured here, and why.
absent() { # TITLE AGAINST AIM WHY
    [ -z "${ROWS:-}" ] || printf '%s\t%s\tabsent\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$ROWS"
    printf '%-44s %-24s not measured: %s\n' "$1" "$2" "$4"
}

# TITLE AGAINST AIM OURS OTHER [PREPARE]: runs in turns; who goes first alternates as well, so what the machine does meanwhile falls on both.
pairs_of() {
    local title=$1 against=$2 aim=$3 mine=$4 other=$5 prepare=${6:-:} k
    rm -f "$lab"/timing.*
    for ((k = 0; k < pairs; k++)); do
        $prepare
        if [ $((k % 2)) = 0 ]; then
            timed timing.a "$mine"
            timed timing.b "$other"
        else
            timed timing.b "$other"
            timed timing.a "$mine"
        fi
    done
    ratios "$title" "$against" "$aim" "$lab/timing.a" "$lab/timing.b"
}
# At most three pairs of what takes long.
few() {
    local pairs=$((pairs < 3 ? pairs : 3))
    "$@"
}
ratios() { # TITLE AGAINST AIM FILE FILE
    paste "$4" "$5" | awk '{ printf "%.4f\n", $1 / $2 }' >"$lab/ratios"
    local low middle high
    IFS=$'\t' read -r low middle high <<<"$(spread "$lab/ratios")"
    row "$1" "$2" ratio "$3" "$(wc -l <"$lab/ratios" | tr -d ' ')" "$low" "$middle" "$high" \
        "$(spread "$4" | cut -f2)" "$(spread "$5" | cut -f2)"
}

# Peak resident memory in KiB of the program alone: time(1) would report the largest of its children instead.
peak_of() { # WORD...
    [ -r /proc/self/status ] || { echo 0; return; }
    (exec "$program" "$@" >"$lab/out" 2>&1) &
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
peak_row() { # TITLE AIM WORD...
    local title=$1 aim=$2 peak
    shift 2
    peak=$(($(peak_of "$@") / 1024))
    [ "$peak" = 0 ] || row "$title" - MiB "$aim" 1 "$peak" "$peak" "$peak" - -
}
