#!/usr/bin/env bash
# Tries the commands of the README on a bare machine: a minimal Debian 12 with git and ca-certificates, in a folder.
#
#   tests/bare_machine.sh [all]         ./quickstart.sh, and then ./test.sh
#   tests/bare_machine.sh quickstart    } one of them
#   tests/bare_machine.sh test          }
#   tests/bare_machine.sh package       the tests of the packages (pip, find_package, pkg-config, C), and what they need
#   tests/bare_machine.sh run COMMAND   anything else, in bash
#
# What is tried is a clone of HEAD, without what is not committed. The bare machine has nothing of this one but the ways
# to the package registries: apt's sources, proxies, certificates, pip's configuration. It takes root and debootstrap;
# without them it ends with 77 (skipped) and a line that says why. The minimal Debian is kept in build/bare for the next
# time; delete it there to get a newer one. EMBEDJOBS_JOBS and EMBEDJOBS_CMAKE_ARGS are what they are to test.sh.
#
# "package" shares the cache of ccache, where there is one, and puts the clone at the path of this one: what ./test.sh
# compiled here is not compiled again there.
set -euo pipefail
script=$(readlink -f "$0")
cd "$(dirname "$script")/.."
suite=bookworm

skip() {
  echo "skipped: $1"
  exit 77
}

# What a machine has besides files. In namespaces of its own, where nobody else sees it.
mount_devices() {
  local root=$1 device
  mount -t proc proc "$root/proc"
  mount -t sysfs -o ro sysfs "$root/sys"
  mount -t tmpfs -o mode=755 tmpfs "$root/dev"
  for device in null zero full random urandom tty; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
  done
  mkdir "$root/dev/pts" "$root/dev/shm"
  mount -t devpts -o newinstance,ptmxmode=0666 devpts "$root/dev/pts"
  mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
  ln -s pts/ptmx "$root/dev/ptmx"
  ln -s /proc/self/fd "$root/dev/fd"
  ln -s /proc/self/fd/0 "$root/dev/stdin"
  ln -s /proc/self/fd/1 "$root/dev/stdout"
  ln -s /proc/self/fd/2 "$root/dev/stderr"
}

# run_inside ROOT CCACHE: the script /root/command of the bare machine. CCACHE: a folder of ccache to share, or nothing.
run_inside() {
  local root=$1 ccache=$2 name
  mount_devices "$root"
  local environment=(HOME=/root "TERM=${TERM:-dumb}")
  environment+=(PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin)
  local kept=({http,https,all,no}_proxy {HTTP,HTTPS,ALL,NO}_PROXY
    PIP_{INDEX_URL,EXTRA_INDEX_URL,TRUSTED_HOST,CERT,PROXY,DEFAULT_TIMEOUT,RETRIES} EMBEDJOBS_{JOBS,CMAKE_ARGS})
  if [ -n "$ccache" ]; then
    # ccache has objects for each language, since a compiler's messages are in it.
    kept+=(LANG LC_{ALL,CTYPE,MESSAGES})
    mkdir "$root/root/ccache"
    mount --bind "$ccache" "$root/root/ccache"
    environment+=(CCACHE_DIR=/root/ccache "CCACHE_MAXSIZE=$(ccache -k max_size)" "CCACHE_BASEDIR=$(ccache -k base_dir)")
    if [ "$(ccache -k hash_dir)" = false ]; then
      environment+=(CCACHE_NOHASHDIR=1)
    fi
  fi
  for name in "${kept[@]}"; do
    if [ -n "${!name:-}" ]; then
      environment+=("$name=${!name}")
    fi
  done
  exec chroot "$root" env -i "${environment[@]}" /bin/bash -euo pipefail /root/command
}

# For the bare machine: the package tests, with the packages that they take and no more. package_tests [ccache]
# shellcheck disable=SC1091,SC2154,SC2317
package_tests() {
  . .ci/install.sh
  ensure_packages "${build_packages[@]}" "${package_test_packages[@]}" "$@"
  local jobs=${EMBEDJOBS_JOBS:-$(nproc)}
  # The words are separate arguments.
  # shellcheck disable=SC2086
  cmake --preset release -B build/test -DEMBEDJOBS_BUILD_TESTS=ON ${EMBEDJOBS_CMAKE_ARGS:-}
  cmake --build build/test -j "$jobs" --target embedjobs embedjobs_c embedjobs_command
  ctest --test-dir build/test --output-on-failure -j "$jobs" -L package
}

clone=/root/embedjobs
ccache=
case "${1:-all}" in
  --inside)
    run_inside "$2" "$3"
    ;;
  all) command=$'./quickstart.sh\n./test.sh' ;;
  quickstart) command=./quickstart.sh ;;
  test) command=./test.sh ;;
  package)
    command="$(declare -f package_tests)"$'\npackage_tests'
    if command -v ccache > /dev/null && mkdir -p "$(ccache -k cache_dir)"; then
      ccache=$(ccache -k cache_dir) clone=$PWD command="$command ccache"
    fi
    ;;
  run) command=${2:?usage: tests/bare_machine.sh run COMMAND} ;;
  -h | --help)
    sed -n '2,/^set /s/^# \{0,1\}//p' "$script"
    exit 0
    ;;
  *)
    echo "usage: tests/bare_machine.sh [all | quickstart | test | package | run COMMAND]" >&2
    exit 2
    ;;
