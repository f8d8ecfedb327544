// Searches and rows.
#include "blocks.hpp"
#include "results.hpp"

namespace embedjobs::capi {
namespace {

using Hits = OwningList<embedjobs_hits, embedjobs_hit>;

struct StoredRows : Owning<embedjobs_stored_rows> {
  void add(const StoredRow& row) {
    packed.add(row.operation_id);
    hash_bytes.insert(hash_bytes.end(), row.text_hash.begin(), row.text_hash.end());
    sent.push_back(row.embedded_bytes);
    floats.insert(floats.end(), row.vector.begin(), row.vector.end());
  }
  void finish(const Space& space, bool with_vectors) {
    space_id = keep(space.model.empty() ? "" : space.id());
    count = sent.size();
    dimension = space.dimension;
    ids = packed.bytes();
    id_offsets = packed.offsets();
    hashes = hash_bytes.data();
    embedded_bytes = sent.data();
    vectors = with_vectors ? floats.data() : nullptr;
  }
  PackedStrings packed;
  std::vector<std::uint8_t> hash_bytes;
  std::vector<std::uint64_t> sent;
  std::vector<float> floats;
};

void add_hit(Hits& list, const SearchHit& hit) {
  embedjobs_hit& item = list.add();
  item.catalog_id = list.keep(hit.key.catalog_id);
  item.spec_name = list.keep(hit.key.spec_name);
  item.operation_id = list.keep(hit.operation_id);
  item.operation_id_size = hit.operation_id.size();
  item.score = static_cast<double>(hit.score);
}

}  // namespace
}  // namespace embedjobs::capi

using namespace embedjobs;  // NOLINT(google-build-using-namespace)
using capi::FromCallback;

extern "C" {

std::int32_t embedjobs_engine_search(embedjobs_engine* engine, const char* catalog_id, const char* query,
                                     std::size_t size, std::size_t k, embedjobs_hits** out, embedjobs_error** error) {
  const auto search = [&](Engine& core) -> Result<std::vector<SearchHit>> {
    const Status named = capi::check_name(catalog_id, "catalog_id");
    const auto text = capi::read_block(query, size, "query");
    if (!named.ok() || !text.ok()) {
      return !named.ok() ? named : text.status();
    }
    return core.search(catalog_id, *text, k);
  };
  return capi::list_call<embedjobs_hits, capi::Hits>(engine, FromCallback::kRefused, __func__, out, error, search,
                                                     capi::add_hit);
}

void embedjobs_hits_destroy(embedjobs_hits* hits) {
  delete static_cast<capi::Hits*>(hits);
}

std::int32_t embedjobs_engine_rows(embedjobs_engine* engine, const char* catalog_id, const char* spec_name,
                                   std::int32_t with_vectors, embedjobs_stored_rows** out, embedjobs_error** error) {
  const auto read = [&](Engine& core, capi::StoredRows& rows) -> Status {
    const Result<SpecKey> key = capi::read_key(catalog_id, spec_name);
    if (!key.ok()) {
      return key.status();
    }
    const auto add = [&](const StoredRow& row) {
      rows.add(row);
      return true;
    };
    const Result<Space> space = core.rows(*key, with_vectors != 0, add);
    if (space.ok()) {
      rows.finish(*space, with_vectors != 0);
    }
    return space.status();
  };
  return capi::result_call<embedjobs_stored_rows, capi::StoredRows>(engine, FromCallback::kRefused, __func__, out,
                                                                    error, read);
}

void embedjobs_stored_rows_destroy(embedjobs_stored_rows* rows) {
  delete static_cast<capi::StoredRows*>(rows);
}

}  // extern "C"
