#!/bin/sh
# The gate of the binary interface notices what breaks hosts, and lets pass what they are prepared for.
# abi_test.sh SOURCE_DIR
set -eu
source=$1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT INT TERM
command -v abidiff > /dev/null || { echo "abidiff is not installed (Debian: abigail-tools): skipped"; exit 77; }

# expect RESULT WHAT: the changed header against the baseline; the change must have been made.
expect() {
  if [ "$2" != nothing ] && cmp -s "$source/capi/embedjobs.h" "$work/embedjobs.h"; then
    echo "the test did not change the header: $2" >&2
    exit 1
  fi
  result=0
  python3 "$source/.ci/check_c_abi.py" "$work/embedjobs.h" "$source/capi/embedjobs_c.abi" > "$work/out" || result=$?
  if [ "$result" -ne "$1" ]; then
    cat "$work/out"
    echo "$2 was changed, and the gate answered $result instead of $1" >&2
    exit 1
  fi
  echo "$2: $1"
}
change() { sed "$@" "$source/capi/embedjobs.h" > "$work/embedjobs.h"; }

change ''
expect 0 nothing
change 's/^  int64_t batch_size;$/  int64_t moved;\n  int64_t batch_size;/'
expect 1 "a member in the middle of embedjobs_options"
change 's/^  const char \*dsn;$//'
expect 1 "a removed member"
change 's/^  size_t dimension;    \/\* 1 to.*$/  int32_t dimension, wider;/'
expect 1 "the type of a member"
change 's/^EMBEDJOBS_API void embedjobs_cancel_request(.*$//'
expect 1 "a removed function"
change '/^EMBEDJOBS_API int32_t embedjobs_engine_retry_failed(/s/size_t \*count,/int32_t more, size_t *count,/'
expect 1 "a parameter"
change '/^EMBEDJOBS_API int32_t embedjobs_engine_reconcile(/s/size_t \*count/int32_t *count/'
expect 1 "what a parameter points to"
change '/^EMBEDJOBS_API int32_t embedjobs_engine_metrics(/s/embedjobs_metrics \*\*out/embedjobs_metrics *out/'
expect 1 "a pointer less to a parameter"
change '/^EMBEDJOBS_API void embedjobs_engine_destroy(/s/embedjobs_engine \*engine/embedjobs_error *engine/'
expect 1 "the handle that a function takes"
change 's/^  int32_t (\*get)(void \*user_data,/  int32_t (*get)(int32_t more, void *user_data,/'
expect 1 "a parameter of a callback"
change 's/^  EMBEDJOBS_GONE = 9,/  EMBEDJOBS_GONE = 99,/'
expect 1 "a number"
change 's/^#define EMBEDJOBS_HASH_SIZE 32$/#define EMBEDJOBS_HASH_SIZE 64/'
expect 1 "a constant"
change 's/^#define EMBEDJOBS_NOT_DONE SIZE_MAX$/#define EMBEDJOBS_NOT_DONE 0/'
expect 1 "what *done is before a callback has set it"
change 's/^  int64_t vector_grace_ms;$/  int64_t vector_grace_ms;\n  int64_t appended;/'
expect 0 "an appended member"
change 's/^} embedjobs_spec_status;$/  const char *appended;\n  int64_t appended_too;\n&/'
expect 0 "members appended to what a list points to"
change 's/^} embedjobs_spec_status;$/  const char *appended;\n&/;s/^  int64_t embedded_so_far; .. Of the pass.*$//'
expect 1 "a member removed from what a list points to, beside an appended one"
change '/^EMBEDJOBS_API const char \*embedjobs_version(void);$/a EMBEDJOBS_API int32_t embedjobs_appended(int32_t x);'
expect 0 "an appended function"
change 's/^  EMBEDJOBS_INTERNAL = 17 .*$/  EMBEDJOBS_INTERNAL = 17,\n  EMBEDJOBS_APPENDED = 18/;s/^  *A defect.*$//'
expect 0 "an appended number"
