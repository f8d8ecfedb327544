// The persister that docs/embedding-guide.md shows, word for word, under the kit.
#define main guide_main
#include "../../examples/guide_host.cpp"
#undef main

#include "conformance/database.hpp"

namespace embedjobs::test {

struct GuideDatabase final : Database {
  Tables tables;
  std::shared_ptr<Persister> persister() override { return std::make_shared<Vectors>(tables); }
  Seen rows(const SpecKey& key) override {
    Seen rows;
    const Tables::Spec& spec = tables.specs[key];
    for (const auto& [name, row] : spec.rows) {
      if (spec.state.space_id.empty() || name.first == spec.state.space_id) {
        rows.emplace_back(name.second, to_hex(row.text_hash));
      }
    }
    return rows;
  }
  std::vector<float> vector(const SpecKey& key, const std::string& operation_id) override {
    const Tables::Spec& spec = tables.specs[key];
    return spec.rows.at({spec.state.space_id, operation_id}).vector;
  }
};

std::unique_ptr<Database> make_database() {
  return std::make_unique<GuideDatabase>();
}

Offers offers() {
  return {.store = false, .persister = true, .rows = true, .vectors = true};
}

}  // namespace embedjobs::test
