# Behind sha.sh: what the doctor wants to know of a host beyond what the agent says. Changes nothing. Empty parameters ask for nothing.
export LC_ALL=C
for v in nonce state root marker pair gen; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
case $root in /*) ;; *) root=$HOME/$root ;; esac
say() { printf '%s %s\n' "$1" "$2"; }
printf '\n%s BEGIN\n' "$nonce"
say state "$state"
if [ -d "$state" ]; then
  set -f
  set -- $(ls -Lldn "$state" 2>/dev/null)
  set +f
  say statemode "${1:-}"
  [ "${3:-}" = "$(id -u)" ] || say stateowner "${3:-nobody}"
elif [ -e "$state" ] || [ -L "$state" ]; then say statebad 1
else say stateabsent 1; fi
# What hears of changes below a root, as the ear of a worker looks for it.
for t in inotifywait fswatch; do command -v "$t" >/dev/null 2>&1 && { say events "$t"; break; }; done
# Whether this host has synced with others than this pair.
for g in "$state"/pairs/*/archives/*/ok; do
  [ -f "$g" ] || continue
  case $g in "$state/pairs/$pair/"*) ;; *) say others 1; break ;; esac
done
if [ -n "$gen" ]; then
  g=$state/pairs/$pair/archives/$gen
  { h=$(sha <"$g/manifest"); } 2>/dev/null
  # The digest of the manifest, and what has been said since; see commit.sh.
  if { IFS= read -r m <"$g/delta"; } 2>/dev/null; then
    if [ "$m" = "${h%% *}" ]; then h=$(sha <"$g/delta"); else h=; fi
  fi
  say manifest "${h%% *}"
fi
if cd "$root" 2>/dev/null; then
  # What kind of file system it is, as GNU's or busybox's stat says, or the list of mounts.
  kind=$(stat -f -c %T . 2>/dev/null)
  # BSD's stat takes the flag for a format.
  case $kind in -c*) kind= ;; esac
  if [ -z "$kind" ]; then
    d=$(df -P . 2>/dev/null | sed -n '2s/ .*//p')
    kind=$(mount 2>/dev/null | sed -n "s|^$d on .*(\([A-Za-z0-9]*\).*|\1|p" | head -n 1)
  fi
  say kind "$kind"
  # The marker under another case: the same file, when the file system does not tell the two apart.
  other=$(printf '%s' "$marker" | tr 'A-Za-z' 'a-zA-Z')
  if [ -e "$marker" ] && [ "$other" != "$marker" ]; then
    a=$(ls -di "$marker") b=$(ls -di "$other" 2>/dev/null)
    if [ "${a%% "$marker"}" = "${b%% "$other"}" ]; then say case blind; else say case exact; fi
  fi
fi
printf '%s END\n' "$nonce"
