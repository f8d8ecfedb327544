// What is refused is refused in the same words by every backend of the library: the texts themselves are compared. A
// host's own store may word them otherwise, so every case asks for the catalog that only the library has.
#include <stdexcept>

#include "conformance/scene.hpp"
#include "embedjobs/limits.hpp"

using namespace embedjobs;
using namespace embedjobs::test;

namespace {

const SpecKey kNobody{"nowhere", "nobody"};
const std::string kNoSpec = "there is no spec 'nobody' in catalog 'nowhere'";
const std::string kNoCatalog = "there is no catalog 'nowhere'";

void says(const Status& status, Code code, const std::string& message) {
  CHECK(status.code() == code);
  CHECK(status.message() == message);
}

/// A lease that another claim has replaced.
Lease stale_lease(Scene& scene) {
  const Lease lease = scene.claim_one();
  scene.settle(lease, {.kind = OutcomeKind::kRelease});
  scene.claim_one();
  return lease;
}

std::string lost_text(const Lease& lease) {
  return "the lease of job " + std::to_string(lease.job.id) + " (spec 'spec' in catalog 'catalog') is lost";
}

}  // namespace

TEST_CASE("the text for a job, a spec or a failure that is not there", "[catalog]") {
  Scene scene;
  says(scene.store.get(987654).status(), Code::kNotFound, "there is no job 987654");
  says(scene.store.job_state(987654).status(), Code::kNotFound, "there is no job 987654");
  says(scene.store.remove_key(kNobody), Code::kNotFound, kNoSpec);
  const std::string no_failure = "the spec 'spec' in catalog 'catalog' has no failure";
  says(scene.store.resolve_failure(kKey), Code::kNotFound, no_failure);
  scene.settle(scene.run());
  says(scene.store.resolve_failure(kKey), Code::kNotFound, no_failure);
}

TEST_CASE("the text for a lost lease, from every call of the store", "[catalog]") {
  Scene scene;
  scene.enqueue();
  const Lease lease = stale_lease(scene);
  const std::string text = lost_text(lease);
  says(scene.store.progress(ref(lease), {}), Code::kLeaseLost, text);
  says(scene.store.progress_all(std::vector{ProgressReport{ref(lease), {}}}).front(), Code::kLeaseLost, text);
  says(scene.store.record_in_flight(ref(lease), {}, {}), Code::kLeaseLost, text);
  says(scene.store.settle(ref(lease), {}).status(), Code::kLeaseLost, text);
  says(scene.store.settle_all(std::vector{Settlement{ref(lease), {}}}).front().status(), Code::kLeaseLost, text);
}

TEST_CASE("the text for a key, a claim or a worker that is none", "[catalog]") {
  Scene scene;
  const auto enqueued = [&](const SpecKey& key) { return scene.store.enqueue(key, JobKind::kSpecWrite).status(); };
  says(enqueued({"", "spec"}), Code::kInvalidArgument, "catalog_id is empty");
  says(enqueued({"catalog", "a\nb"}), Code::kInvalidArgument, "spec_name has a control character");
  says(enqueued({"catalog", std::string(kMaxNameBytes + 1, 'x')}), Code::kInvalidArgument,
       "spec_name has 513 bytes, at most 512 are allowed");
  says(scene.store.remove_key({"catalog", ""}), Code::kInvalidArgument, "spec_name is empty");
  ClaimRequest request = scene.request();
  request.nonce = 0;
  says(scene.store.claim(request).status(), Code::kInvalidArgument, "a claim's nonce is zero");
  says(scene.store.register_worker({.worker_id = std::string(kMaxNameBytes + 1, 'x')}), Code::kInvalidArgument,
       "a worker's id is empty or longer than 512 bytes");
}

TEST_CASE("the text by which a claim names a catalog of another space", "[catalog]") {
  Scene scene;
  scene.settle(scene.run());  // this claim chose the target
  scene.enqueue();
  const ClaimResult result = scene.claim(1, kNewSpace);
  CHECK(result.other_space == 1);
  CHECK(result.other_space_example == "catalog 'catalog' has target space " + kSpace.id());
}

