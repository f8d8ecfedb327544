#include "postgres/due_floor.hpp"

#include <algorithm>

namespace embedjobs::postgres {
namespace {

// While a full scan takes less than this, the way to the server included, every scan is full.
constexpr Duration kCheap = std::chrono::microseconds(500);
// Otherwise the next one is made after this many times what the last one took: so they stay a small part of what a
// process asks for.
constexpr int kPauseFactor = 20;
// A thorough scan does not wait for a pause that is at most this long: the last full scan took up to 10 ms then.
constexpr Duration kShortPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(10);
// Transactions that enqueue together do not end in the order of their due times.
constexpr Duration kMargin = std::chrono::milliseconds(100);

}  // namespace

DueScan DueFloor::begin(std::string_view space) {
  return begin(space, false);
}

DueScan DueFloor::begin_thorough(std::string_view space) {
  return begin(space, true);
}

DueScan DueFloor::begin(std::string_view space, bool thorough) {
  const MonoTime now = clock_->now();
  const std::lock_guard lock(mutex_);
  if (space != space_ || now >= next_full_ || (thorough && pause_ <= kShortPause)) {
    next_full_ = now + pause_;  // one at a time
    return {.begun = now};
  }
  return {.full = false, .above = floors_, .begun = now};
}

Duration DueFloor::until_full() {
  const MonoTime now = clock_->now();
  const std::lock_guard lock(mutex_);
  return std::max(next_full_ - now, Duration(0));
}

void DueFloor::end(const DueScan& scan, std::string_view space, const FirstDue& first) {
  const MonoTime now = clock_->now();
  const std::lock_guard lock(mutex_);
  if (scan.full) {
    const Duration took = now - scan.begun;
    pause_ = took < kCheap ? Duration(0) : std::min(took * kPauseFactor, kLongestPause);
    next_full_ = now + pause_;
  }
  if (space != space_) {
    space_ = space;
    floors_ = {kAlways, kAlways};
  }
  for (std::size_t i = 0; i < kPriorities; ++i) {
    if (first[i]) {
      floors_[i] = scan.full ? *first[i] - kMargin : std::max(floors_[i], *first[i] - kMargin);
    }
  }
}

}  // namespace embedjobs::postgres
