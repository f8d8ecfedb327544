// The built-in home of documents and vectors, over the same database as a Store.
#pragma once

#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "embedjobs/jobs.hpp"
#include "embedjobs/persister.hpp"
#include "embedjobs/resolver.hpp"
#include "embedjobs/search.hpp"
#include "embedjobs/space.hpp"

namespace embedjobs {

/// What the status of one spec is made of, without its job.
struct SpecInfo {
  SpecKey key;
  std::int64_t operation_count = 0;  ///< N: of the last document that was split.
  std::int64_t embedding_count = 0;  ///< E: visible rows.
  std::string visible_space_id;      ///< Empty: nothing visible.
  std::string content_version;
  std::uint64_t generation = 0;
  bool complete = false;  ///< The visible rows are a finalized manifest of the current content.
  WallTime updated_at{};
};

/// Documents, vectors and their catalogs. Thread-safe. Also the SpecResolver and Persister of the built-in backends.
class Catalog : public SpecResolver, public Persister {
 public:
  /// Stores the document and makes its job, in one transaction. A catalog that does not exist is made, with
  /// `target_space_id` as its target (empty: the first worker chooses). The content is not looked at here: Engine::put
  /// refuses what can't be split.
  virtual Result<EnqueueResult> put(const SpecKey& key, std::string_view content, std::string_view target_space_id) = 0;
  /// Removes a spec: raises the generation, sets the tombstone, revokes the lease, clears rows and document, cancels
  /// the open job. kNotFound when there is no such spec.
  virtual Status remove(const SpecKey& key) = 0;
  /// Removes every spec of the catalog. kNotFound when there is no such catalog.
  virtual Status remove_catalog(std::string_view catalog_id) = 0;
  /// Changes the catalog's target and enqueues all of its specs. Readers keep the old space until the new one is
  /// complete. The same target again changes nothing. kNotFound when there is no such catalog. Returns how many specs
  /// were enqueued.
  virtual Result<std::size_t> switch_space(std::string_view catalog_id, const Space& target) = 0;

  /// Remembers how vectors of a space of the catalog are made: `spec` is what make_embedder() reads, at most
  /// kMaxEmbedderBytes of UTF-8, without a key. An empty `space_id` stands for a space that nobody knows yet. Replaces
  /// what was remembered. kNotFound when there is no such catalog. The default answers kRefused.
  virtual Status remember_embedder(std::string_view catalog_id, std::string_view space_id, std::string_view spec);
  /// What is remembered of the space; else of a space that nobody knew then; else empty. kNotFound when there is no
  /// such catalog. The default answers kRefused.
  virtual Result<std::string> remembered_embedder(std::string_view catalog_id, std::string_view space_id);

  virtual Result<std::vector<CatalogInfo>> catalogs() = 0;
  /// The space that searches of one catalog read; empty while it has none. kNotFound when there is no such catalog.
  /// Unlike catalogs(), it counts no specs.
  virtual Result<std::string> search_space_of(std::string_view catalog_id) = 0;
  /// At most `limit` specs after `after` (exclusive), ordered by key, of one catalog or of all.
  virtual Result<std::vector<SpecInfo>> specs(std::optional<std::string> catalog_id, const SpecKey* after,
                                              std::size_t limit) = 0;
  /// Calls `visit` for each visible row, ordered by the bytes of the operation id. When `visit` returns false, the call
  /// ends early. kNotFound: no such spec. Returns the space of the rows (empty model when there are no rows). `visit`
  /// may not call the catalog.
  virtual Result<Space> rows(const SpecKey& key, bool with_vectors,
                             const std::function<bool(const StoredRow&)>& visit) = 0;
  /// The `k` nearest operations of the catalog in `space`, best first; ties by key and operation id.
  /// kRefused when searches of the catalog read another space.
  virtual Result<std::vector<SearchHit>> search(std::string_view catalog_id, const Space& space,
                                                std::span<const float> query, std::size_t k) = 0;

  /// Deletes rows that nothing points to: vectors without a reference for longer than `grace`, and replaced manifests.
  /// One call looks at and deletes up to `limit` rows, and returns how many. 0: a whole round is done.
  virtual Result<std::size_t> sweep(Duration grace, std::size_t limit) = 0;
};

}  // namespace embedjobs
