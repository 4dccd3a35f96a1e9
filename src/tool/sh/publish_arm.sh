# Before the first byte travels: sweeps up after dead runs, lays the stage, notes what is about to come, and says so in the sentinel.
for v in rev basis; do IFS= read -r "$v" || exit 97; done
rm -rf "$own"/stage.* "$own"/*.new "$own"/*.d
[ "$layout" != releases ] || [ -L releases ] || rm -rf releases/.ubos-sync.*
live
why=$(mkdir "$stage" 2>&1) || die "$why"
# Big files that change are laid ready, so that only their differences travel; they are replaced, never written into.
i=0
while [ "$i" -lt "$basis" ]; do
  IFS= read -r f || die "the order was cut"
  i=$((i + 1))
  case $f in */*) mkdir -p "$stage/${f%/*}" ;; esac
  if [ "$layout" = releases ]; then from=releases/$release; else from=.; fi
  [ -f "$from/$f" ] && [ ! -L "$from/$f" ] && ln "$from/$f" "$stage/$f" 2>/dev/null
done
why=$({ cat >"$own/pending.new" && mv -f "$own/pending.new" "$own/pending.$run"; } 2>&1) || die "${why:-no room left on the device}"
if [ "$layout" != releases ]; then
  why=$(put_rev "INCOMPLETE $rev" . 2>&1) || die "the sentinel cannot be written: $why"
fi
say armed 1
end
