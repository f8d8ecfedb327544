// Documents, and lists of what there is.
#include <algorithm>

#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/limits.hpp"
#include "sqlite/backend.hpp"
#include "sqlite/enqueue.hpp"
#include "sqlite/spec_rows.hpp"
#include "sqlite/sqlite_catalog.hpp"

namespace embedjobs::sqlite {
namespace {

constexpr const char* kDocumentVersion = "SELECT 1 FROM documents WHERE key_id = ? AND version = ?";
constexpr const char* kSaveDocument =
    "INSERT INTO documents (key_id, version, content) VALUES (?1, ?2, ?3) "
    "ON CONFLICT (key_id) DO UPDATE SET version = ?2, content = ?3";
constexpr const char* kResolve =
    "SELECT d.content, d.version FROM catalogs AS c CROSS JOIN keys AS k ON k.catalog_id = c.id CROSS JOIN documents "
    "AS d ON d.key_id = "
    "k.id "
    "WHERE c.name = ? AND k.spec_name = ?";

constexpr const char* kCatalogsFrom = "SELECT id, name FROM catalogs WHERE name >= ? ORDER BY name";
constexpr const char* kVersionsAfter =
    "SELECT k.spec_name, d.version FROM keys AS k CROSS JOIN documents AS d ON d.key_id = k.id "
    "WHERE k.catalog_id = ? AND k.spec_name > ? ORDER BY k.spec_name LIMIT ?";
constexpr const char* kSpecsAfter =
    "SELECT k.spec_name, k.operation_count, k.generation, k.updated_at, IFNULL(m.row_count, 0), IFNULL(d.version, "
    "IFNULL(m.content_version, '')),"
    " IFNULL(m.complete, 0) AND (d.version IS NULL OR d.version = m.content_version), IFNULL(s.name, '') "
    "FROM keys AS k LEFT JOIN manifests AS m ON m.id = k.visible_manifest_id LEFT JOIN spaces AS s ON s.id = "
    "k.visible_space_id"
    " LEFT JOIN documents AS d ON d.key_id = k.id "
    "WHERE k.catalog_id = ? AND k.spec_name > ? AND k.has_spec ORDER BY k.spec_name LIMIT ?";
constexpr const char* kListCatalogs =
    "SELECT c.name, c.target_space, c.search_space,"
    " (SELECT COUNT(*) FROM keys AS k WHERE k.catalog_id = c.id AND k.has_spec),"
    " (SELECT COUNT(*) FROM keys AS k INDEXED BY keys_visible WHERE k.catalog_id = c.id AND k.visible_space_id IS NOT "
    "NULL"
    "  AND k.visible_space_id = (SELECT s.id FROM spaces AS s WHERE s.catalog_id = c.id AND s.name = c.target_space)) "
    "FROM catalogs AS c ORDER BY c.name";
constexpr const char* kDescribe =
    "SELECT m.complete, s.name, m.content_version, m.splitter_version "
    "FROM manifests AS m JOIN spaces AS s ON s.id = m.space_id WHERE m.id = ?";
constexpr const char* kSpecIds = "SELECT id FROM keys WHERE catalog_id = ? AND has_spec LIMIT ?";
constexpr const char* kOpenKeys =
    "SELECT key_id FROM jobs INDEXED BY jobs_open WHERE catalog_id = ? AND status <= 1 LIMIT ?";

struct NamedId {
  std::int64_t id = 0;
  std::string name;
};

/// The catalogs that a list in the order of keys goes through, after `after`.
std::vector<NamedId> catalogs_after(Connection& connection, const std::optional<std::string>& only,
                                    const SpecKey* after) {
  std::vector<NamedId> catalogs;
  Query row = connection.query(kCatalogsFrom, only ? *only : after != nullptr ? after->catalog_id : std::string());
  while (row.next()) {
    if (!only || row.text(1) == *only) {
      catalogs.push_back({row.integer(0), std::string(row.text(1))});
    } else {
      break;
    }
  }
  if (after != nullptr && only && after->catalog_id > *only) {
    catalogs.clear();
  }
  return catalogs;
}

/// Where to go on within a catalog. Names are never empty.
std::string_view spec_after(const NamedId& catalog, const SpecKey* after) {
  return after != nullptr && after->catalog_id == catalog.name ? std::string_view(after->spec_name)
                                                               : std::string_view();
}

SpecInfo read_spec(const Query& row, const std::string& catalog) {
  return {.key = {catalog, std::string(row.text(0))},
          .operation_count = row.integer(1),
          .embedding_count = row.integer(4),
          .visible_space_id = std::string(row.text(7)),
          .content_version = std::string(row.text(5)),
          .generation = row.number(2),
          .complete = row.boolean(6),
          .updated_at = row.time(3)};
}

void remove_spec(Connection& connection, KeyRow& key, WallTime now) {
  cancel_key(connection, key, now);
  if (key.has_spec) {
    drop_spec(connection, key, now);
  }
}

/// Some of the catalog's keys that have something to remove.
std::vector<std::int64_t> keys_to_remove(Connection& connection, std::int64_t catalog_id) {
  std::vector<std::int64_t> ids;
  for (const char* sql : {kSpecIds, kOpenKeys}) {
    Query row = connection.query(sql, catalog_id, core::kSpecsPerTransaction);
    while (row.next()) {
      ids.push_back(row.integer(0));
    }
  }
  std::sort(ids.begin(), ids.end());
  ids.erase(std::unique(ids.begin(), ids.end()), ids.end());
  return ids;
}

}  // namespace

std::shared_ptr<Catalog> make_catalog(std::shared_ptr<Database> database) {
  return std::make_shared<SqliteCatalog>(std::move(database));
}

Result<Document> SqliteCatalog::resolve(const SpecKey& key) {
  return database_->read([&](Connection& connection) -> Result<Document> {
    Query row = connection.query(kResolve, key.catalog_id, key.spec_name);
    if (!row.next()) {
      return core::document_gone(key);
    }
    const auto content = row.blob(0);
    return Document{.content = std::string(content.begin(), content.end()), .version = std::string(row.text(1))};
  });
}

Result<std::vector<SpecVersion>> SqliteCatalog::list(const SpecKey* after, std::size_t limit) {
  return database_->read([&](Connection& connection) -> Result<std::vector<SpecVersion>> {
    std::vector<SpecVersion> versions;
    for (const NamedId& catalog : catalogs_after(connection, std::nullopt, after)) {
      if (versions.size() >= limit) {
        break;
      }
      Query row = connection.query(kVersionsAfter, catalog.id, spec_after(catalog, after), limit - versions.size());
      while (row.next()) {
        versions.push_back({{catalog.name, std::string(row.text(0))}, std::string(row.text(1))});
      }
    }
    return versions;
  });
}

Result<std::vector<SpecInfo>> SqliteCatalog::specs(std::optional<std::string> catalog_id, const SpecKey* after,
                                                   std::size_t limit) {
  return database_->read([&](Connection& connection) -> Result<std::vector<SpecInfo>> {
    std::vector<SpecInfo> specs;
    for (const NamedId& catalog : catalogs_after(connection, catalog_id, after)) {
      if (specs.size() >= limit) {
        break;
      }
      Query row = connection.query(kSpecsAfter, catalog.id, spec_after(catalog, after), limit - specs.size());
      while (row.next()) {
        specs.push_back(read_spec(row, catalog.name));
      }
    }
    return specs;
  });
}

Result<std::vector<CatalogInfo>> SqliteCatalog::catalogs() {
  return database_->read([&](Connection& connection) -> Result<std::vector<CatalogInfo>> {
    std::vector<CatalogInfo> catalogs;
    Query row = connection.query(kListCatalogs);
    while (row.next()) {
      catalogs.push_back({.catalog_id = std::string(row.text(0)),
                          .target_space_id = std::string(row.text(1)),
                          .search_space_id = std::string(row.text(2)),
                          .spec_count = row.integer(3),
                          .specs_in_target = row.integer(4)});
    }
    return catalogs;
  });
}

Result<std::string> SqliteCatalog::search_space_of(std::string_view catalog_id) {
  return database_->read([&](Connection& connection) -> Result<std::string> {
    std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
    return catalog ? Result<std::string>(std::move(catalog->search_space)) : core::no_such_catalog(catalog_id);
  });
}

Result<std::vector<SpecState>> SqliteCatalog::describe(std::span<const SpecKey> keys) {
  return database_->read([&](Connection& connection) -> Result<std::vector<SpecState>> {
    std::vector<SpecState> states;
    states.reserve(keys.size());
    for (const SpecKey& name : keys) {
      SpecState state{.key = name};
      const std::optional<KeyRow> key = find_key(connection, name);
      Query row = connection.query(kDescribe, key ? key->visible_manifest_id : 0);
      if (row.next() && row.boolean(0)) {
        state = {.key = name,
                 .complete = true,
                 .space_id = std::string(row.text(1)),
                 .content_version = std::string(row.text(2)),
                 .splitter_version = std::string(row.text(3))};
      }
      states.push_back(std::move(state));
    }
    return states;
  });
}

Result<EnqueueResult> SqliteCatalog::put(const SpecKey& key, std::string_view content,
                                         std::string_view target_space_id) {
  if (Status status = core::check_put(key, content, target_space_id); !status.ok()) {
    return status;
  }
  const std::string version = to_hex(hash_text(content));
  auto answer = database_->write([&](Connection& connection) -> Result<EnqueueResult> {
    CatalogRow catalog = make_catalog_row(connection, key.catalog_id);
    choose_target(connection, catalog, target_space_id);
    KeyRow row = make_key(connection, catalog.id, key);
    if (connection.value_or(0, kDocumentVersion, row.id, version) == 0) {
      connection.run(kSaveDocument, row.id, version, Blob{content.data(), content.size()});
    }
    row.has_spec = true;
    save_spec(connection, row, now());
    return enqueue_generation(connection, row, key, JobKind::kSpecWrite, now());
  });
  if (answer.ok()) {
    database_->wake().fire();
  }
  return answer;
}

Status SqliteCatalog::remove(const SpecKey& name) {
  return database_->write([&](Connection& connection) -> Status {
    std::optional<KeyRow> key = find_key(connection, name);
    if (!key || (!key->has_spec && !find_open_job(connection, *key))) {
      return core::no_such_spec(name);
    }
    remove_spec(connection, *key, now());
    return {};
  });
}

Status SqliteCatalog::remove_catalog(std::string_view catalog_id) {
  for (bool first = true;; first = false) {
    auto removed = database_->write([&](Connection& connection) -> Result<std::size_t> {
      const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
      const std::vector<std::int64_t> ids =
          catalog ? keys_to_remove(connection, catalog->id) : std::vector<std::int64_t>();
      if (first && ids.empty()) {
        return core::no_such_catalog(catalog_id);
      }
      for (const std::int64_t id : ids) {
        if (std::optional<KeyRow> key = load_key(connection, id)) {
          remove_spec(connection, *key, now());
        }
      }
      return ids.size();
    });
    if (!removed.ok() || *removed == 0) {
      return removed.status();
    }
  }
}

}  // namespace embedjobs::sqlite
