// Documents: put with their job, resolved, listed, removed.
#include "conformance/scene.hpp"
#include "embedjobs/limits.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

TEST_CASE("put stores the document and makes its job in one step", "[catalog]") {
  Scene scene;
  const EnqueueResult result = scene.put(kKey, "content");
  CHECK(result.created);
  CHECK(result.generation == 1);
  CHECK(scene.job(result.job_id).kind == JobKind::kSpecWrite);
  const Document document = get(scene.catalog.resolve(kKey));
  CHECK(document.content == "content");
  CHECK(document.version == to_hex(hash_text("content")));
  const SpecInfo info = scene.info();
  CHECK(info.operation_count == 0);
  CHECK(info.embedding_count == 0);
  CHECK(info.visible_space_id.empty());
  CHECK(info.content_version == document.version);
  CHECK(info.generation == 1);
  CHECK_FALSE(info.complete);
  CHECK(scene.rows().empty());
}

TEST_CASE("a put replaces the document, and is a generation", "[catalog]") {
  Scene scene;
  scene.put(kKey, "old");
  const EnqueueResult second = scene.put(kKey, "new");
  CHECK_FALSE(second.created);
  CHECK(second.generation == 2);
  CHECK(get(scene.catalog.resolve(kKey)).content == "new");
}

TEST_CASE("content comes back byte for byte, whatever it is", "[catalog]") {
  Scene scene;
  std::string bytes;
  for (int i = 0; i < 3000; ++i) {
    bytes += static_cast<char>(i % 256);
  }
  for (const std::string& content : {std::string(), bytes, std::string("\xff\xfe\0\0", 4), std::string(3 << 20, 'x')}) {
    scene.put(kKey, content);
    const Document document = get(scene.catalog.resolve(kKey));
    CHECK((document.content == content));
    CHECK(document.version == to_hex(hash_text(content)));
  }
}

TEST_CASE("an edit while a job runs is not swallowed", "[catalog]") {
  Scene scene;
  scene.put(kKey, "old");
  const Lease lease = scene.claim_one();
  scene.put(kKey, "new");
  CHECK(scene.settle(lease) == JobStatus::kPending);
  CHECK(scene.claim_one().job.generation == 2);
  CHECK(get(scene.catalog.resolve(kKey)).content == "new");
}

TEST_CASE("a document that is not there is gone", "[catalog]") {
  Scene scene;
  CHECK(scene.catalog.resolve(kKey).status().code() == Code::kGone);
  scene.enqueue();
  CHECK(scene.catalog.resolve(kKey).status().code() == Code::kGone);
}

TEST_CASE("removal clears document, rows, job and failure, and leaves the generation counting", "[catalog][failures]") {
  Scene scene;
  scene.index(kKey, {{"a", "text"}});
  scene.settle(scene.run(), {.kind = OutcomeKind::kFail, .error = "boom"});
  const EnqueueResult open = scene.put(kKey, "content");
  ok(scene.catalog.remove(kKey));
  CHECK(scene.job(open.job_id).status == JobStatus::kCancelled);
  CHECK(scene.catalog.resolve(kKey).status().code() == Code::kGone);
  CHECK(scene.catalog.rows(kKey, false, [](const StoredRow&) { return true; }).status().code() == Code::kNotFound);
  CHECK(get(scene.catalog.specs("catalog", nullptr, 10)).empty());
  CHECK(get(scene.store.failures(std::nullopt, 10)).empty());
  CHECK(scene.search("text").empty());
  CHECK(scene.claim().leases.empty());
  CHECK(scene.put(kKey, "again").generation == open.generation + 2);
}

TEST_CASE("a chunk in flight at a removal brings no rows back, not even after the name is used again", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease stale = scene.claim_one();
  ok(scene.persist(stale, {{"a", "text"}}));
  ok(scene.catalog.remove(kKey));
  lost(scene.persist(stale, {{"b", "late"}}));
  lost(scene.finalize(stale, {{"a", "text"}}));
  lost(scene.store.settle(ref(stale), {}).status());
  scene.put(kKey, "content again");
  CHECK(scene.rows().empty());
  lost(scene.persist(stale, {{"b", "late"}}));
  const Lease lease = scene.claim_one();
  CHECK(lease.job.fence.counter > stale.job.fence.counter);
  lost(scene.persist(stale, {{"b", "late"}}));
  scene.complete(lease, {{"c", "new"}});
  CHECK(scene.rows() == seen({{"c", "new"}}));
}

