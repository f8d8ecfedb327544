// Manifests in the database: which operations a spec has in a space.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "embedjobs/persister.hpp"
#include "postgres/records.hpp"

namespace embedjobs::postgres {

enum class ManifestState : int { kLive = 0, kBuilding = 1, kReplaced = 2 };

struct ManifestRow {
  std::int64_t id = 0;
  std::int64_t space_id = 0;
  bool complete = false;
  std::int64_t row_count = 0;
  std::string content_version;
  std::string splitter_version;
};

/// kHold: in a transaction that writes; whoever would void the fence, or change the target, waits until it ends.
enum class FenceCheck { kLook, kHold };

/// The key of a pass whose fence is current. kNotFound: never heard of it. kLeaseLost: another holds it, or nobody does. kRefused: its
/// space is not the catalog's target.
Result<KeyRow> fenced_key(Connection& connection, const PassContext& context, FenceCheck check);

std::optional<ManifestRow> find_manifest(Connection& connection, std::int64_t id);
std::optional<ManifestRow> find_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id);
/// Finds or makes it.
ManifestRow make_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id);

/// Adds operations, or points them to other texts. Ids and hashes of the same length, no id twice.
void put_operations(Connection& connection, std::int64_t manifest_id, const std::vector<Blob>& ids, const std::vector<TextHash>& hashes);

}  // namespace embedjobs::postgres
