// Catalog over a Database. Its parts: catalog.cpp (documents and lists), vectors.cpp, reserve.cpp and manifest.cpp
// (chunks), finalize.cpp, search.cpp (reading rows), switch_space.cpp, embedders.cpp, sweep.cpp.
#pragma once

#include <memory>

#include "embedjobs/sys/catalog.hpp"
#include "postgres/database.hpp"

namespace embedjobs::postgres {

class PostgresCatalog final : public Catalog {
 public:
  explicit PostgresCatalog(std::shared_ptr<Database> database) : database_(std::move(database)) {}

  Result<Document> resolve(const SpecKey& key) override;
  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override;

  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override;
  Result<std::vector<Reservation>> reserve(const PassContext& context, std::span<const TextHash> texts,
                                           std::span<const TextHash> given_up) override;
  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override;
  Status finalize(const PassContext& context, const Manifest& manifest) override;
  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override;

  Result<EnqueueResult> put(const SpecKey& key, std::string_view content, std::string_view target_space_id) override;
  Status remove(const SpecKey& key) override;
  Status remove_catalog(std::string_view catalog_id) override;
  Result<std::size_t> switch_space(std::string_view catalog_id, const Space& target) override;
  Result<std::vector<CatalogInfo>> catalogs() override;
  Status remember_embedder(std::string_view catalog_id, std::string_view space_id, std::string_view spec) override;
  Result<std::string> remembered_embedder(std::string_view catalog_id, std::string_view space_id) override;
  Result<std::string> search_space_of(std::string_view catalog_id) override;
  Result<std::vector<SpecInfo>> specs(std::optional<std::string> catalog_id, const SpecKey* after,
                                      std::size_t limit) override;
  Result<Space> rows(const SpecKey& key, bool with_vectors,
                     const std::function<bool(const StoredRow&)>& visit) override;
  Result<std::vector<SearchHit>> search(std::string_view catalog_id, const Space& space, std::span<const float> query,
                                        std::size_t k) override;
  Result<std::size_t> sweep(Duration grace, std::size_t limit) override;

 private:
  /// A part of a chunk, in a transaction of its own.
  Status upsert_piece(const PassContext& context, std::span<const VectorRow> rows);

  std::shared_ptr<Database> database_;
};

}  // namespace embedjobs::postgres
