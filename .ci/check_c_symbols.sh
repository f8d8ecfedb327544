#!/usr/bin/env bash
# check_c_symbols.sh LIBRARY: it exports everything that embedjobs.h declares and nothing else, and is linked as
# promised.
set -euo pipefail
library=$1
header=$(cd "$(dirname "$0")/../capi" && pwd)/embedjobs.h
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

nm -D --defined-only "$library" | awk '$2 != "A" {print $3}' | sed 's/@.*//' | sort > "$work/exported"
sed -n 's/^EMBEDJOBS_API .*[ *]\(embedjobs_[a-z_]*\)(.*/\1/p' "$header" | sort > "$work/declared"
if ! diff "$work/declared" "$work/exported" > "$work/difference"; then
  echo "declared in embedjobs.h (<) and exported (>) differ:" >&2
  cat "$work/difference" >&2
  exit 1
fi
readelf -d "$library" > "$work/dynamic"
grep -q 'SONAME.*\[libembedjobs_c\.so\.1\]' "$work/dynamic" || {
  echo "the SONAME is not libembedjobs_c.so.1" >&2
  exit 1
}
grep -q NODELETE "$work/dynamic" || { echo "the library is not linked with -z nodelete" >&2; exit 1; }
echo "$(wc -l < "$work/exported") symbols, all of embedjobs.h and no other"
