#include "core/backend/sweep.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>

namespace embedjobs::core {

std::string SweepCursor::to_text() const {
  std::string hex;
  for (const char c : hash) {
    hex += fmt::format("{:02x}", static_cast<unsigned char>(c));
  }
  return vectors ? fmt::format("v {} {}", id, hex) : fmt::format("m {}", id);
}

SweepCursor SweepCursor::parse(std::string_view text) {
  SweepCursor cursor;
  if (text.size() < 3) {
    return cursor;
  }
  cursor.vectors = text[0] == 'v';
  const char* const last = text.data() + text.size();
  const auto [end, error] = std::from_chars(text.data() + 2, last, cursor.id);
  if (error != std::errc()) {
    return {};
  }
  const std::string_view hex =
      end < last ? std::string_view(end + 1, static_cast<std::size_t>(last - end - 1)) : std::string_view();
  for (std::size_t at = 0; at + 1 < hex.size(); at += 2) {
    unsigned byte = 0;
    (void)std::from_chars(hex.data() + at, hex.data() + at + 2, byte, 16);
    cursor.hash += static_cast<char>(byte);
  }
  return cursor;
}

std::size_t Sweep::run() {
  cursor_ = SweepCursor::parse(load_cursor());
  if (!cursor_.vectors && cursor_.id == 0) {
    begin_round(left_);
  }
  const std::size_t before = left_;
  bool ended = false;
  if (!cursor_.vectors) {
    sweep_manifests();
  }
  if (cursor_.vectors && left_ > 0) {
    ended = sweep_vectors();
  }
  const std::size_t seen = before - left_;
  // The end of a round is told by an answer of zero, in the call after the last row.
  if (ended && seen == 0) {
    cursor_ = {};
  }
  save_cursor(cursor_.to_text());
  return seen;
}

void Sweep::sweep_manifests() {
  const std::vector<SweptManifest> manifests = manifests_after(cursor_.id, left_);
  const bool last = manifests.size() < left_;
  for (const auto& [id, unused] : manifests) {
    if (left_ == 0 || (unused && !sweep_manifest(id))) {
      return;
    }
    cursor_.id = id;
    left_ -= left_ > 0 ? 1 : 0;
  }
  if (last) {
    cursor_ = {.vectors = true, .id = 0, .hash = {}};
  }
}

/// False: the limit came first.
bool Sweep::sweep_manifest(std::int64_t id) {
  mark_replaced(id);
  left_ -= std::min(left_, delete_operations(id, left_));
  return left_ > 0 && delete_manifest(id);
}

/// True: there are no more.
bool Sweep::sweep_vectors() {
  const std::vector<SweptVector> vectors = vectors_after(cursor_.id, cursor_.hash, left_);
  const bool last = vectors.size() < left_;
  std::vector<SweptVector> used, fresh, old;
  for (const SweptVector& vector : vectors) {
    const bool marked = vector.since != WallTime{};
    const WallTime since = marked ? std::min(vector.since, now_) : now_;  // a clock that was set back
    if (vector.used) {
      if (marked) {
        used.push_back(vector);
      }
    } else if (now_ - since >= grace_) {
      old.push_back(vector);
    } else if (since != vector.since) {
      fresh.push_back(vector);
    }
    cursor_.id = vector.space_id;
    cursor_.hash.assign(vector.hash.begin(), vector.hash.end());
    --left_;
  }
  unmark(used);
  mark(fresh);
  remove(old);
  return last;
}

}  // namespace embedjobs::core
