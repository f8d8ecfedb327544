#include "core/backend/finalize.hpp"

#include <algorithm>

#include "core/backend/stored_texts.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"

namespace embedjobs::core {

Finalize::Finalize(const PassContext& context, const Manifest& manifest)
    : context_(context), manifest_(manifest), difference_(manifest, kMaxRowsPerTransaction) {}

Status Finalize::run() {
  if (Status status = check_vectors(); !status.ok()) {
    return status;
  }
  const auto live = find_live();
  if (!live.ok()) {
    return live.status();
  }
  if (Status status = compare(*live); !status.ok()) {
    return status;
  }
  return difference_.too_large() ? rebuild() : apply(*live);
}

std::vector<TextHash> Finalize::texts_of(std::span<const std::uint32_t> operations) const {
  std::vector<TextHash> texts;
  texts.reserve(operations.size());
  for (const std::uint32_t operation : operations) {
    texts.push_back(manifest_.text_hash(operation));
  }
  return texts;
}

Status Finalize::check_stored(std::span<const std::uint32_t> operations, const std::vector<bool>& stored) const {
  const auto missing = std::find(stored.begin(), stored.end(), false);
  return missing == stored.end() ? Status()
                                 : incomplete(operations[static_cast<std::size_t>(missing - stored.begin())], 1);
}

bool Finalize::is_unchanged(const ManifestRow& live) const {
  return difference_.size() == 0 && live.complete && live.row_count == static_cast<std::int64_t>(manifest_.size()) &&
         live.content_version == context_.content_version && live.splitter_version == context_.splitter_version;
}

Status Finalize::incomplete(std::uint32_t first, std::size_t count) const {
  return core::incomplete(manifest_.operation_id(first), count, manifest_.size());
}

Status Finalize::check_vectors() {
  const auto found = stored_texts(manifest_, [this](const std::vector<TextHash>& texts) { return stored(texts); });
  if (!found.ok()) {
    return found.status();
  }
  const auto first = std::find(found->begin(), found->end(), false);
  if (first == found->end()) {
    return {};
  }
  return incomplete(static_cast<std::uint32_t>(first - found->begin()),
                    static_cast<std::size_t>(std::count(first, found->end(), false)));
}

Status Finalize::compare(std::int64_t live) {
  std::string after;
  for (bool first = true, last = false; !last && !difference_.too_large(); first = false) {
    const auto piece = operations_after(live, first ? nullptr : &after);
    if (!piece.ok()) {
      return piece.status();
    }
    last = piece->size() < kReadPieceRows;
    if (!piece->empty()) {
      after = piece->back().id;
    }
    difference_.add(*piece, last);
  }
  return {};
}

Status Finalize::rebuild() {
  const auto building = begin_building();
  if (!building.ok()) {
    return building.status();
  }
  for (std::span<const std::uint32_t> rest(difference_.order()); !rest.empty();) {
    const auto piece = rest.first(std::min(rest.size(), kMaxRowsPerTransaction));
    if (Status status = build(*building, piece); !status.ok()) {
      return status;
    }
    rest = rest.subspan(piece.size());
  }
  return flip(*building);
}

}  // namespace embedjobs::core
