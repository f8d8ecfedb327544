// Operation rows and the vectors that they point to.
#include <algorithm>
#include <cstring>

#include "memory/state.hpp"

namespace embedjobs::memory {

std::size_t HashOfHash::operator()(const TextHash& hash) const noexcept {
  std::size_t head = 0;
  std::memcpy(&head, hash.data(), sizeof head);  // a SHA-256 is as good as any hash of it
  return head;
}

const OperationRows& Spec::rows_in(const SpaceId& space) const {
  static const OperationRows kNone;
  const auto found = rows.find(space);
  return found == rows.end() ? kNone : found->second;
}

bool Spec::complete() const {
  return finalized.complete && (!document || finalized.content_version == document->version);
}

void State::refer(CatalogEntry& catalog, const SpaceId& space, const TextHash& hash) {
  if (catalog.second.vectors[space].at(hash).references++ == 0) {
    unreferenced.erase({catalog.first, space, hash});
  }
}

void State::release(CatalogEntry& catalog, const SpaceId& space, const TextHash& hash) {
  StoredVector& vector = catalog.second.vectors[space].at(hash);
  if (--vector.references == 0) {
    vector.unreferenced_since = clock->wall_now();
    unreferenced.insert({catalog.first, space, hash});
  }
}

void State::put_row(CatalogEntry& catalog, Spec& spec, const SpaceId& space, std::string_view operation_id,
                    const TextHash& hash) {
  refer(catalog, space, hash);
  const auto [row, added] = spec.rows[space].try_emplace(std::string(operation_id), hash);
  if (!added) {
    release(catalog, space, std::exchange(row->second, hash));
  }
}

void State::replace_rows(CatalogEntry& catalog, Spec& spec, const SpaceId& space, OperationRows rows) {
  for (const auto& [id, hash] : rows) {
    refer(catalog, space, hash);
  }
  for (const auto& [id, hash] : spec.rows_in(space)) {
    release(catalog, space, hash);
  }
  if (rows.empty()) {
    spec.rows.erase(space);
  } else {
    spec.rows.insert_or_assign(space, std::move(rows));
  }
}

void State::drop_spec(KeyEntry& entry) {
  CatalogEntry& catalog = catalog_of(entry.first);
  Spec& spec = *entry.second.spec;
  while (!spec.rows.empty()) {
    replace_rows(catalog, spec, SpaceId(spec.rows.begin()->first), {});
  }
  entry.second.spec.reset();
  flip_search_space(catalog);
}

void State::flip_search_space(CatalogEntry& catalog) {
  const SpaceId& target = catalog.second.target_space;
  if (catalog.second.search_space == target) {
    return;
  }
  const auto [begin, end] = keys_of(catalog.first);
  const auto outside = [&](const KeyEntry& entry) {
    const std::optional<Spec>& spec = entry.second.spec;
    return spec && spec->visible_space != target && !spec->visible_rows().empty();
  };
  if (std::any_of(begin, end, outside)) {
    return;
  }
  catalog.second.search_space = target;
  for (auto entry = begin; entry != end; ++entry) {
    std::optional<Spec>& spec = entry->second.spec;
    std::vector<SpaceId> old;
    for (const auto& [space, rows] : spec ? spec->rows : std::map<SpaceId, OperationRows>()) {
      if (space != target) {
        old.push_back(space);
      }
    }
    for (const SpaceId& space : old) {
      replace_rows(catalog, *spec, space, {});
    }
  }
}

}  // namespace embedjobs::memory
