# Makes a release that is still there live again, when its sentinel names the commit that is wanted. The one that is live stays.
# Somebody may have changed it since: it names the commit again when it was looked at.
for v in rev name; do IFS= read -r "$v" || exit 97; done
live
case $name in '' | .* | */*) die "that is no release" ;; esac
has=
[ ! -d "releases/$name" ] || [ -L "releases/$name" ] || [ ! -f "$own/manifest.$name" ] || has=$(head -n 1 "releases/$name/.sync_rev" 2>/dev/null)
# An earlier try may have been cut off behind its first step.
if [ "${has#INCOMPLETE }" = "$rev" ] && [ "$name" != "$release" ]; then
  put_rev "INCOMPLETE $rev" "releases/$name" || die "the sentinel cannot be written"
  rm -rf "$own/link.d"
  mkdir "$own/link.d" && ln -s "releases/$name" "$own/link.d/current" && mv -f "$own/link.d/current" . || die "the link cannot be flipped"
  rm -rf "$own/link.d"
  [ -z "$release" ] || late
  say flipped "$release"
fi
end
