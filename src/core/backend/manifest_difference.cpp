#include "core/backend/manifest_difference.hpp"

namespace embedjobs::core {

void ManifestDifference::put_until(const StoredOperation* stored) {
  while (next_ < order_.size() && !too_large() &&
         (stored == nullptr || manifest_.operation_id(order_[next_]) < stored->id)) {
    put_.push_back(order_[next_++]);
  }
}

void ManifestDifference::add(std::span<const StoredOperation> piece, bool last) {
  for (const StoredOperation& stored : piece) {
    put_until(&stored);
    if (too_large()) {
      return;
    }
    if (next_ < order_.size() && manifest_.operation_id(order_[next_]) == stored.id) {
      if (manifest_.text_hash(order_[next_]) != stored.hash) {
        put_.push_back(order_[next_]);
      }
      ++next_;
    } else {
      deleted_.push_back(stored.id);
    }
  }
  if (last) {
    put_until(nullptr);
  }
}

}  // namespace embedjobs::core
