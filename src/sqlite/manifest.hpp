// Manifests in the database: which operations a spec has in a space.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "core/backend/manifest_row.hpp"
#include "embedjobs/persister.hpp"
#include "sqlite/records.hpp"

namespace embedjobs::sqlite {

using core::ManifestRow;

/// The key of a pass whose fence is current. kNotFound: there is no such spec. kLeaseLost: another holds it, or
/// nobody does. kRefused: its space is not the catalog's target.
Result<KeyRow> fenced_key(Connection& connection, const PassContext& context);

std::optional<ManifestRow> find_manifest(Connection& connection, std::int64_t id);
std::optional<ManifestRow> find_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id);
/// Finds or makes it.
ManifestRow make_live_manifest(Connection& connection, std::int64_t key_id, std::int64_t space_id);

/// Adds the operation, or points it to another text. True: it is new.
bool put_operation(Connection& connection, std::int64_t manifest_id, std::string_view operation_id,
                   const TextHash& hash);

}  // namespace embedjobs::sqlite
