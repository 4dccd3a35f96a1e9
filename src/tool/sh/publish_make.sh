# Makes a target ours: its directory when there is none, and the private folder in it.
for v in nonce path; do IFS= read -r "$v" || exit 97; done
case $path in /*) ;; *) path=$HOME/$path ;; esac
printf '\n%s BEGIN\n' "$nonce"
umask 022
if why=$(mkdir -p "$path" 2>&1) && cd "$path"; then
  umask 077
  if [ -L "$own" ] || ! why=$(mkdir -p "$own" 2>&1); then say failed "${why:-$own is a link}"; else say made 1; fi
else say failed "$why"; fi
printf '%s END\n' "$nonce"
