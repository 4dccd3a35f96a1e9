# Makes a release that is still there live again, when its sentinel names the commit that is wanted. The one that is live stays.
for v in rev name; do IFS= read -r "$v" || exit 97; done
live
case $name in '' | .* | */*) die "that is no release" ;; esac
has=
[ ! -d "releases/$name" ] || [ -L "releases/$name" ] || [ ! -f "$own/manifest.$name" ] || has=$(head -n 1 "releases/$name/.sync_rev" 2>/dev/null)
if [ "$has" = "$rev" ] && [ "$name" != "$release" ]; then
  rm -rf "$own/link.d"
  mkdir "$own/link.d" && ln -s "releases/$name" "$own/link.d/current" && mv -f "$own/link.d/current" . || die "the link cannot be flipped"
  rm -rf "$own/link.d"
  say flipped "$release"
fi
end