TEST_CASE("removing what is not there is not found", "[catalog]") {
  Scene scene;
  CHECK(scene.catalog.remove(kKey).code() == Code::kNotFound);
  scene.put(kKey, "content");
  ok(scene.catalog.remove(kKey));
  CHECK(scene.catalog.remove(kKey).code() == Code::kNotFound);
  CHECK(scene.catalog.remove_catalog("catalog").code() == Code::kNotFound);
  CHECK(scene.catalog.remove_catalog("nowhere").code() == Code::kNotFound);
}

TEST_CASE("removing a catalog removes all of its specs and no other's", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "text"}});
  scene.index({"catalog2", "spec"}, {{"a", "text"}});
  scene.put(kOtherKey, "content");
  scene.put({"catalo", "spec"}, "content");
  const Lease lease = get(scene.store.claim(scene.request(10))).leases.at(0);
  ok(scene.catalog.remove_catalog("catalog"));
  CHECK(get(scene.catalog.specs("catalog", nullptr, 10)).empty());
  CHECK(get(scene.catalog.specs(std::nullopt, nullptr, 10)).size() == 2);
  CHECK(scene.last_job(kOtherKey).status == JobStatus::kCancelled);
  lost(scene.store.settle(ref(lease), {}).status());
  CHECK(scene.rows({"catalog2", "spec"}) == seen({{"a", "text"}}));
}

TEST_CASE("documents are listed by key, in pages", "[catalog]") {
  Scene scene;
  const std::vector<SpecKey> keys{{"a", "1"},  {"a", "2"}, {"a b", "0"},     {"b", "1"},
                                  {"b", "10"}, {"b", "2"}, {"c", "\xc3\xa9"}};
  for (auto key = keys.rbegin(); key != keys.rend(); ++key) {
    get(scene.catalog.put(*key, key->spec_name, ""));
  }
  scene.enqueue({"b", "not a document"});
  std::vector<SpecKey> listed;
  const SpecKey* after = nullptr;
  for (;;) {
    const auto page = get(scene.catalog.list(after, 2));
    for (const SpecVersion& spec : page) {
      listed.push_back(spec.key);
      CHECK(spec.version == to_hex(hash_text(spec.key.spec_name)));
    }
    if (page.size() < 2) {
      break;
    }
    after = &listed.back();
  }
  CHECK(listed == keys);
  CHECK(get(scene.catalog.list(nullptr, 0)).empty());
}

TEST_CASE("specs are listed by key, in pages, of one catalog or of all", "[catalog]") {
  Scene scene;
  const std::vector<SpecKey> keys{{"a", "1"}, {"b", "1"}, {"b", "2"}, {"b", "3"}, {"c", "1"}};
  for (const SpecKey& key : keys) {
    get(scene.catalog.put(key, "content", ""));
  }
  const auto names = [&](std::optional<std::string> catalog_id, const SpecKey* after, std::size_t limit) {
    std::string found;
    for (const SpecInfo& info : get(scene.catalog.specs(std::move(catalog_id), after, limit))) {
      found += info.key.catalog_id + info.key.spec_name + " ";
    }
    return found;
  };
  CHECK(names(std::nullopt, nullptr, 100) == "a1 b1 b2 b3 c1 ");
  CHECK(names(std::nullopt, &keys[1], 2) == "b2 b3 ");
  CHECK(names("b", nullptr, 100) == "b1 b2 b3 ");
  CHECK(names("b", nullptr, 2) == "b1 b2 ");
  CHECK(names("b", &keys[2], 2) == "b3 ");
  CHECK(names("b", &keys[3], 2).empty());
  CHECK(names("b", &keys[0], 1) == "b1 ");
  CHECK(names("b", &keys[4], 1).empty());
  CHECK(names("nowhere", nullptr, 100).empty());
}

TEST_CASE("a put chooses the target space of a new catalog, and never changes one", "[catalog]") {
  Scene scene;
  get(scene.catalog.put(kKey, "content", ""));
  CHECK(scene.catalog_info().target_space_id.empty());
  get(scene.catalog.put(kKey, "content", kSpace.id()));
  CHECK(scene.catalog_info().target_space_id == kSpace.id());
  CHECK(scene.catalog_info().search_space_id == kSpace.id());
  get(scene.catalog.put(kKey, "content", kNewSpace.id()));
  CHECK(scene.catalog_info().target_space_id == kSpace.id());
  CHECK(scene.catalog.put(kKey, "other", "no space").status().code() == Code::kInvalidArgument);
  CHECK(get(scene.catalog.resolve(kKey)).content == "content");
}

