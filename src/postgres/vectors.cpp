#include "postgres/vectors.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "core/backend/stored_texts.hpp"
#include "core/rules/checks.hpp"
#include "postgres/manifest.hpp"
#include "postgres/postgres_catalog.hpp"

namespace embedjobs::postgres {
namespace {

constexpr const char* kProbe =
    "SELECT v.text_hash, v.epoch, v.embedded_bytes, v.input_cap FROM @vectors AS v WHERE v.space_id = $1 AND "
    "v.text_hash = ANY ($2)";

// Not ON CONFLICT: its bookkeeping for every row costs more than the look, which is a scalar so that no plan joins
// whole tables. Two that store the same text at once: the later one runs again.
#define EMBEDJOBS_INSERT_FROM(input)                                                     \
  "INSERT INTO @vectors (space_id, text_hash, epoch, embedded_bytes, input_cap, vector)" \
  " SELECT $1, i.text_hash, $5, i.embedded_bytes, i.input_cap, i.vector FROM " input     \
  " WHERE (SELECT true FROM @vectors AS v WHERE v.space_id = $1 AND v.text_hash = i.text_hash) IS NULL"
constexpr const char* kInsertVectors = EMBEDJOBS_INSERT_FROM(EMBEDJOBS_INPUT_OF_VECTORS);
constexpr const char* kInsertReals = EMBEDJOBS_INSERT_FROM(EMBEDJOBS_INPUT_OF_REALS);
// Those that were there before this transaction.
constexpr const char* kLock =
    "SELECT v.text_hash, v.epoch FROM @vectors AS v WHERE v.space_id = $1 AND v.text_hash = ANY ($2)"
    " AND v.xmin <> pg_current_xact_id()::xid ORDER BY v.text_hash FOR UPDATE";
// A vector that is equal stays the stored one: then no index of vectors has anything to do.
#define EMBEDJOBS_REPLACE_FROM(input, equal)                                                         \
  "UPDATE @vectors AS v SET epoch = $5, embedded_bytes = i.embedded_bytes, input_cap = i.input_cap," \
  " vector = CASE WHEN v.vector " equal " i.vector THEN v.vector ELSE i.vector END FROM " input      \
  " WHERE v.space_id = $1 AND v.text_hash = i.text_hash"
constexpr const char* kReplaceVectors = EMBEDJOBS_REPLACE_FROM(EMBEDJOBS_INPUT_OF_VECTORS, "OPERATOR(#=)");
constexpr const char* kReplaceReals = EMBEDJOBS_REPLACE_FROM(EMBEDJOBS_INPUT_OF_REALS, "=");
constexpr const char* kMarkReferenced = "DELETE FROM @unreferenced WHERE space_id = $1 AND text_hash = ANY ($2)";

/// What a chunk does to the table of vectors. Large ones are sent in parts: the server stores one while the next is
/// made and sent.
class VectorWriter {
 public:
  VectorWriter(Connection& connection, std::int64_t space_id, const PassContext& context)
      : connection_(connection), type_(connection.vector_type()), space_id_(space_id), context_(context) {}

  void put(const std::vector<const VectorRow*>& rows) {
    connection_.push();
    if (write(rows, kInsertVectors, kInsertReals) < static_cast<std::int64_t>(rows.size())) {
      replace(rows);
    }
  }

 private:
  /// The number of rows written, by one of two statements that take the same.
  std::int64_t write(std::span<const VectorRow* const> rows, const char* of_vectors, const char* of_reals) {
    std::int64_t written = 0;
    while (!rows.empty()) {
      const VectorArrays part(rows.first(std::min(rows.size(), kRowsPerPart)));
      rows = rows.subspan(part.texts.size());
      const TypedValue vectors = type_.array_of(part.vectors);
      const bool last = rows.empty();
      if (type_.kind == PostgresVectors::kReal) {
        send(last, written, of_reals, space_id_, part.texts, part.bytes, part.caps, context_.epoch, vectors,
             context_.space.dimension);
      } else {
        send(last, written, of_vectors, space_id_, part.texts, part.bytes, part.caps, context_.epoch, vectors);
      }
    }
    return written;
  }

