#!/bin/sh
# Builds a Debian package and a tarball from a finished program.
#
#   packaging/build.sh PROGRAM OUT-DIR
#
# Both hold the program, a manual page for each command, completions for bash, zsh and fish, the unit templates and the example
# policies and the schemas. The package asks for what the program drives: unison, rsync and ssh.
set -eu

program=${1:?the program}
out=${2:?the directory for the packages}
here=$(cd "$(dirname "$0")/.." && pwd)
program=$(cd "$(dirname "$program")" && pwd)/$(basename "$program")
mkdir -p "$out"
out=$(cd "$out" && pwd)

version=$("$program" --version | cut -d' ' -f2)
machine=$(uname -m)
case $machine in
x86_64) arch=amd64 ;;
aarch64 | arm64) arch=arm64 ;;
armv7l) arch=armhf ;;
*) arch=$machine ;;
esac

scratch=$(mktemp -d "${TMPDIR:-/tmp}/ubos-package.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
umask 022

# The tree as it lies below /usr.
root=$scratch/ubos-sync-$version
mkdir -p "$root/bin" "$root/share/man/man1" "$root/share/doc/ubos-sync/examples/systemd" "$root/share/doc/ubos-sync/schema" \
    "$root/share/bash-completion/completions" "$root/share/zsh/vendor-completions" "$root/share/fish/vendor_completions.d"
cp "$program" "$root/bin/ubos-sync"
strip "$root/bin/ubos-sync" 2>/dev/null || true
chmod 755 "$root/bin/ubos-sync"
"$program" man --out "$scratch/man" >/dev/null
# Read and written are two files.
# shellcheck disable=SC2094
for page in "$scratch/man"/*.1; do gzip -9n <"$page" >"$root/share/man/man1/$(basename "$page").gz"; done
"$program" completions bash >"$root/share/bash-completion/completions/ubos-sync"
"$program" completions zsh >"$root/share/zsh/vendor-completions/_ubos-sync"
"$program" completions fish >"$root/share/fish/vendor_completions.d/ubos-sync.fish"
cp "$here"/profiles/*.toml "$root/share/doc/ubos-sync/examples/"
cp "$here"/schema/*.json "$root/share/doc/ubos-sync/schema/"
cp "$here"/systemd/* "$root/share/doc/ubos-sync/examples/systemd/"
cp "$here/README.md" "$here/ARCHITECTURE.md" "$root/share/doc/ubos-sync/"
find "$root" -type f ! -path '*/bin/*' -exec chmod 644 {} +
find "$root" -type d -exec chmod 755 {} +
deb=$scratch/deb
mkdir "$deb"
cp -R "$root" "$deb/usr"

cp "$here/LICENSE" "$here/CHANGELOG.md" "$here/src/tool/secrets/LICENSE.gitleaks" "$root/"
tar -C "$scratch" --owner=0 --group=0 -czf "$out/ubos-sync-$version-$machine.tar.gz" "ubos-sync-$version"
echo "$out/ubos-sync-$version-$machine.tar.gz"

command -v dpkg-deb >/dev/null 2>&1 || {
    echo "package: no dpkg-deb here, so no Debian package" >&2
    exit 0
}
doc=$deb/usr/share/doc/ubos-sync
{
    echo 'Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/'
    echo 'Upstream-Name: ubos-sync'
    echo
    echo 'Files: *'
    sed -n 's/^Copyright (c)/Copyright:/p' "$here/LICENSE"
    echo 'Comment: holds the default rules of gitleaks, Copyright (c) 2019 Zachary Rice, under the same licence'
    echo 'License: Expat'
    sed '1,/^Copyright/d' "$here/LICENSE" | sed -e '1{/^$/d}' -e 's/^$/./' -e 's/^/ /'
} >"$doc/copyright"
{
    echo "ubos-sync ($version-1) unstable; urgency=medium"
    echo
    echo '  * See /usr/share/doc/ubos-sync/README.md and the releases of ubos-sync.'
    echo
    # The day of the newest entry is the day of the build's sources.
    echo " -- ubos-sync <maintainers@ubos-sync.invalid>  $(LC_ALL=C date -R -r "$here/CHANGELOG.md" 2>/dev/null || LC_ALL=C date -R)"
} | gzip -9n >"$doc/changelog.Debian.gz"
mkdir -p "$deb/DEBIAN"
size=$(du -sk "$deb/usr" | cut -f1)
cat >"$deb/DEBIAN/control" <<CONTROL
Package: ubos-sync
Version: $version-1
Architecture: $arch
Maintainer: ubos-sync <maintainers@ubos-sync.invalid>
Installed-Size: $size
Depends: libc6, libgcc-s1, unison, rsync, openssh-client
Recommends: git
Suggests: openssh-server
Section: net
Priority: optional
Description: sync truth, not state: unison and rsync made safe to run unattended
 Keeps the same working tree on a laptop and a server, and on a fleet, and
 never loses a byte of it: one policy, a plan before anything, an explicit
 --apply, guards that refuse, an audit record of every run, and one command
 that puts both sides back.
CONTROL
(cd "$deb" && find usr -type f -exec md5sum {} + >DEBIAN/md5sums)
chmod 644 "$deb/DEBIAN"/* "$doc/copyright" "$doc/changelog.Debian.gz"
file=$out/ubos-sync_$version-1_$arch.deb
dpkg-deb --root-owner-group --build "$deb" "$file" >/dev/null
echo "$file"
