#!/usr/bin/env bash
# From a fresh clone to answers: ./quickstart.sh [FILE] Installs what is missing (Debian, as root or with sudo), builds,
# indexes FILE into embedjobs.db (an OpenAPI document, JSON or YAML; without it the admin API of a gateway, which comes
# with the project) and asks a question. EMBEDJOBS_QUESTION asks another one; EMBEDJOBS_DB names another database;
# EMBEDJOBS_SKIP_INSTALL=1 installs nothing.
set -euo pipefail
root=$(cd "$(dirname "$0")" && pwd)

case "${1:-}" in
  -h | --help)
    sed -n '2,6s/^# //p' "$0"
    exit 0
    ;;
  -*)
    echo "usage: ./quickstart.sh [FILE]; ./quickstart.sh --help says more" >&2
    exit 2
    ;;
esac
if [ $# -gt 1 ]; then
  echo "usage: ./quickstart.sh [FILE]" >&2
  exit 2
fi
if [ $# -eq 1 ]; then
  file=$1
  question=${EMBEDJOBS_QUESTION:-list all users}
else
  file=$root/examples/data/gateway-admin.yaml
  question=${EMBEDJOBS_QUESTION:-how do I rotate an API key}
fi
if [ ! -e "$file" ]; then
  echo "error: there is no file '$file'" >&2
  exit 1
fi

# shellcheck source=.ci/install.sh
. "$root/.ci/install.sh"
ensure_packages "${build_packages[@]}"

build=$root/build/release
echo "building in $build (the first time takes a few minutes)" >&2
log=$(mktemp)
trap 'rm -f "$log"' EXIT
# Lets the step that a build is at through to a terminal: "[12/60] Building ..." becomes "12 of 60 steps".
show_steps() {
  if [ -t 2 ]; then
    sed -un 's,^\[\([0-9]*\)/\([0-9]*\)\].*,\1 of \2 steps,p' |
      while read -r steps; do printf '\r  %s ' "$steps" >&2; done
    printf '\r\033[K' >&2
  else
    cat > /dev/null
  fi
}
if ! { cmake -S "$root" -B "$build" -G Ninja -DCMAKE_BUILD_TYPE=Release -DEMBEDJOBS_BUILD_TESTS=OFF &&
  cmake --build "$build" --target embedjobs_command; } 2>&1 | tee "$log" | show_steps; then
  cat "$log" >&2
  echo "error: the build failed; the lines above say why. Needed are $other_systems" >&2
  exit 1
fi
embedjobs=$build/examples/command/embedjobs

"$embedjobs" index "$file"
echo
echo "\"$question\":"
"$embedjobs" search default "$question" -k 5
echo
echo "Ask more with: $embedjobs search default \"...\""
