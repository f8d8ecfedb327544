// A search in three steps: the texts whose vectors are nearest, by the server's operator; the operations that show
// them; and those that may be among the best once more, exactly. Nothing is filtered while an index is scanned: what
// the filter takes away, texts that no visible row points to, is made up for by asking for more.
#include "postgres/search_nearest.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <map>

#include "core/rules/errors.hpp"
#include "core/rules/vectors.hpp"
#include "postgres/index_vectors.hpp"
#include "postgres/records.hpp"

namespace embedjobs::postgres {
namespace {

constexpr std::size_t kFewestTexts = 64;
constexpr std::size_t kMostTexts = std::size_t{1} << 30;
constexpr std::size_t kMaxEfSearch = 1000;  ///< pgvector allows no more.
/// The server adds up floats, this side doubles: distances that differ by less may stand in the other order.
constexpr double kDistanceTolerance = 1e-4;

// Of each text the first k operations that searches see, so that ties go by key and operation id.
constexpr const char* kOperations =
    "SELECT i.place, s.spec_name, s.operation_id FROM unnest($1::bytea[]) WITH ORDINALITY AS i (text_hash, place)"
    " CROSS JOIN LATERAL (SELECT k.spec_name, o.operation_id FROM @operations AS o JOIN @manifests AS m ON m.id = "
    "o.manifest_id"
    "  JOIN @keys AS k ON k.id = m.key_id JOIN @catalogs AS c ON c.id = k.catalog_id"
    "  WHERE o.text_hash = i.text_hash AND k.catalog_id = $3 AND k.has_spec AND m.id = " EMBEDJOBS_SEARCHED_MANIFEST
    "  ORDER BY k.spec_name, o.operation_id LIMIT $4) AS s";
constexpr const char* kVectors =
    "SELECT v.text_hash, v.vector FROM @vectors AS v WHERE v.space_id = $1 AND v.text_hash = ANY ($2)";

struct Text {
  TextHash hash{};
  double distance = 0;
  std::vector<std::pair<std::string, std::string>> operations;  ///< Spec name, operation id.
};

/// One search, in one transaction.
class NearestSearch {
 public:
  NearestSearch(Connection& connection, std::string_view catalog_id, const SearchedSpace& searched,
                std::span<const float> query, std::size_t k)
      : connection_(connection),
        type_(connection.vector_type()),
        catalog_id_(catalog_id),
        searched_(searched),
        query_(query),
        k_(k),
        origin_(type_.value_of(scaled(query))) {}

  std::vector<SearchHit> run() {
    bool indexed = has_vector_index(connection_, searched_.space_id);
    for (std::size_t limit = std::clamp(k_ * 4, kFewestTexts, kMostTexts); connection_.ok();) {
      std::vector<Text> texts = nearest_texts(limit, indexed);
      const bool exhausted = texts.size() < limit;
      find_operations(texts);
      const double worst = distance_of_last(texts);
      if (exhausted && indexed && std::isinf(worst)) {
        indexed = false;  // an index gives what it finds, not all there is
        continue;
      }
      if (exhausted || texts.back().distance > worst + kDistanceTolerance) {
        return compare(texts, worst);
      }
      limit = std::min(limit * 4, kMostTexts);
    }
    return {};
  }

 private:
  /// The direction is what counts, and a vector of length 1 fits every type.
  static std::vector<float> scaled(std::span<const float> vector) {
    double square = 0;
    for (const float value : vector) {
      square += static_cast<double>(value) * static_cast<double>(value);
    }
    std::vector<float> out;
    out.reserve(vector.size());
    for (const float value : vector) {
      out.push_back(static_cast<float>(static_cast<double>(value) / std::sqrt(square)));
    }
    return out;
  }

