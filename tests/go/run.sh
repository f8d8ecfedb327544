#!/usr/bin/env bash
# The Go package against the library of this build: vet, tests, the race detector, and both checks of what cgo passes.
set -euo pipefail
: "${SOURCE_DIR:?}" "${LIBRARY_DIR:?}" "${WORK_DIR:?}"
# The first one that is new enough: of the caller, of the usual folder, of the system's packages, of PyPI
# (.ci/install.sh).
version=
callers=$(dirname "$(command -v go || echo none)")
for folder in "$callers" /usr/local/go/bin /usr/lib/go-1.*/bin "$SOURCE_DIR/build/go/bin"; do
  version=$("$folder/go" env GOVERSION 2> /dev/null || true)
  if [ "$(printf 'go1.22\n%s\n' "${version:-go0}" | sort -V | head -1)" = go1.22 ]; then
    PATH=$("$folder/go" env GOROOT)/bin:$PATH
    break
  fi
  version=
done
if [ -z "$version" ]; then
  echo "SKIPPED: there is no go (1.22 or later)"
  exit 77
fi
echo "with $version"
export PKG_CONFIG_PATH=$WORK_DIR LD_LIBRARY_PATH=$LIBRARY_DIR${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH}
export GOFLAGS=-mod=mod GOPROXY=off GOTOOLCHAIN=local
cd "$SOURCE_DIR/capi/go"
unformatted=$(gofmt -l .)
[ -z "$unformatted" ] || { echo "not as gofmt writes it: $unformatted"; exit 1; }
go vet ./...
GODEBUG=cgocheck=1 go test -count=1 -race ./...
GOEXPERIMENT=cgocheck2 go test -count=1 ./...
cd "$SOURCE_DIR/examples/go"
go vet ./...
go test -count=1 ./...
