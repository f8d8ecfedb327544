// Catalogs, spaces, keys and failures as values. Errors are the connection's (sticky).
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "embedjobs/sys/store_rules.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// Wakes who listens, when the transaction commits.
void notify(Connection& connection, std::string_view schema);
/// Errors and reasons quote providers and hosts: what the server would not take as text is replaced.
std::string storable(const std::string& text);

struct CatalogRow {
  std::int64_t id = 0;
  std::string target_space;
  std::string search_space;
};
std::optional<CatalogRow> find_catalog(Connection& connection, std::string_view name);

/// 0 when the catalog has never had this space.
std::int64_t find_space(Connection& connection, std::int64_t catalog_id, std::string_view name);
std::int64_t make_space(Connection& connection, std::int64_t catalog_id, std::string_view name);

struct KeyRow {
  std::int64_t id = 0;
  std::int64_t catalog_id = 0;
  rules::KeyState state;
  bool has_spec = false;                 ///< There is a document, or rows, or both.
  std::int64_t visible_manifest_id = 0;  ///< 0: nothing is visible.
  std::int64_t visible_space_id = 0;
  WallTime last_success_at{};
};
/// The columns that read_key reads, in its order, of `keys AS k`.
#define EMBEDJOBS_KEY_COLUMNS                                                                     \
  "k.id, k.catalog_id, k.generation, k.fence_counter, k.holder_nonce, k.reuse_floor, k.removed, " \
  "k.has_spec, k.visible_manifest_id, coalesce(k.visible_space_id, 0), k.last_success_at"
inline constexpr int kKeyColumns = 11;
KeyRow read_key(const Query& row, int first = 0);
std::optional<KeyRow> find_key(Connection& connection, const SpecKey& key);
/// What queue transitions change. The keys are locked.
void save_keys(Connection& connection, std::span<const KeyRow> keys);
void save_spec(Connection& connection, const KeyRow& key);

/// Keys of names ($1, $2), with their places from 1 on; one by one too, for OFFSET 0 is not joined otherwise.
#define EMBEDJOBS_KEYS_OF_NAMES                                                                                      \
  " FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS u (catalog_id, spec_name, place) JOIN @catalogs AS c ON " \
  "c.name = u.catalog_id"                                                                                            \
  " CROSS JOIN LATERAL (SELECT * FROM @keys AS x WHERE x.catalog_id = c.id AND x.spec_name = u.spec_name OFFSET 0) " \
  "AS k "

Failure read_failure(const Query& row, int first);
void save_failure(Connection& connection, std::int64_t key_id, const Failure& failure);

}  // namespace embedjobs::postgres
