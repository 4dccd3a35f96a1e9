# Removes the engine's temporary files that a dead run left (NUL-separated paths on standard input, relative to the root).
# Only names of the engine's own form are touched, and only while this run holds the lock.
export LC_ALL=C
for v in nonce root; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
printf '\n%s BEGIN\n' "$nonce"
cd "$root" || exit 1
xargs -0 sh -c 'for f; do case ${f##*/} in .unison.*.unison.tmp) [ -L "${f%/*}" ] || rm -rf "$f" ;; esac; done' sh
printf '%s END\n' "$nonce"
