#!/bin/sh
# Builds and runs a consumer in one of five ways: find_package, pkg-config, pkg-config-c, add_subdirectory, kit.
# run.sh WAY SOURCE_DIR BUILD_DIR CXX: BUILD_DIR is a finished build, which is installed to a folder of its own.
#
# With ccache, add_subdirectory takes the library's objects from the cache: its build is as far from the sources as the
# other builds are, so that the paths in them are equal.
set -eu
way=$1 source=$2 build=$3 cxx=$4
work=$(mktemp -d)
beside=
trap 'rm -rf "$work" ${beside:+"$beside"}' EXIT INT TERM
here=$source/tests/package
launcher=
if command -v ccache > /dev/null; then
  launcher="-DCMAKE_CXX_COMPILER_LAUNCHER=ccache -DEMBEDJOBS_TEST_LAUNCHER=1"
fi

case $way in
  find_package)
    cmake --install "$build" --prefix "$work/prefix" > /dev/null
    cmake -S "$here/consumer" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" -DCMAKE_PREFIX_PATH="$work/prefix"
    cmake --build "$work/build"
    "$work/build/consumer"
    # The tutorial's own project.
    cmake -S "$source/examples/gateway_tutorial" -B "$work/gateway" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
      -DCMAKE_PREFIX_PATH="$work/prefix"
    cmake --build "$work/gateway"
    ;;
  pkg-config)
    cmake --install "$build" --prefix "$work/prefix" > /dev/null
    PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name embedjobs.pc)")
    export PKG_CONFIG_PATH
    flags=$(pkg-config --cflags --libs --static embedjobs)
    # The words of $flags are separate arguments.
    # shellcheck disable=SC2086
    "$cxx" -std=c++20 "$here/consumer/main.cpp" -o "$work/consumer" $flags
    "$work/consumer"
    ;;
  pkg-config-c)
    cmake --install "$build" --prefix "$work/prefix" > /dev/null
    PKG_CONFIG_PATH=$(dirname "$(find "$work/prefix" -name embedjobs_c.pc)")
    export PKG_CONFIG_PATH
    flags=$(pkg-config --cflags --libs embedjobs_c)
    # shellcheck disable=SC2086
    cc -std=c99 -D_POSIX_C_SOURCE=200809L -Wall -Wextra -pedantic -Werror \
      "$source/examples/c/host.c" -o "$work/host" $flags \
      -Wl,-rpath,"$(pkg-config --variable=libdir embedjobs_c)"
    echo '{"openapi":"3.0.3","info":{"title":"t","version":"1"},"paths":{"/a":{"get":{"summary":"one"}}}}' \
      > "$work/document.json"
    "$work/host" "$work" "$work/document.json" | grep '1 operations, 1 vectors'
    ;;
  add_subdirectory)
    beside=$(mktemp -d "$(dirname "$build")/subdirectory.XXXXXX")
    # shellcheck disable=SC2086
    cmake -S "$here/subdirectory" -B "$beside" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
      -DEMBEDJOBS_SOURCE_DIR="$source" $launcher
    cmake --build "$beside" --target consumer
    "$beside/consumer"
    ;;
  kit)
    # Without the component there is no kit, and find_package says so.
    cmake --install "$build" --prefix "$work/prefix" > /dev/null
    if cmake -S "$here/kit" -B "$work/without" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
      -DCMAKE_PREFIX_PATH="$work/prefix" > "$work/log" 2>&1; then
      echo "the kit was found where it is not installed" >&2
      exit 1
    fi
    if ! grep -q 'the conformance kit is not installed' "$work/log"; then
      cat "$work/log" >&2
      exit 1
    fi
    cmake --install "$build" --prefix "$work/prefix" --component conformance > /dev/null
    # The example, away from its tree: nothing but what is installed can be included.
    cp -r "$here/kit" "$source/examples/store" "$work"
    # shellcheck disable=SC2086
    cmake -S "$work/kit" -B "$work/build" -G Ninja -DCMAKE_CXX_COMPILER="$cxx" \
      -DCMAKE_PREFIX_PATH="$work/prefix" $launcher
    cmake --build "$work/build"
    ctest --test-dir "$work/build" --output-on-failure
    "$work/build/my_store_test" | grep 'need catalog'
    ;;
  *)
    echo "run.sh: unknown way '$way'" >&2
    exit 2
    ;;
esac
echo "a consumer builds and runs by $way"
