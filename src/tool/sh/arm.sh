# The last step before the engine may change anything: what the engine cannot keep itself is copied, then the plan (the rest
# of standard input) is laid down where a later run finds it, should this one die.
export LC_ALL=C
umask 077
for v in nonce state root pair run copies; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
r=$state/pairs/$pair/runs/$run
printf '\n%s BEGIN\n' "$nonce"
i=0
while [ "$i" -lt "$copies" ]; do
  IFS= read -r x || exit 1
  i=$((i + 1))
  # Octal escapes; the dot keeps line breaks at the end of a name.
  x=$(printf '%b.' "$x") x=${x%.}
  case $x in */*) mkdir -p "$r/backup/${x%/*}" || exit 1 ;; esac
  cp -pR "$root/$x" "$r/backup/$x" || { echo "uncopied $x"; exit 1; }
done
cat >"$r/plan.new" || exit 1
sync "$r/plan.new" 2>/dev/null || sync
mv "$r/plan.new" "$r/pending" || exit 1
printf '%s END\n' "$nonce"