  std::vector<Text> nearest_texts(std::size_t limit, bool indexed) {
    if (indexed) {
      // Both take effect when the extension's library is loaded, if it is not yet.
      (void)connection_.execute(fmt::format("SET LOCAL hnsw.ef_search = {}{}",
                                            std::clamp<std::size_t>(limit, kFewestTexts, kMaxEfSearch),
                                            type_.iterates ? "; SET LOCAL hnsw.iterative_scan = strict_order" : ""));
    }
    // The space is a literal, so that the planner finds its index; "+ 0" keeps it from one.
    const std::string sql = fmt::format(
        "SELECT text_hash, vector::#{0}({1}) OPERATOR(#<=>) $1 FROM @vectors WHERE space_id = {2}"
        " ORDER BY (vector::#{0}({1}) OPERATOR(#<=>) $1){3} LIMIT {4}",
        to_string(type_.kind), query_.size(), searched_.space_id, indexed ? "" : " + 0", limit);
    std::vector<Text> texts;
    Query row = connection_.query_once(sql, origin_);
    while (row.next()) {
      texts.push_back({.hash = row.hash(0), .distance = std::bit_cast<double>(row.number(1)), .operations = {}});
    }
    return texts;
  }

  void find_operations(std::vector<Text>& texts) {
    std::vector<TextHash> hashes;
    hashes.reserve(texts.size());
    for (const Text& text : texts) {
      hashes.push_back(text.hash);
    }
    Query row = connection_.query(kOperations, hashes, searched_.space_id, searched_.catalog_id, limit_of(k_));
    while (row.next()) {
      const std::size_t place = row.number(0) - 1;
      if (place < texts.size()) {
        texts[place].operations.emplace_back(row.text(1), row.text(2));
      }
    }
  }

  /// Of the k-th operation; infinite while there are fewer.
  [[nodiscard]] double distance_of_last(const std::vector<Text>& texts) const {
    std::size_t count = 0;
    for (const Text& text : texts) {
      count += text.operations.size();
      if (count >= k_) {
        return text.distance;
      }
    }
    return HUGE_VAL;
  }

  std::vector<SearchHit> compare(const std::vector<Text>& texts, double worst) {
    std::map<TextHash, const Text*> candidates;
    std::vector<TextHash> hashes;
    for (const Text& text : texts) {
      if (!text.operations.empty() && !(text.distance > worst + kDistanceTolerance)) {
        candidates[text.hash] = &text;
        hashes.push_back(text.hash);
      }
    }
    const core::Cosine cosine(query_);
    core::TopHits best(k_);
    std::vector<float> vector;
    Query row = connection_.query(kVectors, searched_.space_id, hashes);
    while (row.next()) {
      if (!type_.read(row.blob(1), vector)) {
        continue;
      }
      const float score = cosine(vector);
      for (const auto& [spec_name, operation_id] : candidates[row.hash(0)]->operations) {
        best.offer({catalog_id_, spec_name}, operation_id, score);
      }
    }
    return best.take();
  }

  Connection& connection_;
  const VectorType& type_;
  const std::string catalog_id_;
  const SearchedSpace searched_;
  const std::span<const float> query_;
  const std::size_t k_;
  const TypedValue origin_;
};

}  // namespace

Result<SearchedSpace> searched_space(Connection& connection, std::string_view catalog_id, const std::string& space_id) {
  const std::optional<CatalogRow> catalog = find_catalog(connection, catalog_id);
  if (!catalog) {
    return core::no_such_catalog(catalog_id);
  }
  if (catalog->search_space != space_id && !catalog->search_space.empty()) {
    return core::wrong_search_space(catalog_id, catalog->search_space, space_id);
  }
  return SearchedSpace{.catalog_id = catalog->id, .space_id = find_space(connection, catalog->id, space_id)};
}

Result<std::vector<SearchHit>> search_nearest(Database& database, std::string_view catalog_id, const Space& space,
                                              std::span<const float> query, std::size_t k) {
  return database.read([&](Connection& connection) -> Result<std::vector<SearchHit>> {
    auto searched = searched_space(connection, catalog_id, space.id());
    if (!searched.ok()) {
      return searched.status();
    }
    if (k == 0 || searched->space_id == 0 || space.dimension > kMaxVectorDimension) {
      return std::vector<SearchHit>();
    }
    (void)connection.vector_type();
    return NearestSearch(connection, catalog_id, *searched, query, k).run();
  });
}

}  // namespace embedjobs::postgres
