// Documents, and lists of what there is.
#include <algorithm>

#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "postgres/backend.hpp"
#include "postgres/postgres_catalog.hpp"
#include "postgres/records.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kPut =
    "SELECT job_id, created, generation FROM @put_at($1, $2, $3, $4, coalesce(nullif($5, 0), @time_now()))";
constexpr const char* kResolve =
    "SELECT d.content, d.version FROM @catalogs AS c JOIN @keys AS k ON k.catalog_id = c.id JOIN @documents AS d ON "
    "d.key_id = k.id "
    "WHERE c.name = $1 AND k.spec_name = $2";
// Catalog by catalog, each from its index: (name, spec_name) > (...) over both tables would read and sort all keys for
// each page.
constexpr const char* kVersionsAfter =
    "SELECT c.name, k.spec_name, k.version FROM @catalogs AS c CROSS JOIN LATERAL ("
    " SELECT x.spec_name, d.version FROM @keys AS x JOIN @documents AS d ON d.key_id = ANY (ARRAY[x.id])"
    " WHERE x.catalog_id = c.id AND x.spec_name > CASE WHEN c.name = $1 THEN $2 ELSE '' END ORDER BY x.spec_name LIMIT "
    "$3) AS k "
    "WHERE c.name >= $1 ORDER BY c.name, k.spec_name LIMIT $3";
constexpr const char* kSpecsAfter =
    "SELECT c.name, k.spec_name, k.operation_count, k.generation, k.updated_at, coalesce(m.row_count, 0),"
    " coalesce(d.version, m.content_version, ''), coalesce(m.complete, false) AND (d.version IS NULL OR d.version = "
    "m.content_version),"
    " coalesce(s.name, '') "
    "FROM @catalogs AS c CROSS JOIN LATERAL (SELECT * FROM @keys AS x WHERE x.catalog_id = c.id AND x.has_spec"
    " AND x.spec_name > CASE WHEN c.name = $2 THEN $3 ELSE '' END ORDER BY x.spec_name LIMIT $4) AS k"
    " LEFT JOIN @manifests AS m ON m.id = ANY (ARRAY[k.visible_manifest_id]) LEFT JOIN @spaces AS s ON s.id = "
    "k.visible_space_id"
    " LEFT JOIN @documents AS d ON d.key_id = ANY (ARRAY[k.id]) "
    "WHERE ($1 = '' OR c.name = $1) AND c.name >= $2 ORDER BY c.name, k.spec_name LIMIT $4";
constexpr const char* kListCatalogs =
    "SELECT c.name, c.target_space, c.search_space,"
    " (SELECT count(*) FROM @keys AS k WHERE k.catalog_id = c.id AND k.has_spec),"
    " (SELECT count(*) FROM @keys AS k WHERE k.catalog_id = c.id AND k.visible_space_id ="
    "  (SELECT s.id FROM @spaces AS s WHERE s.catalog_id = c.id AND s.name = c.target_space)) "
    "FROM @catalogs AS c ORDER BY c.name";
constexpr const char* kDescribe =
    "SELECT u.place, s.name, m.content_version, m.splitter_version" EMBEDJOBS_KEYS_OF_NAMES
    "JOIN @manifests AS m ON m.id = k.visible_manifest_id JOIN @spaces AS s ON s.id = m.space_id WHERE m.complete";
constexpr const char* kRemove = "SELECT @remove_at($1, $2, $3)";
constexpr const char* kRemoveSome = "SELECT @remove_some_at($1, $2, $3)";

SpecInfo read_spec(const Query& row) {
  return {.key = {row.text(0), row.text(1)},
          .operation_count = row.integer(2),
          .embedding_count = row.integer(5),
          .visible_space_id = row.text(8),
          .content_version = row.text(6),
          .generation = row.number(3),
          .complete = row.boolean(7),
          .updated_at = row.time(4)};
}

}  // namespace

std::shared_ptr<Catalog> make_catalog(std::shared_ptr<Database> database) {
  return std::make_shared<PostgresCatalog>(std::move(database));
}

Result<Document> PostgresCatalog::resolve(const SpecKey& key) {
  return database_->read([&](Connection& connection) -> Result<Document> {
    Query row = connection.query(kResolve, key.catalog_id, key.spec_name);
    if (!row.next()) {
      return core::document_gone(key);
    }
    return Document{.content = row.text(0), .version = row.text(1)};
  });
}

