#include <algorithm>

#include "core/rules/checks.hpp"
#include "core/rules/errors.hpp"
#include "core/rules/vectors.hpp"
#include "core/values/guard.hpp"
#include "memory/state.hpp"

namespace embedjobs::memory {
namespace {

SpecInfo info_of(const SpecKey& key, const KeyRow& row) {
  const Spec& spec = *row.spec;
  SpecInfo info;
  info.key = key;
  info.operation_count = spec.operation_count;
  info.embedding_count = static_cast<std::int64_t>(spec.visible_rows().size());
  info.visible_space_id = spec.visible_space;
  info.content_version = spec.document ? spec.document->version : spec.finalized.content_version;
  info.generation = row.state.generation;
  info.complete = spec.complete();
  info.updated_at = spec.updated_at;
  return info;
}

class MemoryCatalog final : public Catalog {
 public:
  explicit MemoryCatalog(std::shared_ptr<State> state) : state_(std::move(state)) {}

  // Documents

  Result<EnqueueResult> put(const SpecKey& key, std::string_view content, std::string_view target_space_id) override {
    if (Status status = core::check_put(key, content, target_space_id); !status.ok()) {
      return status;
    }
    const std::string version = to_hex(hash_text(content));
    Result<EnqueueResult> result = locked(*state_, [&]() -> Result<EnqueueResult> {
      const WallTime now = state_->clock->wall_now();
      KeyEntry& entry = state_->key_row(key);
      CatalogRow& catalog = state_->catalog_of(key).second;
      if (catalog.target_space.empty()) {
        catalog.target_space = catalog.search_space = target_space_id;
      }
      Spec& spec = made(entry.second);
      spec.document = Document{std::string(content), version};
      spec.updated_at = now;
      return state_->enqueue(entry, JobKind::kSpecWrite, now);
    });
    if (result.ok()) {
      state_->wake.fire();
    }
    return result;
  }

  Status remove(const SpecKey& key) override {
    return locked(*state_, [&]() -> Status {
      KeyEntry* entry = state_->find_key(key);
      return entry != nullptr && remove(*entry) ? Status() : core::no_such_spec(key);
    });
  }

  Status remove_catalog(std::string_view catalog_id) override {
    return locked(*state_, [&]() -> Status {
      bool removed = false;
      const auto [begin, end] = state_->keys_of(catalog_id);
      for (auto entry = begin; entry != end; ++entry) {
        removed = remove(*entry) || removed;
      }
      return removed ? Status() : core::no_such_catalog(catalog_id);
    });
  }

  Result<std::size_t> switch_space(std::string_view catalog_id, const Space& target) override {
    if (Status status = validate(target); !status.ok()) {
      return status;
    }
    const auto result = of_catalog<Result<std::size_t>>(catalog_id, [&](CatalogEntry& catalog) {
      if (catalog.second.target_space == target.id()) {
        return std::size_t{0};
      }
      catalog.second.target_space = target.id();
      std::size_t enqueued = 0;
      const auto [begin, end] = state_->keys_of(catalog_id);
      for (auto entry = begin; entry != end; ++entry) {
        const KeyRow& row = entry->second;
        if (!row.state.removed && (row.spec || row.open_job != 0)) {
          state_->enqueue_for_switch(*entry, state_->clock->wall_now());
          ++enqueued;
        }
      }
      state_->flip_search_space(catalog);
      return enqueued;
    });
    if (result.ok()) {
      state_->wake.fire();
    }
    return result;
  }

  Result<Document> resolve(const SpecKey& key) override {
    return locked(*state_, [&]() -> Result<Document> {
      const KeyEntry* entry = state_->find_key(key);
      if (entry == nullptr || !entry->second.spec || !entry->second.spec->document) {
        return core::document_gone(key);
      }
      return *entry->second.spec->document;
    });
  }

  Result<std::vector<SpecVersion>> list(const SpecKey* after, std::size_t limit) override {
    return locked(*state_, [&]() -> Result<std::vector<SpecVersion>> {
      std::vector<SpecVersion> found;
      for (auto entry = start(after); entry != state_->keys.end() && found.size() < limit; ++entry) {
        if (entry->second.spec && entry->second.spec->document) {
          found.push_back({entry->first, entry->second.spec->document->version});
        }
      }
      return found;
    });
  }

  // Vectors

  Result<std::vector<bool>> list_existing(const PassContext& context, const Manifest& wanted) override {
    if (Status status = core::check_pass(context); !status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Result<std::vector<bool>> {
      if (Status status = check_holder(context); !status.ok()) {
        return status;
      }
      const VectorTable& vectors = state_->catalog_of(context.key).second.vectors[context.space.id()];
      std::vector<bool> answer;
      answer.reserve(wanted.size());
      for (std::size_t i = 0; i < wanted.size(); ++i) {
        answer.push_back(reusable(vectors, wanted.text_hash(i), context));
      }
      return answer;
    });
  }

