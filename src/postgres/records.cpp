#include "postgres/records.hpp"

#include <fmt/format.h>

#include <algorithm>

#include "core/values/utf8.hpp"
#include "postgres/schema.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kNotify = "SELECT pg_notify($1, '')";

constexpr const char* kFindCatalog = "SELECT id, target_space, search_space FROM @catalogs WHERE name = $1";
constexpr const char* kFindSpace = "SELECT id FROM @spaces WHERE catalog_id = $1 AND name = $2";
constexpr const char* kInsertSpace =
    "INSERT INTO @spaces (catalog_id, name) VALUES ($1, $2) ON CONFLICT (catalog_id, name) DO NOTHING RETURNING id";

#define EMBEDJOBS_SELECT_KEY      \
  "SELECT " EMBEDJOBS_KEY_COLUMNS \
  " FROM @keys AS k JOIN @catalogs AS c ON c.id = k.catalog_id WHERE c.name = $1 AND k.spec_name = $2"
constexpr const char* kFindKey = EMBEDJOBS_SELECT_KEY;
constexpr const char* kSaveKeys =
    "UPDATE @keys AS k SET generation = u.generation, fence_counter = u.fence_counter, holder_nonce = u.holder_nonce,"
    " reuse_floor = u.reuse_floor, last_success_at = u.last_success_at, removed = u.removed "
    "FROM unnest($1::bigint[], $2::bigint[], $3::bigint[], $4::bigint[], $5::bigint[], $6::bigint[], $7::boolean[])"
    " AS u (id, generation, fence_counter, holder_nonce, reuse_floor, last_success_at, removed) WHERE k.id = ANY "
    "(ARRAY[u.id])";
constexpr const char* kSaveSpec =
    "UPDATE @keys SET has_spec = $2, visible_manifest_id = $3, visible_space_id = nullif($4, 0), updated_at = $5 WHERE "
    "id = $1";

constexpr const char* kSaveFailure =
    "INSERT INTO @failures (key_id, occurrences, first_failed_at, last_failed_at, last_error, resolved) VALUES ($1, "
    "$2, $3, $4, $5, $6) "
    "ON CONFLICT (key_id) DO UPDATE SET occurrences = EXCLUDED.occurrences, first_failed_at = EXCLUDED.first_failed_at,"
    " last_failed_at = EXCLUDED.last_failed_at, last_error = EXCLUDED.last_error, resolved = EXCLUDED.resolved";

std::optional<KeyRow> first_key(Query&& row) {
  return row.next() ? std::optional(read_key(row)) : std::nullopt;
}

}  // namespace

std::string storable(const std::string& text) {
  if (core::is_valid_utf8(text) && text.find('\0') == std::string::npos) {
    return text;
  }
  std::string ascii = text;
  std::replace_if(
      ascii.begin(), ascii.end(), [](char c) { return c == '\0' || static_cast<unsigned char>(c) >= 0x80; }, '?');
  return ascii;
}

void notify(Connection& connection, std::string_view schema) {
  connection.run_later(kNotify, channel_of(schema));
}

std::optional<CatalogRow> find_catalog(Connection& connection, std::string_view name) {
  Query row = connection.query(kFindCatalog, name);
  if (!row.next()) {
    return std::nullopt;
  }
  return CatalogRow{.id = row.integer(0), .target_space = row.text(1), .search_space = row.text(2)};
}

std::int64_t find_space(Connection& connection, std::int64_t catalog_id, std::string_view name) {
  return connection.value_or(0, kFindSpace, catalog_id, name);
}

std::int64_t make_space(Connection& connection, std::int64_t catalog_id, std::string_view name) {
  std::int64_t id = find_space(connection, catalog_id, name);
  if (id == 0) {
    id = connection.value_or(0, kInsertSpace, catalog_id, name);
  }
  return id != 0 ? id : find_space(connection, catalog_id, name);  // another one made it meanwhile
}

KeyRow read_key(const Query& row, int first) {
  KeyRow key;
  key.id = row.integer(first);
  key.catalog_id = row.integer(first + 1);
  key.state = {.generation = row.number(first + 2),
               .fence_counter = row.number(first + 3),
               .holder_nonce = row.number(first + 4),
               .reuse_floor = row.number(first + 5),
               .removed = row.boolean(first + 6)};
  key.has_spec = row.boolean(first + 7);
  key.visible_manifest_id = row.integer(first + 8);
  key.visible_space_id = row.integer(first + 9);
  key.last_success_at = row.time(first + 10);
  return key;
}

std::optional<KeyRow> find_key(Connection& connection, const SpecKey& key) {
  return first_key(connection.query(kFindKey, key.catalog_id, key.spec_name));
}

void save_keys(Connection& connection, std::span<const KeyRow> keys) {
  if (keys.empty()) {
    return;
  }
  std::vector<std::int64_t> ids, generations, counters, nonces, floors, successes;
  std::vector<std::uint8_t> removed;
  for (const KeyRow& key : keys) {
    ids.push_back(key.id);
    generations.push_back(static_cast<std::int64_t>(key.state.generation));
    counters.push_back(static_cast<std::int64_t>(key.state.fence_counter));
    nonces.push_back(static_cast<std::int64_t>(key.state.holder_nonce));
    floors.push_back(static_cast<std::int64_t>(key.state.reuse_floor));
    successes.push_back(key.last_success_at.time_since_epoch().count());
    removed.push_back(key.state.removed ? 1 : 0);
  }
  connection.run_later(kSaveKeys, ids, generations, counters, nonces, floors, successes, removed);
}

void save_spec(Connection& connection, const KeyRow& key) {
  connection.run_later(kSaveSpec, key.id, key.has_spec, key.visible_manifest_id, key.visible_space_id,
                       connection.now());
}

Failure read_failure(const Query& row, int first) {
  Failure failure;
  failure.occurrences = row.integer(first);
  failure.first_failed_at = row.time(first + 1);
  failure.last_failed_at = row.time(first + 2);
  failure.last_error = row.text(first + 3);
  failure.resolved = row.boolean(first + 4);
  return failure;
}

void save_failure(Connection& connection, std::int64_t key_id, const Failure& failure) {
  connection.run_later(kSaveFailure, key_id, failure.occurrences, failure.first_failed_at, failure.last_failed_at,
                       storable(failure.last_error), failure.resolved);
}

}  // namespace embedjobs::postgres
