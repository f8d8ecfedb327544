#!/usr/bin/env bash
# pip install ./capi/python into a fresh environment: it compiles the library, bundles it, and downloads nothing. pip.sh
# SOURCE WORK PYTHON
set -euo pipefail
source_dir=$1 work=$2 python=$3
if ! "$python" -c 'import venv, ensurepip' 2> /dev/null; then
  echo "SKIPPED: $python has no venv (on Debian: python3-venv)"
  exit 77
fi
# As a user's shell has them: nothing of the build that runs this test reaches the package's own.
unset EMBEDJOBS_LIBRARY EMBEDJOBS_CMAKE_ARGS CMAKE_GENERATOR PYTHONPATH
rm -rf "$work"
"$python" -m venv "$work"
"$work/bin/pip" install --quiet --no-index --disable-pip-version-check "$source_dir/capi/python"
cd "$work"
bin/python -c '
import embedjobs, sys
assert embedjobs.__file__.startswith(sys.prefix)
with embedjobs.Engine("memory:") as engine:
    engine.put_items("catalog", "spec", [("a", "hello")])
    assert engine.wait_idle().idle
    assert [hit.operation_id for hit in engine.search("catalog", "hello")] == ["a"]
'