  Result<std::vector<Reservation>> reserve(const PassContext& context, std::span<const TextHash> texts,
                                           std::span<const TextHash> given_up) override {
    if (Status status = core::check_pass(context); !status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Result<std::vector<Reservation>> {
      if (Status status = check_holder(context); !status.ok()) {
        return status;
      }
      for (const TextHash& text : given_up) {
        end_reservation(state_->catalog_of(context.key), context, text);
      }
      CatalogRow& catalog = state_->catalog_of(context.key).second;
      std::vector<Reservation> answer;
      for (const TextHash& text : texts) {
        answer.push_back(reserve(catalog, context, text));
      }
      return answer;
    });
  }

  Status persist_batch(const PassContext& context, std::span<const VectorRow> rows) override {
    if (Status status = core::check_persist(context, rows); !status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Status {
      if (Status held = check_holder(context); !held.ok() || rows.empty()) {
        return held;
      }
      rules::StoredJob& job = state_->jobs.at(context.job_id);
      state_->add_tokens(job, core::count_tokens(job, context.prompt_tokens));
      CatalogEntry& catalog = state_->catalog_of(context.key);
      Spec& spec = made(state_->keys.at(context.key));
      const SpaceId space = context.space.id();
      for (const VectorRow& row : rows) {
        store_vector(catalog, space, row, context.epoch);
        end_reservation(catalog, context, row.text_hash);
        state_->put_row(catalog, spec, space, row.operation_id, row.text_hash);
      }
      if (spec.visible_space.empty()) {
        spec.visible_space = space;
      }
      return {};
    });
  }

  Status finalize(const PassContext& context, const Manifest& manifest) override {
    Status status = core::check_pass(context);
    if (status.ok()) {
      status = core::check_manifest(manifest);
    }
    if (!status.ok()) {
      return status;
    }
    return locked(*state_, [&]() -> Status {
      if (Status held = check_holder(context); !held.ok()) {
        return held;
      }
      CatalogEntry& catalog = state_->catalog_of(context.key);
      const VectorTable& vectors = catalog.second.vectors[context.space.id()];
      OperationRows rows;
      std::vector<std::size_t> missing;
      for (std::size_t i = 0; i < manifest.size(); ++i) {
        if (!reusable(vectors, manifest.text_hash(i), context)) {
          missing.push_back(i);
        }
        rows.emplace(manifest.operation_id(i), manifest.text_hash(i));
      }
      if (!missing.empty()) {
        return core::incomplete(manifest.operation_id(missing.front()), missing.size(), manifest.size());
      }
      make_visible(catalog, context, std::move(rows));
      return {};
    });
  }

  Result<std::vector<SpecState>> describe(std::span<const SpecKey> keys) override {
    return locked(*state_, [&]() -> Result<std::vector<SpecState>> {
      std::vector<SpecState> answer;
      for (const SpecKey& key : keys) {
        const KeyEntry* entry = state_->find_key(key);
        answer.push_back(entry != nullptr && entry->second.spec ? entry->second.spec->finalized : SpecState());
        answer.back().key = key;
      }
      return answer;
    });
  }

  // Reading

  Result<std::vector<CatalogInfo>> catalogs() override {
    return locked(*state_, [&]() -> Result<std::vector<CatalogInfo>> {
      std::vector<CatalogInfo> found;
      for (const auto& [id, catalog] : state_->catalogs) {
        CatalogInfo info{
            .catalog_id = id, .target_space_id = catalog.target_space, .search_space_id = catalog.search_space};
        const auto [begin, end] = state_->keys_of(id);
        for (auto entry = begin; entry != end; ++entry) {
          const std::optional<Spec>& spec = entry->second.spec;
          info.spec_count += spec ? 1 : 0;
          info.specs_in_target +=
              spec && !spec->visible_space.empty() && spec->visible_space == catalog.target_space ? 1 : 0;
        }
        found.push_back(std::move(info));
      }
      return found;
    });
  }

  Status remember_embedder(std::string_view catalog_id, std::string_view space_id, std::string_view spec) override {
    if (Status status = core::check_embedder(catalog_id, space_id, spec); !status.ok()) {
      return status;
    }
    return of_catalog<Status>(catalog_id, [&](CatalogEntry& catalog) {
      catalog.second.embedders[std::string(space_id)] = spec;
      return Status();
    });
  }

  Result<std::string> remembered_embedder(std::string_view catalog_id, std::string_view space_id) override {
    return of_catalog<Result<std::string>>(catalog_id, [&](const CatalogEntry& catalog) {
      const auto& embedders = catalog.second.embedders;
      const auto exact = embedders.find(std::string(space_id));
      const auto spec = exact == embedders.end() ? embedders.find(std::string()) : exact;
      return spec == embedders.end() ? std::string() : spec->second;
    });
  }

