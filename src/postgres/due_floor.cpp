#include "postgres/due_floor.hpp"

#include <algorithm>

namespace embedjobs::postgres {
namespace {

// A whole look that takes less, the way to the server included, is done every time.
constexpr Duration kCheap = std::chrono::microseconds(500);
// Another one is done after this many times what the last one took, so that they are a small part of what a process
// asks for.
constexpr int kPauseFactor = 20;
// A thorough look cuts a pause short that is not longer: a whole look takes up to 10 ms then.
constexpr Duration kShortPause = std::chrono::milliseconds(200);
constexpr Duration kLongestPause = std::chrono::seconds(10);
// Transactions that enqueue together do not end in the order of their due times.
constexpr Duration kMargin = std::chrono::milliseconds(100);

}  // namespace

DueLook DueFloor::begin(std::string_view space) {
  return begin(space, false);
}

DueLook DueFloor::begin_thorough(std::string_view space) {
  return begin(space, true);
}

DueLook DueFloor::begin(std::string_view space, bool thorough) {
  const MonoTime now = clock_->now();
  const std::lock_guard lock(mutex_);
  if (space != space_ || now >= next_whole_ || (thorough && pause_ <= kShortPause)) {
    next_whole_ = now + pause_;  // one at a time
    return {.begun = now};
  }
  return {.whole = false, .above = floors_, .begun = now};
}

Duration DueFloor::until_whole() {
  const MonoTime now = clock_->now();
  const std::lock_guard lock(mutex_);
  return std::max(next_whole_ - now, Duration(0));
}

void DueFloor::end(const DueLook& look, std::string_view space, const FirstDue& first) {
  const MonoTime now = clock_->now();
  const std::lock_guard lock(mutex_);
  if (look.whole) {
    const Duration took = now - look.begun;
    pause_ = took < kCheap ? Duration(0) : std::min(took * kPauseFactor, kLongestPause);
    next_whole_ = now + pause_;
  }
  if (space != space_) {
    space_ = space;
    floors_ = {kAlways, kAlways};
  }
  for (std::size_t i = 0; i < kPriorities; ++i) {
    if (first[i]) {
      floors_[i] = look.whole ? *first[i] - kMargin : std::max(floors_[i], *first[i] - kMargin);
    }
  }
}

}  // namespace embedjobs::postgres
