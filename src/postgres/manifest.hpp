// Manifests in the database: which operations a spec has in a space.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "core/backend/manifest_row.hpp"
#include "embedjobs/persister.hpp"
#include "postgres/records.hpp"

namespace embedjobs::postgres {

using core::ManifestRow;

// What was made for a space before the catalog's searches left it is stale: it is not the start of a new manifest.
#define EMBEDJOBS_IS_LIVE                                             \
  "m.state = 0 AND (m.id = k.visible_manifest_id"                     \
  " OR (m.id = k.searched_manifest_id AND k.searched_flip = c.flips)" \
  " OR m.flip >= c.flips - (CASE WHEN s.name = c.search_space THEN 1 ELSE 0 END))"

/// kHold: in a transaction that writes; whoever would void the fence, or change the target, waits until it ends.
enum class FenceCheck { kRead, kHold };

/// The key of a pass whose fence is current. kNotFound: there is no such spec. kLeaseLost: another holds it, or
/// nobody does. kRefused: its space is not the catalog's target.
Result<KeyRow> fenced_key(Connection& connection, const PassContext& context, FenceCheck check);

/// The same of a row that has been read: key columns, the target space's name, status and fence of the job.
Result<KeyRow> checked_key(Query& row, const PassContext& context);

std::optional<ManifestRow> find_manifest(Connection& connection, std::int64_t id);
std::optional<ManifestRow> find_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id);
/// Finds or makes it.
ManifestRow make_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id);

/// Operations and the texts that they point to: ids[i] to texts[i], no id twice.
struct Operations {
  std::vector<Blob> ids;
  std::vector<TextHash> texts;
};
/// Adds them, or points those that are there to these texts.
void put_operations(Connection& connection, std::int64_t manifest_id, const Operations& operations);
/// With the next question, adds those that are not there yet; `added` grows by their number then.
void add_operations(Connection& connection, std::int64_t manifest_id, const Operations& operations,
                    std::int64_t& added);
/// With the next question, points those that are there to these texts.
void repoint_operations(Connection& connection, std::int64_t manifest_id, const Operations& operations);

}  // namespace embedjobs::postgres