esac

[ "$(id -u)" -eq 0 ] || skip "a bare machine takes root to make"
[ -z "${EMBEDJOBS_SKIP_INSTALL:-}" ] || skip "EMBEDJOBS_SKIP_INSTALL is set, and a bare machine installs packages"
command -v debootstrap > /dev/null || skip "there is no debootstrap (Debian: apt-get install debootstrap)"
unshare --mount --pid --ipc --fork true 2> /dev/null || skip "root may not make namespaces here"

work=$PWD/build/bare
base=$work/$suite-$(dpkg --print-architecture).tar.gz
root=$work/root.$$
child=
# Invoked by the trap.
# shellcheck disable=SC2317
clean_up() {
  if [ -n "$child" ]; then
    kill -KILL "$child" 2> /dev/null || true
  fi
  # What is being killed may still write.
  for _ in {1..100}; do
    rm -rf "$root" "$base.$$" 2> /dev/null && return
    sleep 0.1
  done
}
trap clean_up EXIT
trap 'exit 130' INT
trap 'exit 143' TERM HUP

# in_namespaces COMMAND...: when it ends, or this script does, in whatever way, all its processes and mounts are gone.
in_namespaces() {
  local status=0
  # In a process group of its own: what a script starts in the background without one ignores Ctrl-C, and so do tests.
  set -m
  setpriv --pdeathsig KILL -- unshare --mount --pid --ipc --fork --kill-child --mount-proc -- "$@" < /dev/null &
  child=$!
  set +m
  wait "$child" || status=$?
  child=
  return "$status"
}

# Debian's own sources among those of this machine, as lines of sources.list. None where it is of another suite.
debian_sources() {
  # shellcheck disable=SC2016
  apt-get indextargets --format '$(ORIGIN) $(CODENAME) deb $(REPO_URI) $(RELEASE) $(COMPONENT)' 'Created-By: Packages' |
    sed -nE "s,^Debian $suite(-updates|-security)? (deb https?:),\2,p" | sort -u
}

make_minimal_debian() {
  local mirror proxy=
  # Without one debootstrap takes its own.
  mirror=$(sed -nE "s,^deb ([^ ]*) $suite main$,\1,p" <<< "$sources" | head -1)
  eval "$(apt-config shell proxy Acquire::http::Proxy)"
  if ! http_proxy=${http_proxy:-$proxy} in_namespaces debootstrap --variant=minbase --include=git,ca-certificates \
    "$suite" "$root" ${mirror:+"$mirror"} > "$work/debootstrap.log" 2>&1; then
    tail -20 "$work/debootstrap.log" >&2
    tail -20 "$root/debootstrap/debootstrap.log" >&2 2> /dev/null || true
    echo "error: debootstrap could not make a minimal Debian; the lines above say why" >&2
    exit 1
  fi
  rm -rf "$root"/var/cache/apt/archives/*.deb "$root"/var/lib/apt/lists/* "${root:?}"/dev/*
  tar -czf "$base.$$" -C "$root" .
  mv "$base.$$" "$base"
}

# copy FILE DESTINATION: if it is there.
copy() {
  if [ -f "$1" ]; then
    mkdir -p "$(dirname "$root$2")"
    cp -L "$1" "$root$2"
  fi
}

copy_ways_to_registries() {
  if [ -n "$sources" ]; then
    echo "$sources" > "$root/etc/apt/sources.list"
  fi
  # How apt downloads, not which indexes it keeps.
  local other='IndexTargets|Changelogs|CompressionTypes|Languages|GzipIndexes|cdrom'
  apt-config dump | grep '^Acquire::' | grep -vE "^Acquire::($other)" > "$root/etc/apt/apt.conf.d/90downloads" || true
  copy /etc/resolv.conf /etc/resolv.conf
  copy /etc/hosts /etc/hosts
  copy /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
  copy "${PIP_CERT:-}" "${PIP_CERT:-}"
  copy /etc/pip.conf /etc/pip.conf
  copy ~/.pip/pip.conf /root/.pip/pip.conf
  copy ~/.config/pip/pip.conf /root/.config/pip/pip.conf
}

mkdir -p "$root"
# What runs that were killed have left.
for left in "$work"/root.* "$base".*; do
  kill -0 "${left##*.}" 2> /dev/null || rm -rf "$left"
done
sources=$(debian_sources)
if [ -z "$sources" ]; then
  apt-get update > /dev/null || true
  sources=$(debian_sources)
fi
if [ -e "$base" ]; then
  tar -xzf "$base" -C "$root"
else
  echo "making a minimal Debian in build/bare" >&2
  make_minimal_debian
fi
copy_ways_to_registries
if [ -n "$(git status --porcelain)" ]; then
  echo "note: what is not committed is not tried" >&2
fi
mkdir -p "$root$clone"
git clone --quiet --depth 1 "file://$PWD" "$root$clone"
printf 'cd %q\n%s\n' "$clone" "$command" > "$root/root/command"

status=0
in_namespaces bash "$script" --inside "$root" "$ccache" || status=$?
echo "bare machine: '${1:-all}' ended with $status after $SECONDS s"
exit "$status"
