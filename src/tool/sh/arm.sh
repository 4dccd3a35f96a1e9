# The last step before the engine may change anything: what the engine cannot keep itself is copied, then the plan (the rest
# of standard input) is laid down where a later run finds it, should this one die. After a line of its own follows the
# snapshot: what the plan will change, as it is. Of a git checkout it is also kept which commit and what uncommitted work
# stood there.
export LC_ALL=C
umask 077
for v in nonce state root pair run losers copies; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
r=$state/pairs/$pair/runs/$run
printf '\n%s BEGIN\n' "$nonce"
# Whether the loser of a conflict is going to lie here: it stays longer than others.
[ "$losers" = 0 ] || : >"$r/losers"
i=0
while [ "$i" -lt "$copies" ]; do
  IFS= read -r x || exit 1
  i=$((i + 1))
  # Octal escapes; the dot keeps line breaks at the end of a name.
  x=$(printf '%b.' "$x") x=${x%.}
  case $x in */*) mkdir -p "$r/backup/${x%/*}" || exit 1 ;; esac
  cp -pR "$root/$x" "$r/backup/$x" || { echo "uncopied $x"; exit 1; }
done
# A root may be a checkout of somebody else, which git does not read; then there is nothing to say about it.
if [ -e "$root/.git" ] && command -v git >/dev/null 2>&1; then
  g() { git --no-optional-locks --no-pager -C "$root" -c core.fsmonitor=false -c core.hooksPath=/dev/null "$@" 2>/dev/null; }
  if head=$(g rev-parse HEAD); then
    {
      echo "head $head"
      echo "branch $(g symbolic-ref -q --short HEAD)"
      g status --porcelain=v1 --untracked-files=normal --ignore-submodules=all
    } >"$r/git"
    g diff --binary --no-ext-diff --no-textconv --ignore-submodules=all HEAD >"$r/git.patch"
  fi
fi
: >"$r/snapshot.json" && : >"$r/pending.new" && cd "$r" || exit 1
sed -n -e "/^$nonce SNAPSHOT\$/,\$!w pending.new" -e "1,/^$nonce SNAPSHOT\$/!w snapshot.json" || exit 1
sync "$r/pending.new" "$r/snapshot.json" 2>/dev/null || sync
mv "$r/pending.new" "$r/pending" || exit 1
printf '%s END\n' "$nonce"
