#!/bin/sh
# Run inside the box: a user, a loopback sshd, a pair of trees and a policy.
set -eu
useradd --create-home --shell /bin/sh ubos
# Without a password, but not locked: a locked account gets in by no key either.
usermod -p '*' ubos
home=/home/ubos
mkdir -p /srv/ssh /run/sshd
ssh-keygen -q -t ed25519 -N '' -f /srv/ssh/host
cat >/srv/ssh/config <<CONFIG
Port 2222
ListenAddress 127.0.0.1
HostKey /srv/ssh/host
PidFile /run/sshd-box.pid
UsePAM no
StrictModes no
UseDNS no
CONFIG
/usr/sbin/sshd -f /srv/ssh/config
mkdir -p $home/.ssh $home/tree/docs $home/peer $home/logs
ssh-keygen -q -t ed25519 -N '' -f $home/.ssh/id
cp $home/.ssh/id.pub $home/.ssh/authorized_keys
echo "[127.0.0.1]:2222 $(cut -d' ' -f1,2 /srv/ssh/host.pub)" >$home/.ssh/known_hosts
: >$home/tree/.ubos-root
: >$home/peer/.ubos-root
echo anchor >$home/tree/docs/anchor.md
mkdir -p /etc/ubos-sync
cat >/etc/ubos-sync/policy.toml <<POLICY
schema = 1
[site]
name = "box"
root = "$home/tree"
state_dir = "$home/state"
[audit]
dir = "$home/logs"
[schedule]
interval = "5s"
jitter = "2s"
min_interval = "0s"
[notify]
on = ["failure", "recovery"]
command = ["/usr/bin/tee", "-a", "$home/logs/notified"]
[service]
memory_max = "300M"
[[peer]]
name = "loop"
host = "127.0.0.1"
user = "ubos"
port = 2222
identity = "$home/.ssh/id"
root = "$home/peer"
state_dir = "$home/peer-state"
POLICY
chmod 644 /etc/ubos-sync/policy.toml
chown -R ubos: $home
chmod 700 $home $home/.ssh
