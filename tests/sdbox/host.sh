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
# The key belongs to root: only the service manager can hand it to a unit of ubos. So does the address that is told of failures.
mkdir -p /etc/ubos-sync/credentials
mv $home/.ssh/id /etc/ubos-sync/key
chmod 600 /etc/ubos-sync/key
printf 'http://127.0.0.1:8099/hook' >/etc/ubos-sync/credentials/BOX_HOOK
chmod 600 /etc/ubos-sync/credentials/BOX_HOOK
cat >/srv/hook.py <<'HOOK'
import http.server
class Hook(http.server.BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        with open("/srv/hooked", "ab") as f:
            f.write(body + b"\n")
        self.send_response(204)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", 8099), Hook).serve_forever()
HOOK
setsid python3 /srv/hook.py >/dev/null 2>&1 </dev/null &
# Names with everything that could mean something to a unit.
# shellcheck disable=SC2016
dir='/etc/ubos-sync/1 00% "q" $x & <ä> \z;#'
mkdir "$dir"
cat >"$dir/policy.toml" <<POLICY
schema = 1
[site]
name = "box"
root = "$home/tree"
state_dir = "$home/st ate %h 'q'"
[audit]
dir = "$home/logs"
[schedule]
interval = "5s"
jitter = "2s"
min_interval = "0s"
[notify]
on = ["failure", "recovery"]
webhook_url_env = "BOX_HOOK"
command = ["/usr/bin/tee", "-a", "$home/logs/notified"]
[service]
memory_max = "300M"
[[peer]]
name = "loop"
host = "127.0.0.1"
user = "ubos"
port = 2222
identity = "/etc/ubos-sync/key"
root = "$home/peer"
state_dir = "$home/peer-state"
POLICY
chmod 644 "$dir/policy.toml"
chown -R ubos: $home
chmod 700 $home $home/.ssh
