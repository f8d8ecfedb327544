#include "conformance/scene.hpp"

#include "embedjobs/memory.hpp"

namespace embedjobs::test {

namespace {

/// Stands where the host offers no catalog: a case that calls it lacks its tag.
class NoCatalog final : public Catalog {
 public:
  Result<Document> resolve(const SpecKey&) override { return none(); }
  Result<std::vector<bool>> list_existing(const PassContext&, const Manifest&) override { return none(); }
  Status persist_batch(const PassContext&, std::span<const VectorRow>) override { return none(); }
  Status finalize(const PassContext&, const Manifest&) override { return none(); }
  Result<EnqueueResult> put(const SpecKey&, std::string_view, std::string_view) override { return none(); }
  Status remove(const SpecKey&) override { return none(); }
  Status remove_catalog(std::string_view) override { return none(); }
  Result<std::size_t> switch_space(std::string_view, const Space&) override { return none(); }
  Result<std::vector<CatalogInfo>> catalogs() override { return none(); }
  Result<std::string> search_space_of(std::string_view) override { return none(); }
  Result<std::vector<SpecInfo>> specs(std::optional<std::string>, const SpecKey*, std::size_t) override {
    return none();
  }
  Result<Space> rows(const SpecKey&, bool, const std::function<bool(const StoredRow&)>&) override { return none(); }
  Result<std::vector<SearchHit>> search(std::string_view, const Space&, std::span<const float>, std::size_t) override {
    return none();
  }
  Result<std::size_t> sweep(Duration, std::size_t) override { return none(); }

