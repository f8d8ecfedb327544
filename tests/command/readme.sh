#!/usr/bin/env bash
# The example of README.md is examples/readme_example.cpp, word for word, and does what it says.
. "$(dirname "$0")/lib.sh"
sed -n '/^```cpp$/,/^```$/p' "$SOURCE_DIR/README.md" | sed '1d;$d' > example.cpp
diff example.cpp "$SOURCE_DIR/examples/readme_example.cpp" || fail "README.md and examples/readme_example.cpp differ"
"$README_EXAMPLE" > out 2> err
grep -q 'POST /orders' <(head -1 out) || fail "the best answer is not POST /orders"
