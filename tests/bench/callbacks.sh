#!/usr/bin/env bash
# What a chunk costs through each language's embedder callback, beyond a C++ embedder that does the same: callbacks.sh
# BUILD_FOLDER
set -euo pipefail
source_dir=$(cd "$(dirname "$0")/../.." && pwd)
build=$(cd "${1:?usage: callbacks.sh BUILD_FOLDER}" && pwd)/tests/bench
"$build/capi_bench"
export EMBEDJOBS_LIBRARY=$build/callback_library/libembedjobs_c.so.1 LD_LIBRARY_PATH=$build/callback_library
python=python3
[ ! -x /usr/bin/python3 ] || python=/usr/bin/python3
BENCH_LANGUAGE=Python PYTHONDONTWRITEBYTECODE=1 PYTHONPATH=$source_dir/capi/python \
  "$python" "$source_dir/tests/bench/callback.py"
export PATH=$PATH:/usr/local/go/bin
if command -v go > /dev/null; then
  cd "$source_dir/tests/bench/go"
  CGO_CFLAGS="-I$source_dir/capi" BENCH_LANGUAGE=Go PKG_CONFIG_PATH=$build/callback_library go run .
else
  echo "left out: there is no go"
fi