TEST_CASE("the text for a catalog, a spec or a document that is not there", "[catalog]") {
  Scene scene;
  says(scene.catalog.remove(kNobody), Code::kNotFound, kNoSpec);
  says(scene.catalog.rows(kNobody, false, [](const StoredRow&) { return true; }).status(), Code::kNotFound, kNoSpec);
  says(scene.catalog.remove_catalog("nowhere"), Code::kNotFound, kNoCatalog);
  says(scene.catalog.switch_space("nowhere", kSpace).status(), Code::kNotFound, kNoCatalog);
  says(scene.catalog.search_space_of("nowhere").status(), Code::kNotFound, kNoCatalog);
  says(scene.catalog.search("nowhere", kSpace, vector_of("text", kSpace), 1).status(), Code::kNotFound, kNoCatalog);
  says(scene.catalog.resolve(kNobody).status(), Code::kGone,
       "the document of spec 'nobody' in catalog 'nowhere' is gone");
}

TEST_CASE("the text for a put that is refused", "[catalog]") {
  Scene scene;
  const auto put = [&](const SpecKey& key, std::string_view content, std::string_view space) {
    return scene.catalog.put(key, content, space).status();
  };
  says(put({"", "spec"}, "content", kSpace.id()), Code::kInvalidArgument, "catalog_id is empty");
  says(put(kKey, "content", "garbage"), Code::kInvalidArgument, "'garbage' is not a space: expected dimension/model");
  const std::string large(kMaxDocumentBytes + 1, ' ');
  says(put(kKey, large, kSpace.id()), Code::kInvalidArgument,
       "the document has 67108865 bytes, at most 67108864 are allowed");
  says(scene.catalog.resolve(kKey).status(), Code::kGone, "the document of spec 'spec' in catalog 'catalog' is gone");
}

TEST_CASE("the text for a pass whose lease is lost, and for one of a spec that is not there", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease lease = stale_lease(scene);
  PassContext context = scene.context(lease);
  const Ops ops{{"a", "1"}};
  const Rows rows(ops, kSpace);
  const std::vector texts{hash_text("1")};
  const auto refused = [&](Code code, const std::string& text) {
    says(scene.catalog.list_existing(context, manifest_of(ops)).status(), code, text);
    says(scene.catalog.reserve(context, texts, {}).status(), code, text);
    says(scene.catalog.persist_batch(context, rows.all()), code, text);
    says(scene.catalog.finalize(context, manifest_of(ops)), code, text);
  };
  refused(Code::kLeaseLost, lost_text(lease));
  context.key = kNobody;
  refused(Code::kNotFound, kNoSpec);
}

TEST_CASE("the text for a pass of another space than the target", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease lease = scene.claim_one();
  const std::string text = "catalog 'catalog' has target space " + kSpace.id() + ", not " + kNewSpace.id();
  const Ops ops{{"a", "1"}};
  says(scene.catalog.list_existing(scene.context(lease, kNewSpace), manifest_of(ops)).status(), Code::kRefused, text);
  says(scene.persist(lease, ops, kNewSpace), Code::kRefused, text);
  says(scene.finalize(lease, ops, kNewSpace), Code::kRefused, text);
}

TEST_CASE("the text for rows and manifests that can't be stored", "[catalog]") {
  Scene scene;
  scene.put(kKey, "content");
  const Lease lease = scene.claim_one();
  Rows rows({{"a", "1"}}, kSpace);
  const std::vector<float> zero(kSpace.dimension);
  rows.edit()[0].vector = zero;
  says(scene.catalog.persist_batch(scene.context(lease), rows.all()), Code::kInvalidArgument,
       "operation 'a': the vector is zero");
  ok(scene.persist(lease, {{"a", "1"}}));
  says(scene.finalize(lease, {{"a", "1"}, {"b", "2"}, {"c", "3"}}), Code::kIncomplete,
       "operation 'b' has no vector yet (2 of 3 have none)");
  says(scene.finalize(lease, {{"a", "1"}, {"a", "1"}}), Code::kInvalidArgument,
       "the manifest names operation 'a' twice");
}

TEST_CASE("the text for a search that is refused", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  says(scene.catalog.search("catalog", kNewSpace, vector_of("text", kNewSpace), 1).status(), Code::kRefused,
       "searches of catalog 'catalog' read space " + kSpace.id() + ", not " + kNewSpace.id());
  says(scene.catalog.search("catalog", kSpace, std::vector<float>{1, 2}, 1).status(), Code::kInvalidArgument,
       "query: the vector has 2 floats, the space 4");
}

TEST_CASE("the text for a visitor of rows that throws", "[catalog]") {
  Scene scene;
  scene.index(kKey, {{"a", "1"}});
  const auto throws = [](const StoredRow&) -> bool { throw std::runtime_error("no\nmore"); };
  says(scene.catalog.rows(kKey, false, throws).status(), Code::kInternal, "the visitor of rows threw: no more");
}
