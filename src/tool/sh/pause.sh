# Asks the writer of this host's root to hold still, or lets it go on. `ask`: the pause file says who, when, why and until when;
# then the acknowledgement is awaited, which is a file of the very same bytes. `lift`: the pause file goes first, then the
# acknowledgement. Whatever pause an earlier run left is dead, because this run holds the lock.
export LC_ALL=C
for v in nonce root pause ack what pid time reason run most patience; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
printf '\n%s BEGIN\n' "$nonce"
case $pause in */*) new=${pause%/*}/.ubos-sync.pause ;; *) new=.ubos-sync.pause ;; esac
cd "$root" || exit 1
case $what in
ask)
  rm -f "$ack"
  case $pause in */*) mkdir -p "${pause%/*}" || exit 1 ;; esac
  now=$(date +%s)
  printf 'pid=%s\ntime=%s\nreason=%s\nrun=%s\nexpires=%s\n' "$pid" "$time" "$reason" "$run" $((now + most)) >"$new" || exit 1
  mv "$new" "$pause" || exit 1
  until cmp -s "$pause" "$ack"; do
    [ $(($(date +%s) - now)) -le "$patience" ] || { echo timeout 1; break; }
    sleep 0.1 2>/dev/null || sleep 1
  done ;;
lift)
  rm -f "$pause" "$new" || exit 1
  rm -f "$ack" || exit 1 ;;
esac
printf '%s END\n' "$nonce"
