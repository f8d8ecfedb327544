#!/usr/bin/env bash
# The Python package as users get it: pip installs it into a fresh environment, with the library of this build, and the
# tests run against it.
set -euo pipefail
: "${SOURCE_DIR:?}" "${EMBEDJOBS_LIBRARY:?}" "${PYTHON:?}" "${WORK_DIR:?}"
if ! "$PYTHON" -c 'import venv, ensurepip' 2> /dev/null; then
  echo "SKIPPED: $PYTHON has no venv (on Debian: python3-venv)"
  exit 77
fi
rm -rf "$WORK_DIR"
"$PYTHON" -m venv --system-site-packages "$WORK_DIR"
"$WORK_DIR/bin/pip" install --quiet --no-index --disable-pip-version-check "$SOURCE_DIR/capi/python"
# The source distribution, which is not in the repository any more, makes the same.
make_sdist='import build_backend, sys; print(build_backend.build_sdist(sys.argv[1]))'
sdist=$(cd "$SOURCE_DIR/capi/python" && "$PYTHON" -Bc "$make_sdist" "$WORK_DIR")
"$WORK_DIR/bin/pip" install --quiet --no-index --disable-pip-version-check --target "$WORK_DIR/sdist" "$WORK_DIR/$sdist"
diff -r -x __pycache__ "$WORK_DIR/sdist/embedjobs" "$(echo "$WORK_DIR"/lib/python*/site-packages)/embedjobs"
# From here on the library is the one that the wheel brought.
unset EMBEDJOBS_LIBRARY PYTHONPATH
export PYTHONDONTWRITEBYTECODE=1
if "$PYTHON" -c 'import mypy' 2> /dev/null; then
  "$PYTHON" -m mypy --strict --cache-dir "$WORK_DIR/mypy" "$SOURCE_DIR/capi/python/embedjobs"
else
  echo "left out: mypy is not installed"
fi
cd "$SOURCE_DIR/tests/python"
"$WORK_DIR/bin/python" -c 'import embedjobs, sys; sys.exit(sys.prefix not in embedjobs.__file__)'
exec "$WORK_DIR/bin/python" -m unittest "$@"
