// A host's own compute.
#include "unit/worker_scene.hpp"

namespace embedjobs::test {
namespace {

const std::vector<float> kVector{1, 2, 3, 4};

Manifest manifest_of(const std::vector<std::string>& ids) {
  Manifest manifest;
  for (const std::string& id : ids) {
    manifest.add(id, hash_text("text of " + id));
  }
  return manifest;
}

VectorRow row_of(const std::string& id, const std::vector<float>& vector = kVector) {
  return {.operation_id = id, .text_hash = hash_text("text of " + id), .vector = vector};
}

class HostComputer final : public EmbeddingComputer {
 public:
  Result<Manifest> compute(ComputeRequest& request) override { return on_compute(request); }
  [[nodiscard]] std::string version() const override { return "host/1"; }
  Result<Space> space() override { return Space{"host-model", 4, ""}; }
  std::function<Result<Manifest>(ComputeRequest&)> on_compute;
};

struct HostScene : WorkerScene {
  std::shared_ptr<HostComputer> computer = std::make_shared<HostComputer>();
  HostScene() {
    parts.computer = computer;
    parts.splitter = nullptr;
    parts.embedder = nullptr;
    put("a document of the host");
  }
};

TEST_CASE("a host's compute gets content, space and batch size, persists chunks and names its manifest") {
  HostScene scene;
  scene.options.batch_size = 7;
  scene.computer->on_compute = [](ComputeRequest& request) -> Result<Manifest> {
    CHECK(request.content == "a document of the host");
    CHECK(request.key == WorkerScene::kKey);
    CHECK(request.batch_size == 7);
    CHECK(request.space.model == "host-model");
    CHECK(*request.list_existing(manifest_of({"a", "b"})) == std::vector<bool>{false, false});
    request.progress(0, 2);
    CHECK(request.persist_batch(std::vector{row_of("a")}).ok());
    request.progress(1, 2);
    CHECK(request.persist_batch(std::vector{row_of("b")}).ok());
    request.progress(2, 2);
    CHECK(*request.list_existing(manifest_of({"a", "c"})) == std::vector<bool>{true, false});
    return manifest_of({"a", "b"});
  };
  scene.start();
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.job().operation_count == 2);
  CHECK(scene.job().embedded_so_far == 2);
  CHECK(scene.rows().size() == 2);
  CHECK(scene.events_of(EventKind::kChunkPersisted).size() == 2);
}

TEST_CASE("an error of a host's compute is retried; one that stays, or a document it can't read, fails the job") {
  for (const auto& [code, expected] :
       {std::pair(Code::kRetry, JobStatus::kPending), std::pair(Code::kFailed, JobStatus::kFailed),
        std::pair(Code::kInvalidDocument, JobStatus::kFailed)}) {
    HostScene scene;
    scene.computer->on_compute = [code = code](ComputeRequest&) -> Result<Manifest> {
      return Status(code, "the host's reason");
    };
    scene.start();
    CHECK(scene.job().status == expected);
    CHECK(scene.job().last_error == "the host's reason");
    CHECK(scene.job().attempts == 1);
  }
}

TEST_CASE("a host's compute whose provider pauses costs no attempt") {
  HostScene scene;
  scene.computer->on_compute = [](ComputeRequest&) -> Result<Manifest> { return Status::paused(seconds(30), "429"); };
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().attempts == 0);
  CHECK(scene.job().next_run_at == scene.runtime.wall_now() + seconds(30));
}

TEST_CASE("persist_batch called twice at once is refused, and the first call is not harmed") {
  HostScene scene;
  Status second;
  scene.computer->on_compute = [&](ComputeRequest& request) -> Result<Manifest> {
    scene.persister->on_upsert = [&] { second = request.persist_batch(std::vector{row_of("b")}); };
    CHECK(request.persist_batch(std::vector{row_of("a")}).ok());
    scene.persister->on_upsert = {};
    CHECK(request.persist_batch(std::vector{row_of("c")}).ok());
    return manifest_of({"a", "c"});
  };
  scene.start();
  CHECK(second.code() == Code::kRefused);
  CHECK(scene.job().status == JobStatus::kSucceeded);
  CHECK(scene.rows().size() == 2);
}

TEST_CASE("a vector of a host that can't be stored is refused by name, and its batch with it") {
  HostScene scene;
  const std::vector<float> zero(4, 0.0F);
  Status refused;
  scene.computer->on_compute = [&](ComputeRequest& request) -> Result<Manifest> {
    refused = request.persist_batch(std::vector{row_of("a"), row_of("b", zero)});
    return refused;
  };
  scene.start();
  CHECK(refused.message().find("operation b") != std::string::npos);
  CHECK(scene.rows().empty());
}

TEST_CASE("a host's manifest that names an operation twice fails the job") {
  HostScene scene;
  scene.computer->on_compute = [](ComputeRequest&) -> Result<Manifest> { return manifest_of({"a", "b", "a"}); };
  scene.start();
  CHECK(scene.job().status == JobStatus::kFailed);
  CHECK(scene.job().last_error == "the computer's manifest names operation id 'a' twice");
}

TEST_CASE("a host's manifest that names a text without a vector is no success") {
  HostScene scene;
  scene.computer->on_compute = [](ComputeRequest&) -> Result<Manifest> { return manifest_of({"a"}); };
  scene.start();
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.rows().empty());
}

TEST_CASE("a host's compute is told to stop, and its job is released at no cost") {
  HostScene scene;
  scene.computer->on_compute = [&](ComputeRequest& request) -> Result<Manifest> {
    scene.stop();
    CHECK(request.stop.stop_requested());
    return Status(Code::kCancelled, "stopped");
  };
  scene.start();
  CHECK(scene.stopped == 1);
  CHECK(scene.job().status == JobStatus::kPending);
  CHECK(scene.job().attempts == 0);
}

}  // namespace
}  // namespace embedjobs::test
