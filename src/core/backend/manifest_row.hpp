// A manifest's row, as the databases keep it: which operations a spec has in a space.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace embedjobs::core {

struct ManifestRow {
  std::int64_t id = 0;
  std::int64_t space_id = 0;
  bool complete = false;  ///< It was finalized.
  std::int64_t row_count = 0;
  std::string content_version;
  std::string splitter_version;
};

/// The columns that read_manifest() takes, in its order, each behind `table` ("m." or "").
#define EMBEDJOBS_MANIFEST_COLUMNS(table)                                                                \
  table "id, " table "space_id, " table "complete, " table "row_count, " table "content_version, " table \
        "splitter_version"

/// The first row of a backend's query.
template <typename Query>
std::optional<ManifestRow> read_manifest(Query&& row) {
  if (!row.next()) {
    return std::nullopt;
  }
  return ManifestRow{.id = row.integer(0),
                     .space_id = row.integer(1),
                     .complete = row.boolean(2),
                     .row_count = row.integer(3),
                     .content_version = std::string(row.text(4)),
                     .splitter_version = std::string(row.text(5))};
}

}  // namespace embedjobs::core
