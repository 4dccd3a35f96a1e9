# What a peer's logs are right now: the members of globs, and for each named file its facts and the hashes of the ranges asked
# for. Paths come escaped for printf %b, one a line; nothing is followed that leads out of the root.
export LC_ALL=C TZ=UTC
for v in nonce root rsync globs items; do IFS= read -r "$v" || exit 97; done
case $root in /*) ;; *) root=$HOME/$root ;; esac
if command -v sha256sum >/dev/null 2>&1; then h() { sha256sum; }
elif command -v shasum >/dev/null 2>&1; then h() { shasum -a 256; }
else h() { openssl dgst -sha256 -r; }; fi
# Slower to start and several times faster.
if command -v openssl >/dev/null 2>&1; then big() { openssl dgst -sha256 -r; }; else big() { h; }; fi
printf '\n%s BEGIN\n' "$nonce"
if cd "$root" 2>/dev/null; then top=$(pwd -P); echo "root 1"; else top=; fi
if find / -prune -printf '' 2>/dev/null; then style=gnu; elif stat -f %z / >/dev/null 2>&1; then style=bsd; else style=none; fi
# What it takes is what it can: nothing is run, because --version ends it.
takes() { v=$("$rsync" --times --append --partial --from0 --files-from=/dev/null "$@" --version 2>/dev/null); }
if [ -n "$rsync" ]; then
  nl='
'
  if takes --append-verify; then
    case $v in *zstd*) z=' zstd' ;; *) z= ;; esac
    echo "modern ${v%%"$nl"*}$z"
  elif takes; then echo "old ${v%%"$nl"*}"; fi
fi
# Whether a directory (relative to the root, or absolute) is where it says: a relative one must not lead out of the root.
inside() {
  case $1 in
  /*) [ -d "$1" ] ;;
  *) [ -n "$top" ] && real=$(cd "$1" 2>/dev/null && pwd -P) && case $real/ in "$top"/*) : ;; *) return 1 ;; esac ;;
  esac
}
facts() {
  case $style in
  gnu) find "$1" -prune -printf '%i %s %T@' ;;
  bsd) stat -f '%i %z %Fm' "$1" ;;
  *)
    set -- "$1" $(ls -niL "$1")
    echo "$2 $7 $(date -r "$1" +%s 2>/dev/null || echo 0)"
    ;;
  esac
}
i=0
while [ "$i" -lt "$globs" ]; do
  IFS= read -r depth
  IFS= read -r x
  x=$(printf '%b/.' "$x")
  if inside "$x"; then
    printf '%s-%s SWEEP %s\n' "$nonce" "$i" "$style"
    f='%y\0%s\0%T@\0%C@\0%i\0%m\0%p\0%l\0'
    rc=9
    case $style in
    gnu) (cd "$x" && find . -maxdepth "$depth" ! -type d -printf "$f") 2>/dev/null; rc=$? ;;
    bsd) (cd "$x" && find . -maxdepth "$depth" ! -type d -print0 | xargs -0 stat -f "%n$nonce-$i|%HT|%z|%Fm|%Fc|%i|%Lp|%N$nonce-$i%Y"; find . -maxdepth "$depth" >/dev/null) 2>/dev/null; rc=$? ;;
    esac
    # What could not be read is not gone.
    printf '\0\n%s-%s SWEPT %s\n\0\n' "$nonce" "$i" "$rc"
  else
    [ -d "$x" ] && why=outside || why=missing
    printf '%s-%s SWEEP %s\n\0\n%s-%s SWEPT 0\n\0\n' "$nonce" "$i" "$why" "$nonce" "$i"
  fi
  i=$((i + 1))
done
j=0
while [ "$j" -lt "$items" ]; do
  IFS= read -r zip
  IFS= read -r x
  IFS= read -r ranges
  IFS= read -r tail
  x=$(printf '%b.' "$x") x=${x%.}
  case $x in */*) d=${x%/*}/. ;; *) d=. ;; esac
  case $x in /*) ;; *) x=./$x d=./$d ;; esac
  if [ -L "$x" ]; then echo "item $j link"
  elif [ -d "$x" ]; then echo "item $j directory"
  elif [ ! -e "$x" ]; then echo "item $j missing"
  elif ! inside "$d"; then echo "item $j outside"
  elif [ ! -f "$x" ]; then echo "item $j special"
  elif [ ! -r "$x" ]; then echo "item $j unreadable"
  else
    set -- $(facts "$x")
    size=$2
    if [ "$zip" = 1 ]; then
      get() { gzip -dc <"$x" 2>/dev/null | tail -c +"$1"; }
      gzip -t <"$x" 2>/dev/null || { echo "item $j special"; j=$((j + 1)); continue; }
      size=$(gzip -dc <"$x" 2>/dev/null | wc -c)
      size=$((size))
    else get() { tail -c +"$1" "$x" 2>/dev/null; }
    fi
    echo "item $j file $1 $size $3"
    for r in $ranges; do
      o=${r%%:*} l=${r#*:}
      [ "$size" -ge $((o + l)) ] || continue
      # Of a whole chunk dd knows where to begin and to end: one program instead of two, and no pipe between them.
      if [ "$zip$l$style" = 01048576gnu ] && [ $((o % l)) -eq 0 ]; then s=$(dd if="$x" bs="$l" skip=$((o / l)) count=1 iflag=fullblock 2>/dev/null | h)
      elif [ "$l" -lt 16777216 ]; then s=$(get $((o + 1)) | head -c "$l" | h)
      elif [ "$zip$r" = "00:$size" ] && [ -z "$(find "$x" -prune -size +"$size"c 2>/dev/null)" ]; then s=$(big <"$x")
      else s=$(get $((o + 1)) | head -c "$l" | big); fi
      echo "hash $j $r ${s%% *}"
    done
    [ -z "$tail" ] || [ "$size" -le "$tail" ] || [ $((size - tail)) -gt 4194304 ] || {
      n=$(get $((tail + 1)) | wc -l)
      echo "lines $j $((n))"
    }
  fi
  j=$((j + 1))
done
printf '%s END\n' "$nonce"
