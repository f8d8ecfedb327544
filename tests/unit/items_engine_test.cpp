// Items through an engine: stored, embedded, edited.
#include "embedjobs/items.hpp"
#include "support/engine_scene.hpp"
#include "support/temp_folder.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

std::string items(std::initializer_list<std::pair<const char*, const char*>> rows) {
  std::string lines;
  for (const auto& [id, text] : rows) {
    lines += std::string(R"({"id":")") + id + R"(","text":")" + text + "\"}\n";
  }
  return lines;
}

std::vector<std::string> ids_of(Engine& engine) {
  std::vector<std::string> ids;
  const auto space = engine.rows(kKey, false, [&](const StoredRow& row) {
    ids.push_back(row.operation_id);
    return true;
  });
  INFO(space.status().to_string());
  REQUIRE(space.ok());
  return ids;
}

void index(EngineScene& scene, std::string_view lines) {
  const auto put = scene->put_items(kKey, lines);
  INFO(put.status().to_string());
  REQUIRE(put.ok());
  REQUIRE(scene->start().ok());
  scene.wait();
}

}  // namespace

TEST_CASE("items become rows; an edit embeds what is new, and what is gone disappears") {
  const TempFolder folder;
  EngineOptions options = memory_options();
#ifdef EMBEDJOBS_TEST_SQLITE
  if (GENERATE(false, true)) {
    options.dsn = "sqlite:" + folder.file("items.db");
  }
#endif
  EngineScene scene({}, nullptr, options);
  index(scene, items({{"a", "one"}, {"b", "two"}, {"c", "three"}}));
  CHECK(ids_of(*scene.engine) == std::vector<std::string>{"a", "b", "c"});
  CHECK(scene.provider->seen().texts == 3);
  index(scene, items({{"renamed", "one"}, {"c", "three"}, {"d", "four"}}));
  CHECK(ids_of(*scene.engine) == std::vector<std::string>{"c", "d", "renamed"});
  CHECK(scene.provider->seen().texts == 4);
  CHECK((*scene->verify("catalog", std::nullopt))[0].equal);
  CHECK((*scene->search("catalog", "four", 1))[0].operation_id == "d");
}

TEST_CASE("items that are none do not replace good ones, and the host's own line is named") {
  EngineScene scene;
  index(scene, items({{"a", "one"}}));
  const auto put = scene->put_items(kKey, items({{"a", "one"}, {"a", "two"}}));
  CHECK(put.status().code() == Code::kInvalidDocument);
  CHECK(put.status().message() == "line 2: the id 'a' is not unique: line 1 has it too");
  CHECK(scene->put_items(kKey, "").status().code() == Code::kInvalidDocument);
  CHECK(scene->put_items(kKey, spec_with(3, "users")).status().code() == Code::kInvalidDocument);
  CHECK(ids_of(*scene.engine) == std::vector<std::string>{"a"});
  CHECK(scene->store().counts()->pending == 0);
}

TEST_CASE("a catalog holds items and OpenAPI, and a spec may change from one to the other") {
  EngineScene scene;
  index(scene, items({{"a", "one"}}));
  scene.index({"catalog", "api"}, spec_with(2, "users"));
  scene.index(kKey, spec_with(1, "orders"));
  CHECK(ids_of(*scene.engine) == std::vector<std::string>{"op-0"});
  scene.index(kKey, make_items_document(items({{"b", "two"}})));
  CHECK(ids_of(*scene.engine) == std::vector<std::string>{"b"});
  const auto reports = scene->verify("catalog", std::nullopt);
  REQUIRE(reports.ok());
  for (const VerifyReport& report : *reports) {
    CHECK(report.equal);
  }
}

TEST_CASE("an engine with a splitter of the host's knows no items") {
  EngineParts parts;
  parts.splitter = make_items_splitter();
  EngineScene scene(std::move(parts), nullptr);
  const auto put = scene->put_items(kKey, items({{"a", "one"}}));
  CHECK(put.status().code() == Code::kRefused);
  CHECK(scene->put_items({"", "x"}, "").status().code() == Code::kInvalidArgument);
  scene.index(kKey, items({{"a", "one"}}));
  CHECK(ids_of(*scene.engine) == std::vector<std::string>{"a"});
}
