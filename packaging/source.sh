#!/bin/sh
# Writes the source tarball: of a checkout its commit, of an unpacked tarball what lies there.
#
#   packaging/source.sh TARBALL
#
# Git writes the commit into packaging/commit, so that whoever builds from the tarball has it in the version, too.
set -eu

out=${1:?the tarball}
here=$(cd "$(dirname "$0")/.." && pwd)
out=$(cd "$(dirname "$out")" && pwd)/$(basename "$out")
# A tree that lies inside somebody else's checkout is not that checkout's commit.
if prefix=$(git -C "$here" rev-parse --show-prefix 2>/dev/null) && [ -z "$prefix" ]; then
    git -C "$here" archive --format=tar.gz --prefix=ubos-sync/ -o "$out" HEAD
    exit 0
fi
scratch=$(mktemp -d "${TMPDIR:-/tmp}/ubos-source.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir "$scratch/ubos-sync"
tar -C "$here" --exclude ./target -cf - . | tar -C "$scratch/ubos-sync" -xf -
tar -C "$scratch" -czf "$out" ubos-sync
