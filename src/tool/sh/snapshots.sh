# What runs have put aside on this host for a pair: `list` answers a line for each run's folder; `drop` removes those that are named.
export LC_ALL=C
for v in nonce state pair what names; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
p=$state/pairs/$pair
printf '\n%s BEGIN\n' "$nonce"
[ ! -f "$p/held" ] || echo "held 1"
case $what in
list)
  for d in "$p"/runs/*/; do
    [ -d "$d" ] || continue
    d=${d%/}
    k=$(du -sk "$d" 2>/dev/null | { read -r k _; echo "$k"; })
    f=-
    [ ! -f "$d/pending" ] || f=unfinished
    [ ! -f "$d/losers" ] || f=$f,losers
    echo "run ${d##*/} ${k:-0} $f"
  done ;;
drop)
  i=0
  while [ "$i" -lt "$names" ]; do
    IFS= read -r x || exit 1
    i=$((i + 1))
    # Names of runs are plain; anything else is none of ours.
    case $x in '' | .* | *[!A-Za-z0-9-]*) continue ;; esac
    [ -f "$p/runs/$x/pending" ] || rm -rf "$p/runs/$x" || exit 1
  done ;;
esac
printf '%s END\n' "$nonce"
