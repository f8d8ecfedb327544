# shellcheck shell=bash
# Sourced by .ci/run: stages, what each one took, and builds by preset.
stage_names=()
stage_walls=()
stage_processors=()
stage_name=

# Into $processors: the processor seconds, user and system, of all that ended so far. Not in a subshell, which has
# times of its own.
count_processors() {
  times > build/times
  # "0m1.23s 0m0.45s": of the shell, and in the second line of what it started.
  processors=$(awk '{ for (i = 1; i <= 2; i++) { split($i, part, /[ms]/); sum += part[1] * 60 + part[2] } }
    END { printf "%d\n", sum }' build/times)
}

end_stage() {
  if [ -n "$stage_name" ]; then
    count_processors
    stage_names+=("$stage_name")
    stage_walls+=($((SECONDS - stage_began)))
    stage_processors+=($((processors - stage_began_processors)))
    stage_name=
  fi
}

# stage NAME: the one before has ended.
stage() {
  end_stage
  stage_name=$*
  stage_began=$SECONDS
  count_processors
  stage_began_processors=$processors
  printf '\n== %s (%d s)\n' "$*" "$SECONDS"
}

# Processor time says what a stage costs on a busy machine too.
print_stages() {
  local i
  end_stage
  printf '\n%10s %14s  %s\n' "seconds" "of processors" "stage"
  for i in "${!stage_names[@]}"; do
    printf '%10d %14d  %s\n' "${stage_walls[i]}" "${stage_processors[i]}" "${stage_names[i]}"
  done
  printf '%10d %14d  %s\n' "$SECONDS" "$processors" "all"
}

# build PRESET [ARGUMENTS...] [-- TARGETS...]: in build/PRESET. Prints only when it fails, and fails on a warning.
build() {
  local preset=$1 arguments=() targets=()
  shift
  while [ $# -gt 0 ] && [ "$1" != -- ]; do
    arguments+=("$1")
    shift
  done
  if [ $# -gt 1 ]; then
    targets=(--target "${@:2}")
  fi
  cmake --preset "$preset" "${arguments[@]}" > "build/$preset.configure.log" 2>&1 || {
    cat "build/$preset.configure.log"
    return 1
  }
  nice cmake --build "build/$preset" -j "$jobs" "${targets[@]}" > "build/$preset.log" 2>&1 || {
    tail -50 "build/$preset.log"
    return 1
  }
  if grep 'warning:' "build/$preset.log"; then
    return 1
  fi
}

# Some kernels place memory where the thread sanitizer can't have it; without address randomisation they don't.
fixed_addresses=()
if setarch "$(uname -m)" -R true 2> /dev/null; then
  fixed_addresses=(setarch "$(uname -m)" -R)
fi

# tests_of PRESET ARGUMENTS...: ctest, with what it says at its end.
tests_of() {
  local preset=$1
  shift
  "${fixed_addresses[@]}" ctest --test-dir "build/$preset" --output-on-failure -j "$jobs" "$@" \
    > "build/$preset.tests.log" 2>&1 || {
    tail -100 "build/$preset.tests.log"
    return 1
  }
  tail -25 "build/$preset.tests.log"
}

# tidy ARGUMENTS...: clang-tidy with them. Prints only what it found.
tidy() {
  run-clang-tidy-14 -quiet -j "$jobs" "$@" > build/tidy.log 2> /dev/null || {
    grep -E 'warning:|error:' build/tidy.log | sort -u
    return 1
  }
}

# Third-party sources and tests are not ours to lint; generated files neither. The build asan compiles a folder at a
# time, so a folder's headers are read once here too.
lint() {
  local folders="build/asan/.*/Unity/unity_(src|capi_src)_.*" alone="(src|capi/src)/.*\.cpp" using
  tidy -p build/asan -header-filter='(include/embedjobs|src)/.*\.(hpp|cpp)$' -checks=-bugprone-suspicious-include \
    "^$PWD/($folders|$alone)$"
  # Names that are declared and not used are looked for in a file that is compiled by itself only.
  mapfile -t using < <(grep -lE '^ *using [A-Za-z_:]+::[A-Za-z_]+;' -r src capi/src --include='*.cpp')
  tidy -p build/release -checks='-*,misc-unused-using-decls,misc-unused-alias-decls' \
    -extra-arg=-Wno-unknown-warning-option "${using[@]}"
}

# bare_machine MODE: tests/bare_machine.sh; says so where it can't be run here.
bare_machine() {
  local status=0
  nice tests/bare_machine.sh "$1" > build/bare_machine.log 2>&1 || status=$?
  case $status in
    0) sed -n '/tests passed/,$p' build/bare_machine.log ;;
    77) tail -1 build/bare_machine.log ;;
    *)
      tail -100 build/bare_machine.log
      return 1
      ;;
  esac
}
