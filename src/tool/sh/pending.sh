# The plan that an unfinished run laid down (empty when this host has none), and what its engines said, if they ran here.
for v in nonce state pair run; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
r=$state/pairs/$pair/runs/$run
printf '\n%s BEGIN\n' "$nonce"
[ ! -f "$r/pending" ] || cat "$r/pending" || exit 1
printf '%s SAID\n' "$nonce"
# A last line that was cut off is not made whole: no name ends so.
for e in "$r"/engine.*.err; do [ ! -f "$e" ] || { cat "$e" || exit 1; printf '\0\n'; }; done
printf '%s END\n' "$nonce"