  Result<std::string> search_space_of(std::string_view catalog_id) override {
    return of_catalog<Result<std::string>>(catalog_id,
                                           [](const CatalogEntry& catalog) { return catalog.second.search_space; });
  }

  Result<std::vector<SpecInfo>> specs(std::optional<std::string> catalog_id, const SpecKey* after,
                                      std::size_t limit) override {
    return locked(*state_, [&]() -> Result<std::vector<SpecInfo>> {
      const SpecKey first{catalog_id.value_or(""), ""};
      auto entry = after == nullptr || *after < first ? state_->keys.lower_bound(first) : start(after);
      std::vector<SpecInfo> found;
      for (; entry != state_->keys.end() && found.size() < limit; ++entry) {
        if (catalog_id && entry->first.catalog_id != *catalog_id) {
          break;
        }
        if (entry->second.spec) {
          found.push_back(info_of(entry->first, entry->second));
        }
      }
      return found;
    });
  }

  Result<Space> rows(const SpecKey& key, bool with_vectors,
                     const std::function<bool(const StoredRow&)>& visit) override {
    std::vector<StoredRow> copy;
    Result<Space> space = locked(*state_, [&]() -> Result<Space> {
      const KeyEntry* entry = state_->find_key(key);
      if (entry == nullptr || !entry->second.spec) {
        return core::no_such_spec(key);
      }
      const Spec& spec = *entry->second.spec;
      const VectorTable& vectors = state_->catalog_of(key).second.vectors[spec.visible_space];
      for (const auto& [id, hash] : spec.visible_rows()) {
        const StoredVector& vector = vectors.at(hash);
        copy.push_back({id, hash, vector.mark.embedded_bytes, with_vectors ? vector.values : std::vector<float>()});
      }
      return spec.visible_space.empty() || copy.empty() ? Result<Space>(Space()) : parse_space(spec.visible_space);
    });
    const Status visited = core::guarded("the visitor of rows", [&] {
      (void)std::all_of(copy.begin(), copy.end(), [&](const StoredRow& row) { return visit(row); });
    });
    return visited.ok() ? std::move(space) : visited;
  }

  Result<std::vector<SearchHit>> search(std::string_view catalog_id, const Space& space, std::span<const float> query,
                                        std::size_t k) override {
    if (Status status = core::check_search(space, query); !status.ok()) {
      return status;
    }
    using Hits = Result<std::vector<SearchHit>>;
    return of_catalog<Hits>(catalog_id, [&](CatalogEntry& catalog) -> Hits {
      const SpaceId& readable = catalog.second.search_space;
      if (readable.empty()) {
        return std::vector<SearchHit>();
      }
      if (readable != space.id()) {
        return core::wrong_search_space(catalog_id, readable, space.id());
      }
      return nearest(catalog, query, k);
    });
  }

  Result<std::size_t> sweep(Duration grace, std::size_t limit) override {
    return locked(*state_, [&]() -> Result<std::size_t> {
      const WallTime now = state_->clock->wall_now();
      std::optional<VectorKey>& done = state_->swept_to;
      std::set<VectorKey>& unreferenced = state_->unreferenced;
      if (!done) {
        drop_reservations();
      }
      std::size_t examined = 0;
      for (auto next = done ? unreferenced.upper_bound(*done) : unreferenced.begin();
           next != unreferenced.end() && examined < limit;) {
        ++examined;
        done = *next;
        const auto& [catalog, space, hash] = *next;
        VectorTable& vectors = state_->catalogs.find(catalog)->second.vectors[space];
        WallTime& since = vectors.at(hash).unreferenced_since;
        since = std::min(since, now);  // a clock that was set back
        if (now - since < grace) {
          ++next;
          continue;
        }
        vectors.erase(hash);
        next = unreferenced.erase(next);
      }
      if (examined == 0) {
        done.reset();
      }
      return examined;
    });
  }

 private:
  /// What `f` answers of the catalog; kNotFound when there is none.
  template <typename R, typename F>
  R of_catalog(std::string_view catalog_id, const F& f) {
    return locked(*state_, [&]() -> R {
      const auto found = state_->catalogs.find(catalog_id);
      return found == state_->catalogs.end() ? R(core::no_such_catalog(catalog_id)) : R(f(*found));
    });
  }
  [[nodiscard]] KeyMap::const_iterator start(const SpecKey* after) const {
    return after == nullptr ? state_->keys.begin() : state_->keys.upper_bound(*after);
  }

  static Spec& made(KeyRow& row) { return row.spec ? *row.spec : row.spec.emplace(); }