 private:
  static Status none() {
    FAIL("this case needs a catalog, and has no tag that says so");
    return {};
  }
};

Catalog& catalog_of(const Backend& backend) {
  static NoCatalog none;
  return backend.catalog ? *backend.catalog : none;
}

}  // namespace

Backend Database::open(const StoreOptions& options, std::shared_ptr<Clock> clock) {
  return {make_memory_backend(options, std::move(clock)).store, nullptr};
}

void Database::make_document(const SpecKey& /*key*/) {}

Seen Database::rows(const SpecKey& /*key*/) {
  FAIL("offers() says that there are rows: let Database::rows() read them");
  return {};
}

std::vector<float> Database::vector(const SpecKey& /*key*/, const std::string& /*operation_id*/) {
  FAIL("offers() says that there are vectors: let Database::vector() read them");
  return {};
}

void lost(const Status& status) {
  INFO(status.to_string());
  REQUIRE(status.code() == Code::kLeaseLost);
}

Manifest manifest_of(const Ops& ops) {
  Manifest manifest;
  for (const Op& op : ops) {
    manifest.add(op.id, hash_text(op.text));
  }
  return manifest;
}

std::vector<float> vector_of(std::string_view text, const Space& space, int salt) {
  const TextHash hash = hash_text(text);
  std::vector<float> vector(space.dimension);
  for (std::size_t i = 0; i < vector.size(); ++i) {
    vector[i] = static_cast<float>(hash[i % hash.size()]) + 1.0F + static_cast<float>(salt);
  }
  return vector;
}

Rows::Rows(const Ops& ops, const Space& space, int salt) : ops_(ops) {
  vectors_.reserve(ops_.size());
  for (const Op& op : ops_) {
    vectors_.push_back(vector_of(op.text, space, salt));
    rows_.push_back({.operation_id = op.id, .text_hash = hash_text(op.text), .vector = vectors_.back()});
  }
}

Seen seen(const Ops& ops) {
  Seen rows;
  for (const Op& op : ops) {
    rows.emplace_back(op.id, to_hex(hash_text(op.text)));
  }
  std::sort(rows.begin(), rows.end());
  return rows;
}

LeaseRef ref(const Lease& lease) {
  return {lease.job.id, lease.job.key, lease.job.fence};
}

Scene::Scene(StoreOptions options)
    : backend(database->open(options, clock)), store(*backend.store), catalog(catalog_of(backend)) {}

ClaimRequest Scene::request(std::size_t max_jobs, const Space& space) {
  return {.worker_id = "worker", .max_jobs = max_jobs, .nonce = ++nonce, .space_id = space.id()};
}

Lease Scene::claim_one(const Space& space) {
  ClaimResult result = claim(1, space);
  REQUIRE(result.leases.size() == 1);
  return result.leases[0];
}

Lease Scene::run(const SpecKey& key, JobKind kind) {
  enqueue(key, kind);
  return claim_one();
}

Job Scene::last_job(const SpecKey& key) {
  auto jobs = get(store.last_jobs(std::vector{key}));
  REQUIRE(jobs.size() == 1);
  REQUIRE(jobs[0].has_value());
  return *jobs[0];
}

JobState Scene::last_state(const SpecKey& key) {
  return state(last_job(key).id);
}

PassContext Scene::context(const Lease& lease, const Space& space) {
  const Result<Document> document =
      backend.catalog ? catalog.resolve(lease.job.key) : Result<Document>(Code::kGone, "no catalog");
  return {.key = lease.job.key,
          .job_id = lease.job.id,
          .fence = lease.job.fence,
          .generation = lease.job.generation,
          .space = space,
          .epoch = lease.state.epoch,
          .reuse_floor = lease.reuse_floor,
          .content_version = document.ok() ? document->version : "none",
          .splitter_version = "splitter/1"};
}

Status Scene::persist(const Lease& lease, const Ops& ops, const Space& space, int salt) {
  return catalog.persist_batch(context(lease, space), Rows(ops, space, salt).all());
}

Status Scene::finalize(const Lease& lease, const Ops& ops, const Space& space) {
  return catalog.finalize(context(lease, space), manifest_of(ops));
}

std::vector<bool> Scene::existing(const Lease& lease, const Ops& ops, const Space& space) {
  return get(catalog.list_existing(context(lease, space), manifest_of(ops)));
}

std::vector<Reservation> Scene::reserve(const Lease& lease, const std::vector<std::string>& texts,
                                        const std::vector<std::string>& given_up) {
  const auto hashes = [](const std::vector<std::string>& of) {
    std::vector<TextHash> all;
    std::transform(of.begin(), of.end(), std::back_inserter(all),
                   [](const std::string& text) { return hash_text(text); });
    return all;
  };
  return get(catalog.reserve(context(lease), hashes(texts), hashes(given_up)));
}

void Scene::complete(const Lease& lease, const Ops& ops, const Space& space) {
  ok(persist(lease, ops, space));
  ok(finalize(lease, ops, space));
  settle(lease);
}

void Scene::index(const SpecKey& key, const Ops& ops) {
  std::string content;
  for (const Op& op : ops) {
    content += op.id + ": " + op.text + "\n";
  }
  put(key, content);
  complete(claim_one(), ops);
}

Seen Scene::rows(const SpecKey& key) {
  Seen rows;
  get(catalog.rows(key, false, [&](const StoredRow& row) {
    rows.emplace_back(row.operation_id, to_hex(row.text_hash));
    return true;
  }));
  return rows;
}

std::vector<float> Scene::vector(const SpecKey& key, std::string_view operation_id) {
  std::vector<float> vector;
  get(catalog.rows(key, true, [&](const StoredRow& row) {
    if (row.operation_id == operation_id) {
      vector = row.vector;
    }
    return true;
  }));
  return vector;
}

SpecInfo Scene::info(const SpecKey& key) {
  for (const SpecInfo& info : get(catalog.specs(key.catalog_id, nullptr, 1000))) {
    if (info.key == key) {
      return info;
    }
  }
  FAIL("there is no spec " << key.spec_name);
  return {};
}

CatalogInfo Scene::catalog_info(std::string_view catalog_id) {
  for (const CatalogInfo& info : get(catalog.catalogs())) {
    if (info.catalog_id == catalog_id) {
      return info;
    }
  }
  FAIL("there is no catalog " << catalog_id);
  return {};
}

std::vector<std::string> Scene::search(std::string_view text, const Space& space, std::size_t k) {
  std::vector<std::string> found;
  for (const SearchHit& hit : get(catalog.search("catalog", space, vector_of(text, space), k))) {
    found.push_back(hit.key.spec_name + ":" + hit.operation_id);
  }
  return found;
}

}  // namespace embedjobs::test
