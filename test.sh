#!/usr/bin/env bash
# Everything that a contributor should see pass, in minutes: ./test.sh [--full] Installs what tests need (Debian, as
# root or with sudo), builds in build/test and runs ctest. --full adds the long tiers. EMBEDJOBS_SPEC_DIR: a folder of
# real OpenAPI documents; tests that want them are skipped, visibly, without it. EMBEDJOBS_CMAKE_ARGS: more arguments
# for CMake. EMBEDJOBS_PRESET: which of CMakePresets.json (dev). EMBEDJOBS_JOBS: how many things at a time.
set -euo pipefail
cd "$(dirname "$0")"

exclude=(-LE full)
full=
case "${1:-}" in
  "") ;;
  --full)
    exclude=()
    full=1
    ;;
  *)
    echo "usage: ./test.sh [--full]" >&2
    exit 2
    ;;
esac
# shellcheck source=.ci/install.sh
. .ci/install.sh
keep_clusters_away
ensure_packages "${build_packages[@]}" "${test_packages[@]}"
# Of use to root alone.
if [ -n "$full" ] && [ "$(id -u)" -eq 0 ]; then
  ensure_packages "${full_packages[@]}"
fi
# Tests that want it say that they are skipped where it can't be had.
tests/support/pgvector_server.sh build/pgvector || true
ensure_go

jobs=${EMBEDJOBS_JOBS:-$(nproc)}
# The words are separate arguments.
# shellcheck disable=SC2086
cmake --preset "${EMBEDJOBS_PRESET:-dev}" -B build/test ${EMBEDJOBS_CMAKE_ARGS:-}
cmake --build build/test -j "$jobs"
ctest --test-dir build/test --output-on-failure -j "$jobs" "${exclude[@]}"