  bool remove(KeyEntry& entry) {
    KeyRow& row = entry.second;
    if (!row.spec && row.open_job == 0) {
      return false;
    }
    state_->cancel(entry, state_->clock->wall_now());
    if (row.spec) {
      state_->drop_spec(entry);
    }
    return true;
  }

  /// The caller is the key's current holder, and works for the catalog's target space.
  [[nodiscard]] Status check_holder(const PassContext& context) const {
    if (state_->find_key(context.key) == nullptr) {
      return core::no_such_spec(context.key);
    }
    if (state_->find_held(context.job_id, context.key, context.fence).first == nullptr) {
      return core::lease_lost(context.job_id, context.key);
    }
    const SpaceId& target = state_->catalog_of(context.key).second.target_space;
    if (target != context.space.id()) {
      return core::wrong_target(context.key.catalog_id, target, context.space.id());
    }
    return {};
  }

  [[nodiscard]] static bool reusable(const VectorTable& vectors, const TextHash& hash, const PassContext& context) {
    const auto found = vectors.find(hash);
    return found != vectors.end() && may_reuse(context, found->second.mark);
  }

  Reservation reserve(CatalogRow& catalog, const PassContext& context, const TextHash& text) {
    const SpaceId space = context.space.id();
    if (reusable(catalog.vectors[space], text, context)) {
      return Reservation::kStored;
    }
    const Holder self{context.key, context.fence};
    Holder& holder = catalog.reservations[space].try_emplace(text, self).first->second;
    if (holder.key != context.key && state_->lives(holder)) {
      return Reservation::kElsewhere;
    }
    holder = self;
    return Reservation::kMine;
  }

  static void end_reservation(CatalogEntry& catalog, const PassContext& context, const TextHash& text) {
    ReservationTable& reservations = catalog.second.reservations[context.space.id()];
    const auto found = reservations.find(text);
    if (found != reservations.end() && found->second.key == context.key) {
      reservations.erase(found);
    }
  }

  void drop_reservations() {
    for (auto& [id, catalog] : state_->catalogs) {
      for (auto& [space, reservations] : catalog.reservations) {
        std::erase_if(reservations, [&](const auto& entry) { return !state_->lives(entry.second); });
      }
    }
  }

  static void store_vector(CatalogEntry& catalog, const SpaceId& space, const VectorRow& row, std::uint64_t epoch) {
    const auto [found, added] = catalog.second.vectors[space].try_emplace(row.text_hash);
    StoredVector& stored = found->second;
    // A pass from before a manual retry does not undo the retry's work for another document.
    if (added || stored.mark.epoch <= epoch) {
      stored.mark = {.epoch = epoch, .embedded_bytes = row.embedded_bytes, .input_cap = row.input_cap};
      stored.values.assign(row.vector.begin(), row.vector.end());
    }
  }

  void make_visible(CatalogEntry& catalog, const PassContext& context, OperationRows rows) {
    const SpaceId space = context.space.id();
    Spec& spec = made(state_->keys.at(context.key));
    spec.operation_count = static_cast<std::int64_t>(rows.size());
    spec.visible_space = space;
    spec.finalized = {.complete = true,
                      .space_id = space,
                      .content_version = context.content_version,
                      .splitter_version = context.splitter_version};
    spec.updated_at = state_->clock->wall_now();
    state_->replace_rows(catalog, spec, space, std::move(rows));
    state_->flip_search_space(catalog);
    // While searches still read an older space, this spec's rows in it stay; those of a switch that was given up in
    // between do not.
    for (auto old = spec.rows.begin(); old != spec.rows.end();) {
      const SpaceId name = (old++)->first;
      if (name != space && name != catalog.second.search_space) {
        state_->replace_rows(catalog, spec, name, {});
      }
    }
  }

  [[nodiscard]] std::vector<SearchHit> nearest(CatalogEntry& catalog, std::span<const float> query,
                                               std::size_t k) const {
    const core::Cosine cosine(query);
    const SpaceId& space = catalog.second.search_space;
    const VectorTable& vectors = catalog.second.vectors[space];
    core::TopHits best(k);
    const auto [begin, end] = state_->keys_of(catalog.first);
    for (auto entry = begin; entry != end; ++entry) {
      if (!entry->second.spec) {
        continue;
      }
      for (const auto& [id, hash] : entry->second.spec->rows_in(space)) {
        best.offer(entry->first, id, cosine(vectors.at(hash).values));
      }
    }
    return best.take();
  }

  const std::shared_ptr<State> state_;
};

}  // namespace

std::shared_ptr<Catalog> make_catalog(std::shared_ptr<State> state) {
  return std::make_shared<MemoryCatalog>(std::move(state));
}

}  // namespace embedjobs::memory
