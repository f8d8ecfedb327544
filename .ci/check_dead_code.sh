#!/usr/bin/env bash
# check_dead_code.sh BUILD_DIR: functions inside the library that nothing which a host can call leads to.
# Links the whole library with its public functions as roots and lets the linker say what it would throw away.
# The build needs -ffunction-sections.
set -euo pipefail
build=$1
library=$build/libembedjobs.a
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

# Public: what stands in namespace embedjobs itself. Internals stand in embedjobs::core, embedjobs::sqlite and so on.
internal='^(core|openapi|hashing|http|items|memory|postgres|sqlite)::'
nm --defined-only "$library" 2> /dev/null | awk '$2 == "T" {print $3}' | sort -u > "$work/mangled"
c++filt < "$work/mangled" | sed -n 's/^embedjobs:://p; t; s/.*//p' > "$work/names"
paste "$work/mangled" "$work/names" |
  awk -F '\t' -v internal="$internal" '$2 != "" && $2 !~ internal {print "-Wl,-u," $1}' > "$work/roots"
if [ ! -s "$work/roots" ]; then
  echo "check_dead_code.sh: found no public function in $library" >&2
  exit 1
fi
g++ -shared -o "$work/all.so" @"$work/roots" -Wl,--gc-sections -Wl,--print-gc-sections -Wl,--whole-archive "$library" \
  -Wl,--no-whole-archive -lsqlite3 -lpq -lcurl -lsimdjson -lyaml -lfmt -lcrypto > "$work/removed" 2>&1 || {
  cat "$work/removed"
  exit 1
}
# Templates and inline functions of headers are emitted wherever they are seen; only our own, out of line, count.
sed -n "s/.*removing unused section '\.text\.\([^']*\)'.*/\1/p" "$work/removed" |
  grep -E '^_ZNK?9embedjobs' | sort -u > "$work/dead" || true
comm -12 "$work/dead" "$work/mangled" | c++filt > "$work/named"
if [ -s "$work/named" ]; then
  echo "nothing that a host can call leads to these functions:"
  sed 's/^/  /' "$work/named"
  exit 1
fi
echo "no dead functions ($(wc -l < "$work/roots") public ones as roots)"
