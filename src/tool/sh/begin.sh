# Lays the folder of a run: the engine's working copy of the current archives, and the wrapper that starts the engine and
# leaves its pid where a later run can find it.
export LC_ALL=C
umask 077
for v in nonce state pair run gen site unison; do IFS= read -r "$v" || exit 97; done
case $state in /*) ;; *) state=$HOME/$state ;; esac
p=$state/pairs/$pair
r=$p/runs/$run
{ [ ! -e "$r/unison" ] && [ ! -L "$r/unison" ]; } || rm -rf "$r/unison"
mkdir -p "$r/unison" "$r/backup" "$p/archives" || exit 1
chmod 700 "$state" "$state/pairs" "$p" "$r"
[ -z "$gen" ] || [ ! -d "$p/archives/$gen/unison" ] || cp -pR "$p/archives/$gen/unison/." "$r/unison/" || exit 1
: >"$r/unison/default.prf"
# Quoted once, here, so that no other text is ever pasted into a command. Sets q.
quote() {
  case $1 in
  *\'*) q=$(printf '%s' "$1" | sed "s/'/'\\\\''/g;1s/^/'/;\$s/\$/'/") ;;
  *) q="'$1'" ;;
  esac
}
{
  echo "LC_ALL=C TZ=UTC; export LC_ALL TZ"
  quote "$r/unison"; printf 'UNISON=%s\n' "$q"
  quote "$r/backup"; printf 'UNISONBACKUPDIR=%s\n' "$q"
  quote "$site"; printf 'UNISONLOCALHOSTNAME=%s\n' "$q"
  echo "export UNISON UNISONBACKUPDIR UNISONLOCALHOSTNAME"
  # As the agent does it: a program that is started here is waited for by both hosts.
  echo 'born() { b=${b##*) }; set -f; set -- $b; set +f; b=${20}; }'
  echo 'if { IFS= read -r b <"/proc/$$/stat"; } 2>/dev/null; then born; else b=$(ps -o lstart= -p $$ | tr -s " " _); fi'
  quote "$state/lock.d"; printf 'echo "$$ $b" >%s/engine.%s || exit 96\n' "$q" "$run"
  quote "$unison"; printf 'exec %s "$@"\n' "$q"
} >"$r/engine.sh" || exit 1
printf '\n%s BEGIN\nrundir %s\n%s END\n' "$nonce" "$r" "$nonce"
