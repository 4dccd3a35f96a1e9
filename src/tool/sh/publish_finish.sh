# The end of a publish that was verified: the list of what was published, the sentinel, the link of a new release; then old trash goes.
for v in rev how was name keep keepdays edited releases few; do IFS= read -r "$v" || exit 97; done
live
# What is live is what was looked at: its files were carried over, or are what is about to be vouched for.
[ "$layout" != releases ] || [ "$release" = "$was" ] || die "another release has become live meanwhile"
# Only a new release is given a name, which tells the second and the commit: another one may have it already, even the one that is live.
fresh=$name
if [ -n "$fresh" ]; then
  n=1
  while [ -e "releases/$name" ] || [ -L "releases/$name" ]; do n=$((n + 1)) && name=$fresh-$n; done
else name=$release; fi
new=manifest old=manifest
if [ "$layout" = releases ]; then new=manifest.$name old=manifest.$release; fi
if [ "$how" = delta ]; then cp "$own/$old" "$own/list.new" || die "no room for the list of files"; else : >"$own/list.new"; fi
cat >>"$own/list.new" 2>/dev/null || die "no room for the list of files"
# What the sentinel is about to vouch for is on the disk before it: a power cut may not leave a commit's name beside empty files.
# A few changes are there already, and so is what they came to.
if [ "$few" = 1 ]; then set -- "$own/list.new"; else set -- -f .; fi
why=$(sync "$@" 2>&1) || case $why in
*option* | *sage*) sync ;;
*) die "what was published cannot be written to the disk: $why" ;;
esac
if [ -n "$fresh" ]; then
  put_rev "$rev" "$part" && mv "$part" "releases/$name" || die "the release cannot be finished"
  mv -f "$own/list.new" "$own/$new" || die "no room for the list of files"
  rm -rf "$own/link.d"
  mkdir "$own/link.d" && ln -s "releases/$name" "$own/link.d/current" && ln -s current/.sync_rev "$own/link.d/.sync_rev" || die "the link cannot be made"
  # A rename into the directory replaces the link itself, on every userland, and is never half done.
  mv -f "$own/link.d/current" . || die "the link cannot be flipped"
  { [ -d .sync_rev ] && [ ! -L .sync_rev ]; } || mv -f "$own/link.d/.sync_rev" .
  rm -rf "$own/link.d"
  say previous "$release"
  [ -z "$release" ] || late
else
  mv -f "$own/list.new" "$own/$new" || die "no room for the list of files"
  tree=.
  [ "$layout" != releases ] || tree=releases/$release
  put_rev "$rev" "$tree" || die "the sentinel cannot be written"
fi
rm -f "$own"/pending.*
rm -rf "$own"/*.d "$stage"
say finished 1
[ "$layout" != releases ] || say release "$name"
[ ! -d "$own/trash/$run" ] || { say trash "$root/$own/trash/$run"; [ "$edited" = 0 ] || : >"$own/trash/$run/.ubos-sync.edited"; }
# The newest stay; what somebody had edited stays as long as the policy keeps losers.
n=0
ls -1 "$own/trash" 2>/dev/null | sort -r | while IFS= read -r t; do
  n=$((n + 1))
  [ $n -gt "$keep" ] || continue
  if [ -e "$own/trash/$t/.ubos-sync.edited" ] && [ -z "$(find "$own/trash/$t" -prune -mtime "+$keepdays" 2>/dev/null)" ]; then continue; fi
  rm -rf "$own/trash/$t"
done
if [ "$layout" = releases ]; then
  # Names tell the second only: the one that was live until now is the one to go back to, whatever its name sorts as.
  n=0 prior=
  if [ -n "$release" ] && [ "$release" != "$name" ] && [ "$releases" -gt 1 ]; then n=1 prior=$release; fi
  ls -1 releases 2>/dev/null | sort -r | while IFS= read -r t; do
    case $t in "$name" | "$prior") continue ;; esac
    n=$((n + 1))
    [ $n -ge "$releases" ] || continue
    # Only what we made goes.
    [ -f "$own/manifest.$t" ] && [ ! -L "releases/$t" ] && rm -rf "releases/$t" "$own/manifest.$t"
  done
fi
end
