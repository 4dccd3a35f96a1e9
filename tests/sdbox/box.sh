#!/bin/bash
# A box in which a real systemd is process 1: namespaces of its own over this machine's file system, whose changes are forgotten.
#
#   BOX=DIR box.sh start | run COMMAND… | stop
#
# Needs root. Everything the box writes lies in a tmpfs below $BOX and goes with it.
set -eu
box=${BOX:?an empty folder}
group=ubos-$(basename "$box")

case $1 in
start)
    (
        # Its own corner in every hierarchy of control groups, before the namespace hides the others.
        for hierarchy in /sys/fs/cgroup/ /sys/fs/cgroup/*/; do
            [ -e "$hierarchy/cgroup.procs" ] || continue
            mkdir -p "$hierarchy/$group" 2>/dev/null || continue
            for own in cpuset.cpus cpuset.mems; do
                [ ! -e "$hierarchy/$own" ] || cat "$hierarchy/$own" >"$hierarchy/$group/$own" || true
            done
            echo "$BASHPID" >"$hierarchy/$group/cgroup.procs" || true
        done
        echo "$BASHPID" >"$box/outer"
        exec setsid unshare --pid --mount --uts --ipc --net --cgroup --fork --kill-child --propagation private bash "$0" inside
    ) >>"$box/log" 2>&1 </dev/null &
    for _ in $(seq 150); do
        sleep 0.1
        first=$(pgrep -P "$(cat "$box/outer" 2>/dev/null || echo 0)" 2>/dev/null || true)
        [ -n "$first" ] || continue
        echo "$first" >"$box/pid"
        case $(nsenter -t "$first" -a -- systemctl is-system-running 2>/dev/null || true) in
        running | degraded) exit 0 ;;
        esac
    done
    cat "$box/log" >&2
    exit 1
    ;;
inside)
    mount -t tmpfs -o size=1g tmpfs "$box"
    mkdir "$box/upper" "$box/work" "$box/root"
    root=$box/root
    mount -t overlay overlay -o "lowerdir=/,upperdir=$box/upper,workdir=$box/work" "$root"
    # No more than what timers, services and a bus need.
    printf '[Unit]\nRequires=basic.target dbus.socket\nAfter=basic.target dbus.socket\nAllowIsolate=yes\n' \
        >"$root/etc/systemd/system/box.target"
    mount -t proc proc "$root/proc"
    mount -t sysfs sysfs "$root/sys"
    if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
        mount -t cgroup2 cgroup2 "$root/sys/fs/cgroup"
    else
        mount -t tmpfs tmpfs "$root/sys/fs/cgroup"
        while IFS=: read -r _ name _; do
            case $name in
            '') dir=unified kind=cgroup2 how= ;;
            name=*) dir=${name#name=} kind=cgroup how=none,$name,xattr ;;
            *) dir=$name kind=cgroup how=$name ;;
            esac
            mkdir "$root/sys/fs/cgroup/$dir"
            mount -t "$kind" ${how:+-o "$how"} "$kind" "$root/sys/fs/cgroup/$dir"
        done </proc/self/cgroup
    fi
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    mkdir "$root/dev/shm" "$root/dev/pts"
    for node in null:3 zero:5 full:7 random:8 urandom:9; do
        mknod -m 666 "$root/dev/${node%:*}" c 1 "${node#*:}"
    done
    mknod -m 666 "$root/dev/tty" c 5 0
    mount -t devpts -o newinstance,ptmxmode=0666,mode=620 devpts "$root/dev/pts"
    ln -s pts/ptmx "$root/dev/ptmx"
    ln -s /proc/self/fd "$root/dev/fd"
    ln -s null "$root/dev/console"
    mount -t tmpfs -o mode=755 tmpfs "$root/run"
    mount -t tmpfs -o mode=1777 tmpfs "$root/tmp"
    echo box >"$root/etc/hostname"
    ip link set lo up
    cd "$root"
    mkdir .before
    pivot_root . .before
    umount -l .before
    mount --make-rshared /
    exec env -i container=box PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=box.target
    ;;
run)
    shift
    exec nsenter -t "$(cat "$box/pid")" -a -- "$@"
    ;;
stop)
    first=$(cat "$box/pid" 2>/dev/null || echo)
    outer=$(cat "$box/outer" 2>/dev/null || echo)
    [ -z "$first" ] || kill -s RTMIN+4 "$first" 2>/dev/null || true
    for _ in $(seq 50); do
        { [ -n "$outer" ] && kill -0 "$outer" 2>/dev/null; } || break
        sleep 0.1
    done
    [ -z "$outer" ] || kill -9 "$outer" 2>/dev/null || true
    find /sys/fs/cgroup -depth -type d -path "*/$group*" -exec rmdir {} + 2>/dev/null || true
    ;;
esac
