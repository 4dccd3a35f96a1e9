# How every script that changes a target begins: the lock must still be ours, and whoever takes it over must know of us.
for v in nonce root run holder layout; do IFS= read -r "$v" || exit 97; done
printf '\n%s BEGIN\n' "$nonce"
job=
end() {
  [ -z "$job" ] || rm -f "$job"
  printf '%s END\n' "$nonce"
  exit 0
}
die() {
  printf 'failed %s\n' "$(printf '%s' "$1" | head -n 1)"
  end
}
trap '[ -z "$job" ] || rm -f "$job"' EXIT
trap 'exit 143' HUP INT TERM
cd "$root" 2>/dev/null || die "the directory is gone"
root=$(pwd -P)
{ [ -d "$own" ] && [ ! -L "$own" ]; } || die "$own is gone"
[ "$(sed -n 's/^nonce=//p' "$own/lock/owner" 2>/dev/null)" = "$holder" ] || die "another run has taken the lock over"
job=$root/$own/lock/job.$$
echo "$$ $(born $$)" >"$job" 2>/dev/null || { job=; die "no room left on the device, or the lock is gone"; }
stage=$root/$own/stage.$run
part=releases/.ubos-sync.$run
# The sentinel by temporary name and rename: `mv` into the directory never follows what stands there.
put_rev() { # TEXT DIRECTORY
  rm -rf "$root/$own/rev.d"
  mkdir "$root/$own/rev.d" && printf '%s\n' "$1" >"$root/$own/rev.d/.sync_rev" && chmod 644 "$root/$own/rev.d/.sync_rev" || return 1
  if [ -d "$2/.sync_rev" ] && [ ! -L "$2/.sync_rev" ]; then return 1; fi
  (cd "$2" && mv -f "$root/$own/rev.d/.sync_rev" .)
}
# What somebody made in the release that was live, since this run has looked at it, lies there alone, and releases go.
late() {
  # To link a file into the next release makes it younger, too, but for its content.
  find "releases/$release" \( -type f -links 1 -cnewer "$own/lock/owner" -o -type f -newer "$own/lock/owner" -o -type l -cnewer "$own/lock/owner" \) \
    ! -path "releases/$release/.sync_rev" -exec sh -c "
    hash() { $hash; }"'
    trash=$1 known=$2
    shift 2
    for f; do
      # A file that was lent to the transfer looks younger than it is.
      [ -L "$f" ] || ! grep -q "$(hash <"$f")" "$known" || continue
      of=${f#*/}
      of=${of#*/}
      to=$trash/$of n=0
      while [ -e "$to" ] || [ -L "$to" ]; do n=$((n + 1)); to=$trash/.ubos-sync.too.$n/$of; done
      mkdir -p "${to%/*}" || continue
      : >"$trash/.ubos-sync.edited"
      { [ ! -L "$f" ] && ln "$f" "$to"; } || cp -R -P -p "$f" "$to"
    done' sh "$root/$own/trash/$run" "$own/manifest.$release" {} + 2>/dev/null
}
