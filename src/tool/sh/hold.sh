# Holds a pair on this host, or lets it go; answers what stood there. `hold` writes why. `begin` also says which run is being
# taken back, and `end` that it has been; between the two only `abandon` takes the hold away, since a half-restored tree must
# not be taken for somebody's wish. `release` takes it away otherwise.
export LC_ALL=C
umask 077
for v in nonce state pair what why undoing; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
p=$state/pairs/$pair
printf '\n%s BEGIN\n' "$nonce"
was=
[ ! -f "$p/held" ] || { IFS= read -r was <"$p/held"; printf 'was %s\n' "$was"; }
now=
[ ! -f "$p/undoing" ] || { IFS= read -r now <"$p/undoing"; printf 'undoing %s\n' "$now"; }
write() { printf '%s\n' "$2" >"$1.new" && { sync "$1.new" 2>/dev/null || sync; } && mv "$1.new" "$1"; }
case $what in
hold | begin | end)
  mkdir -p "$p" && write "$p/held" "$why" || exit 1
  case $what in
  begin) write "$p/undoing" "$undoing" || exit 1 ;;
  end) rm -f "$p/undoing" || exit 1 ;;
  esac ;;
release) [ -n "$now" ] || rm -f "$p/held" || exit 1 ;;
abandon) rm -f "$p/undoing" "$p/held" || exit 1 ;;
esac
printf '%s END\n' "$nonce"
