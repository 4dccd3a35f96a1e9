# Holds a pair on this host, or lets it go: `hold` writes why, `release` takes it away and answers what stood there.
export LC_ALL=C
umask 077
for v in nonce state pair what why; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
p=$state/pairs/$pair
printf '\n%s BEGIN\n' "$nonce"
[ ! -f "$p/held" ] || { IFS= read -r was <"$p/held"; printf 'was %s\n' "$was"; }
case $what in
hold)
  mkdir -p "$p" || exit 1
  printf '%s\n' "$why" >"$p/held.new" && mv "$p/held.new" "$p/held" || exit 1 ;;
release)
  rm -f "$p/held" || exit 1 ;;
esac
printf '%s END\n' "$nonce"