  template <typename... Args>
  void send(bool last, std::int64_t& written, const char* sql, const Args&... args) {
    if (last) {
      written += connection_.run(sql, args...);
    } else {
      connection_.run_later_counted(written, sql, args...);
      connection_.push();
    }
  }

  /// Some texts had a vector already.
  void replace(const std::vector<const VectorRow*>& rows) {
    std::map<TextHash, const VectorRow*> by_text;
    std::vector<TextHash> texts;
    for (const VectorRow* row : rows) {
      by_text[row->text_hash] = row;
      texts.push_back(row->text_hash);
    }
    mark_referenced(connection_, space_id_, texts);
    std::vector<const VectorRow*> stale;
    {
      Query row = connection_.query(kLock, space_id_, texts);
      while (row.next()) {
        // A pass from before a manual retry does not undo the retry's work for another document.
        if (row.number(1) <= context_.epoch) {
          stale.push_back(by_text[row.hash(0)]);
        }
      }
    }
    (void)write(stale, kReplaceVectors, kReplaceReals);
  }

  static constexpr std::size_t kRowsPerPart = 64;

  Connection& connection_;
  const VectorType& type_;
  const std::int64_t space_id_;
  const PassContext& context_;
};

}  // namespace

VectorArrays::VectorArrays(std::span<const VectorRow* const> rows) {
  for (const VectorRow* row : rows) {
    texts.push_back(row->text_hash);
    bytes.push_back(static_cast<std::int64_t>(row->embedded_bytes));
    caps.push_back(static_cast<std::int64_t>(row->input_cap));
    vectors.emplace_back(row->vector);
  }
}

std::vector<const VectorRow*> last_of_each_text(std::span<const VectorRow> rows) {
  std::map<TextHash, const VectorRow*> last;
  for (const VectorRow& row : rows) {
    last[row.text_hash] = &row;
  }
  std::vector<const VectorRow*> texts;
  texts.reserve(last.size());
  for (const auto& [hash, row] : last) {
    texts.push_back(row);
  }
  return texts;
}

std::vector<bool> reusable(Connection& connection, std::int64_t space_id, const PassContext& context,
                           const std::vector<TextHash>& texts) {
  std::set<TextHash> found;
  if (!texts.empty()) {
    Query row = connection.query(kProbe, space_id, texts);
    while (row.next()) {
      const VectorMark mark{.epoch = row.number(1), .embedded_bytes = row.number(2), .input_cap = row.number(3)};
      if (may_reuse(context, mark)) {
        found.insert(row.hash(0));
      }
    }
  }
  std::vector<bool> answer;
  answer.reserve(texts.size());
  for (const TextHash& text : texts) {
    answer.push_back(found.contains(text));
  }
  return answer;
}

Status put_vectors(Connection& connection, std::int64_t space_id, const PassContext& context,
                   std::span<const VectorRow> rows) {
  if (Status status = check_fits(connection.vector_type(), context.space, rows); !status.ok()) {
    return status;
  }
  VectorWriter(connection, space_id, context).put(last_of_each_text(rows));
  return {};
}

void mark_referenced(Connection& connection, std::int64_t space_id, const std::vector<TextHash>& texts) {
  connection.run_later(kMarkReferenced, space_id, texts);
}

Result<std::vector<bool>> PostgresCatalog::list_existing(const PassContext& context, const Manifest& wanted) {
  if (Status status = core::check_pass(context); !status.ok()) {
    return status;
  }
  return core::stored_texts(wanted, [&](const std::vector<TextHash>& texts) {
    return database_->read([&](Connection& connection) -> Result<std::vector<bool>> {
      auto key = fenced_key(connection, context, FenceCheck::kRead);
      if (!key.ok()) {
        return key.status();
      }
      return reusable(connection, find_space(connection, key->catalog_id, context.space.id()), context, texts);
    });
  });
}

}  // namespace embedjobs::postgres