Result<std::vector<SpecVersion>> PostgresCatalog::list(const SpecKey* after, std::size_t limit) {
  const SpecKey from = after != nullptr ? *after : SpecKey();
  return database_->read([&](Connection& connection) -> Result<std::vector<SpecVersion>> {
    std::vector<SpecVersion> versions;
    Query row = connection.query(kVersionsAfter, from.catalog_id, from.spec_name, limit_of(limit));
    while (row.next()) {
      versions.push_back({{row.text(0), row.text(1)}, row.text(2)});
    }
    return versions;
  });
}

Result<std::vector<SpecInfo>> PostgresCatalog::specs(std::optional<std::string> catalog_id, const SpecKey* after,
                                                     std::size_t limit) {
  const SpecKey from = after != nullptr ? *after : SpecKey();
  return database_->read([&](Connection& connection) -> Result<std::vector<SpecInfo>> {
    std::vector<SpecInfo> specs;
    Query row =
        connection.query(kSpecsAfter, catalog_id.value_or(""), from.catalog_id, from.spec_name, limit_of(limit));
    while (row.next()) {
      specs.push_back(read_spec(row));
    }
    return specs;
  });
}

Result<std::vector<CatalogInfo>> PostgresCatalog::catalogs() {
  return database_->read([&](Connection& connection) -> Result<std::vector<CatalogInfo>> {
    std::vector<CatalogInfo> catalogs;
    Query row = connection.query(kListCatalogs);
    while (row.next()) {
      catalogs.push_back({.catalog_id = row.text(0),
                          .target_space_id = row.text(1),
                          .search_space_id = row.text(2),
                          .spec_count = row.integer(3),
                          .specs_in_target = row.integer(4)});
    }
    return catalogs;
  });
}

Result<std::string> PostgresCatalog::search_space_of(std::string_view catalog_id) {
  return database_->read([&](Connection& connection) -> Result<std::string> {
    std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
    return catalog ? Result<std::string>(std::move(catalog->search_space)) : core::no_such_catalog(catalog_id);
  });
}

Result<std::vector<SpecState>> PostgresCatalog::describe(std::span<const SpecKey> keys) {
  std::vector<std::string_view> catalogs, specs;
  for (const SpecKey& key : keys) {
    catalogs.push_back(key.catalog_id);
    specs.push_back(key.spec_name);
  }
  return database_->read([&](Connection& connection) -> Result<std::vector<SpecState>> {
    std::vector<SpecState> states(keys.size());
    for (std::size_t i = 0; i < keys.size(); ++i) {
      states[i].key = keys[i];
    }
    Query row = connection.query(kDescribe, catalogs, specs);
    while (row.next()) {
      SpecState& state = states[static_cast<std::size_t>(row.integer(0)) - 1];
      state.complete = true;
      state.space_id = row.text(1);
      state.content_version = row.text(2);
      state.splitter_version = row.text(3);
    }
    return states;
  });
}

Result<EnqueueResult> PostgresCatalog::put(const SpecKey& key, std::string_view content,
                                           std::string_view target_space_id) {
  if (Status status = core::check_put(key, content, target_space_id); !status.ok()) {
    return status;
  }
  auto answer = database_->write([&](Connection& connection) -> Result<EnqueueResult> {
    Query row = connection.query(kPut, key.catalog_id, key.spec_name, Blob{content.data(), content.size()},
                                 target_space_id, connection.known_now());
    if (!row.next()) {
      return Status(Code::kInternal, "put gave no row");
    }
    return EnqueueResult{.job_id = row.integer(0), .created = row.boolean(1), .generation = row.number(2)};
  });
  if (answer.ok()) {
    database_->wake().fire();
  }
  return answer;
}

Status PostgresCatalog::remove(const SpecKey& key) {
  if (!validate(key).ok()) {
    return core::no_such_spec(key);
  }
  return database_->write([&](Connection& connection) -> Status {
    const bool there = connection.value_or(1, kRemove, key.catalog_id, key.spec_name, connection.now()) != 0;
    return there ? Status() : core::no_such_spec(key);
  });
}

Status PostgresCatalog::remove_catalog(std::string_view catalog_id) {
  for (bool first = true;; first = false) {
    auto removed = database_->write([&](Connection& connection) -> Result<std::int64_t> {
      return connection.value_or(0, kRemoveSome, catalog_id, core::kSpecsPerTransaction, connection.now());
    });
    if (!removed.ok()) {
      return removed.status();
    }
    if (*removed == 0) {
      return first ? core::no_such_catalog(catalog_id) : Status();
    }
  }
}

}  // namespace embedjobs::postgres