TEST_CASE("names that break the rules are refused, and nothing is made", "[catalog][history]") {
  Scene scene;
  const std::vector<SpecKey> bad{{"", "spec"},
                                 {"catalog", ""},
                                 {"catalog", std::string(513, 'x')},
                                 {std::string(513, 'x'), "spec"},
                                 {"catalog", "a\nb"},
                                 {"catalog", std::string("a\0b", 3)},
                                 {"catalog", "\x7f"},
                                 {"catalog", "\xff"},
                                 {"catalog", "\xc3"},
                                 {"catalog", "\xed\xa0\x80"},
                                 {"\xc0\x80", "spec"}};
  for (const SpecKey& key : bad) {
    CAPTURE(key.catalog_id, key.spec_name);
    CHECK(scene.store.enqueue(key, JobKind::kSpecWrite).status().code() == Code::kInvalidArgument);
    CHECK(scene.catalog.put(key, "content", "").status().code() == Code::kInvalidArgument);
    CHECK_FALSE(scene.catalog.remove(key).ok());
    CHECK_FALSE(scene.store.remove_key(key).ok());
    CHECK_FALSE(scene.catalog.resolve(key).ok());
  }
  CHECK(get(scene.store.list({})).empty());
  CHECK(get(scene.catalog.catalogs()).empty());
}

TEST_CASE("names at their limits and with odd characters are names like any other", "[catalog][history]") {
  Scene scene;
  const std::vector<std::string> names{std::string(512, 'x'),
                                       "'; DROP TABLE jobs; --",
                                       "a\"b",
                                       "%",
                                       "_",
                                       "\\",
                                       "*",
                                       "?1",
                                       ":a",
                                       " ",
                                       "NULL",
                                       "0",
                                       "\xe2\x82\xac\xf0\x9f\x98\x80",
                                       "e\xcc\x81",
                                       "\xc3\xa9",
                                       "\xef\xbb\xbf",
                                       "A",
                                       "a"};
  for (const std::string& name : names) {
    scene.put({"catalog", name}, name);
    get(scene.catalog.put({name, name}, name, kSpace.id()));
  }
  CHECK(get(scene.catalog.specs("catalog", nullptr, 100)).size() == names.size());
  CHECK(get(scene.catalog.catalogs()).size() == names.size() + 1);
  for (const std::string& name : names) {
    const SpecKey key{"catalog", name};
    CHECK(get(scene.catalog.resolve(key)).content == name);
    CHECK(get(scene.store.list({.catalog_id = "catalog", .spec_name = name})).size() == 1);
  }
  for (const Lease& lease : scene.claim(1000).leases) {
    const Ops ops{{lease.job.key.spec_name, "text"}, {std::string("nul\0byte", 8), "text"}};
    scene.complete(lease, ops);
    CHECK(scene.rows(lease.job.key) == seen(ops));
  }
  for (const std::string& name : names) {
    ok(scene.catalog.remove({"catalog", name}));
    CHECK(scene.catalog.resolve({"catalog", name}).status().code() == Code::kGone);
    CHECK(get(scene.catalog.resolve({name, name})).content == name);
  }
}

TEST_CASE("a catalog remembers how the vectors of each of its spaces are made", "[catalog]") {
  Scene scene;
  CHECK(scene.catalog.remember_embedder("catalog", kSpace.id(), "ollama:m").code() == Code::kNotFound);
  scene.put(kKey, "content");
  if (scene.catalog.remember_embedder("catalog", {}, "ollama:first").code() == Code::kRefused) {
    return;  // then people name the embedder each time
  }
  const auto remembered = [&](const Space& space) {
    return get(scene.catalog.remembered_embedder("catalog", space.id()));
  };
  CHECK(remembered(kSpace) == "ollama:first");  // of a space that nobody knew yet
  ok(scene.catalog.remember_embedder("catalog", kSpace.id(), "ollama:old"));
  ok(scene.catalog.remember_embedder("catalog", kSpace.id(), "ollama:m@http://host:1?batch=2"));
  CHECK(remembered(kSpace) == "ollama:m@http://host:1?batch=2");
  CHECK(remembered(kNewSpace) == "ollama:first");
  CHECK(get(scene.catalog.remembered_embedder("catalog", {})) == "ollama:first");
  CHECK(scene.catalog.remembered_embedder("nowhere", kSpace.id()).status().code() == Code::kNotFound);
  for (const std::string& bad :
       {std::string(), std::string("two\nlines"), std::string("\xff"), std::string(kMaxEmbedderBytes + 1, 'x')}) {
    CHECK(scene.catalog.remember_embedder("catalog", kSpace.id(), bad).code() == Code::kInvalidArgument);
  }
  CHECK(scene.catalog.remember_embedder("catalog", "no space", "x").code() == Code::kInvalidArgument);
  get(scene.catalog.switch_space("catalog", kNewSpace));
  CHECK(remembered(kSpace) == "ollama:m@http://host:1?batch=2");
}
