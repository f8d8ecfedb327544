// The queue of what a pass has to embed, by itself.
#include "core/worker/embed_queue.hpp"

#include <catch2/catch.hpp>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

namespace embedjobs::test {
namespace {

using core::Batch;
using core::EmbedQueue;
using core::Plan;

constexpr std::size_t kMany = 1000;
constexpr std::size_t kBig = 1'000'000;

/// Operations op0, op1, ... with these texts.
std::shared_ptr<const Plan> plan_of(const std::vector<std::string>& texts) {
  OperationList operations;
  for (std::size_t i = 0; i < texts.size(); ++i) {
    operations.add("op" + std::to_string(i), texts[i]);
  }
  return std::make_shared<const Plan>(std::move(operations));
}

/// Operations op0, op1, ... whose texts have ten bytes each.
std::shared_ptr<const Plan> plan_of(std::size_t count) {
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < count; ++i) {
    const std::string number = std::to_string(i);
    texts.push_back(std::string(10 - number.size(), 't') + number);
  }
  return plan_of(texts);
}

/// All texts of the plan are missing.
EmbedQueue queue_of(const std::shared_ptr<const Plan>& plan, const std::vector<Suspect>& suspects = {},
                    std::size_t input_cap = 0) {
  EmbedQueue queue(plan, input_cap);
  std::vector<std::uint32_t> missing;
  for (std::uint32_t operation = 0; operation < plan->size(); ++operation) {
    if (plan->is_first_of_text(operation)) {
      missing.push_back(operation);
    }
  }
  queue.add(std::move(missing), suspects);
  return queue;
}

Suspect suspect(const Plan& plan, std::uint32_t operation, bool set_aside = false) {
  return {.text_hash = plan.operations().text_hash(operation), .alone = 1, .set_aside = set_aside};
}

using Operations = std::vector<std::uint32_t>;

Operations operations_of(const Batch& batch) {
  Operations operations;
  std::transform(batch.texts.begin(), batch.texts.end(), std::back_inserter(operations),
                 [](const core::BatchText& text) { return text.operation; });
  return operations;
}

/// Takes everything, in batches of at most `most_texts`.
std::vector<Operations> drain(EmbedQueue& queue, std::size_t most_texts = kMany) {
  std::vector<Operations> batches;
  while (!queue.empty()) {
    batches.push_back(operations_of(queue.take(most_texts, kBig)));
  }
  return batches;
}

// --- order and bounds ---

TEST_CASE("a queue of nothing is empty, and gives a batch without a text") {
  CHECK(EmbedQueue().empty());
  EmbedQueue queue = queue_of(plan_of(0));
  CHECK(queue.empty());
  CHECK(queue.take(kMany, kBig).texts.empty());
  CHECK(queue.given_up().empty());
}

TEST_CASE("missing texts go in operation order, so many in a batch") {
  EmbedQueue queue = queue_of(plan_of(5));
  CHECK(drain(queue, 2) == std::vector<Operations>{{0, 1}, {2, 3}, {4}});
}

TEST_CASE("a batch is full by bytes before one text more would be too many, and says so") {
  EmbedQueue queue = queue_of(plan_of(5));
  const Batch by_bytes = queue.take(kMany, 25);
  CHECK(operations_of(by_bytes) == Operations{0, 1});
  CHECK(by_bytes.bytes == 20);
  CHECK(by_bytes.full_by_bytes);
  const Batch by_count = queue.take(2, 25);
  CHECK(operations_of(by_count) == Operations{2, 3});
  CHECK_FALSE(by_count.full_by_bytes);
}

TEST_CASE("a text that is larger than a whole batch goes alone in it") {
  EmbedQueue queue = queue_of(plan_of({std::string(500, 'x'), "short"}));
  CHECK(operations_of(queue.take(kMany, 100)) == Operations{0});
  CHECK(operations_of(queue.take(0, 0)) == Operations{1});
}

TEST_CASE("a text counts with the bytes that are sent of it: no more than the provider's cap") {
  EmbedQueue queue = queue_of(plan_of({std::string(500, 'x'), std::string(500, 'y'), std::string(500, 'z')}), {}, 50);
  const Batch batch = queue.take(kMany, 100);
  CHECK(operations_of(batch) == Operations{0, 1});
  CHECK(batch.bytes == 100);
}

TEST_CASE("what is found to be missing later goes after what waits") {
  const auto plan = plan_of(4);
  EmbedQueue queue(plan, 0);
  queue.add({0, 1}, {});
  CHECK(operations_of(queue.take(1, kBig)) == Operations{0});
  queue.add({2, 3}, {});
  CHECK(drain(queue) == std::vector<Operations>{{1, 2, 3}});
  queue.add({0}, {});
  CHECK(drain(queue) == std::vector<Operations>{{0}});
}

// --- suspects ---

TEST_CASE("suspects go before everything else, each alone in its batch") {
  const auto plan = plan_of(5);
  EmbedQueue queue = queue_of(plan, {suspect(*plan, 3), suspect(*plan, 1)});
  for (const std::uint32_t expected : {3U, 1U}) {
    CHECK(queue.next_is_alone());
    const Batch batch = queue.take(kMany, kBig);
    CHECK(operations_of(batch) == Operations{expected});
    CHECK(batch.alone);
  }
  CHECK_FALSE(queue.next_is_alone());
  const Batch others = queue.take(kMany, kBig);
  CHECK(operations_of(others) == Operations{0, 2, 4});
  CHECK_FALSE(others.alone);
  CHECK(queue.empty());
}

TEST_CASE("a suspect that is stored, or that the document no longer has, is nobody's business") {
  const auto plan = plan_of(3);
  EmbedQueue queue(plan, 0);
  const std::vector<Suspect> suspects{suspect(*plan, 1), {.text_hash = hash_text("gone"), .alone = 1}};
  queue.add({0, 2}, suspects);
  CHECK_FALSE(queue.next_is_alone());
  CHECK(drain(queue) == std::vector<Operations>{{0, 2}});
}

TEST_CASE("a suspect that was set aside is not sent: its operations are counted, and the job will name it") {
  const auto plan = plan_of({"one", "bad", "two", "bad"});
  EmbedQueue queue = queue_of(plan, {suspect(*plan, 1, true)});
  CHECK(drain(queue) == std::vector<Operations>{{0, 2}});
  CHECK(queue.operations_unsent() == 2);
  CHECK(queue.any_set_aside());
  CHECK(queue.given_up() == Operations{1});
  CHECK(queue.set_aside_message() ==
        "1 of 4 operations can't be embedded: op1 (its text was in flight alone each time the worker died, it is not "
        "sent again)");
}

// --- what comes back ---

TEST_CASE("a batch that met a pause goes first, as it was; a suspect stays alone") {
  const auto plan = plan_of(4);
  EmbedQueue queue = queue_of(plan, {suspect(*plan, 2)});
  queue.put_back(queue.take(kMany, kBig));
  CHECK(queue.next_is_alone());
  CHECK(operations_of(queue.take(kMany, kBig)) == Operations{2});
  queue.put_back(queue.take(2, kBig));
  CHECK_FALSE(queue.next_is_alone());
  CHECK(drain(queue) == std::vector<Operations>{{0, 1}, {3}});
}

TEST_CASE("what comes back keeps to a batch size that has become smaller meanwhile; its rest goes next") {
  EmbedQueue queue = queue_of(plan_of(6));
  queue.put_back(queue.take(4, kBig));
  CHECK(operations_of(queue.take(3, kBig)) == Operations{0, 1, 2});
  const Batch rest = queue.take(3, kBig);
  CHECK(operations_of(rest) == Operations{3});  // it is not filled up with others
  CHECK(rest.bytes == 10);
  CHECK(drain(queue) == std::vector<Operations>{{4, 5}});
}

TEST_CASE("a batch that is split goes again in halves, in operation order, before anything else") {
  EmbedQueue queue = queue_of(plan_of(7));
  queue.split(queue.take(5, kBig));
  CHECK(drain(queue) == std::vector<Operations>{{0, 1}, {2, 3, 4}, {5, 6}});
}

TEST_CASE("a text is cut in half again and again, down to 256 bytes; then it is set aside") {
  const auto plan = plan_of({std::string(1200, 'x'), "other"});
  EmbedQueue queue = queue_of(plan);
  std::vector<std::size_t> sent;
  while (!queue.any_set_aside()) {
    const Batch batch = queue.take(1, kBig);
    REQUIRE(operations_of(batch) == Operations{0});
    sent.push_back(batch.bytes);
    queue.cut(batch, 0, "too long");
  }
  CHECK(sent == std::vector<std::size_t>{1200, 600, 300, 256});
  CHECK(queue.set_aside_message() == "1 of 2 operations can't be embedded: op0 (too long)");
  CHECK(queue.given_up() == Operations{0});
  CHECK(queue.operations_unsent() == 0);
  CHECK(drain(queue) == std::vector<Operations>{{1}});
}

TEST_CASE("a cut begins at the provider's cap, and what is split after it stays cut") {
  const auto plan = plan_of({std::string(5000, 'x'), std::string(5000, 'y')});
  EmbedQueue queue = queue_of(plan, {}, 2000);
  queue.cut(queue.take(1, kBig), 0, "too long");
  queue.put_back(queue.take(1, kBig));
  const Batch cut = queue.take(kMany, kBig);
  CHECK(cut.bytes == 1000);
  CHECK(cut.texts.front().cut == 1000);
}

TEST_CASE("the length that passed before is the first try for a text that is refused, and no cap") {
  const auto plan = plan_of({std::string(5000, 'x'), std::string(700, 'y'), std::string(1300, 'z')});
  EmbedQueue queue = queue_of(plan);
  const auto lengths = [&](std::size_t refused) {  // this often
    std::vector<std::size_t> sent;
    Batch batch = queue.take(1, kBig);
    sent.push_back(batch.bytes);
    for (std::size_t i = 0; i < refused; ++i) {
      queue.cut(batch, 1200, "refused");
      batch = queue.take(1, kBig);
      sent.push_back(batch.bytes);
    }
    return sent;
  };
  CHECK(lengths(2) == std::vector<std::size_t>{5000, 1200, 600});
  CHECK(lengths(1) == std::vector<std::size_t>{700, 350});  // shorter than what passed: half of it
  CHECK(lengths(0) == std::vector<std::size_t>{1300});      // whole, as long as nobody refuses it
}

TEST_CASE("a suspect that is cut stays alone") {
  const auto plan = plan_of({std::string(1000, 'x'), "other"});
  EmbedQueue queue = queue_of(plan, {suspect(*plan, 0)});
  queue.cut(queue.take(1, kBig), 0, "too long");
  CHECK(queue.next_is_alone());
  const Batch again = queue.take(kMany, kBig);
  CHECK(again.alone);
  CHECK(again.bytes == 500);
}

// --- what is given up ---

TEST_CASE("texts that fail alone are postponed, but not three in a row: then it is not for the texts") {
  EmbedQueue queue = queue_of(plan_of(6));
  CHECK(queue.postpone(0, "502"));
  CHECK(queue.postpone(1, "502"));
  queue.worked();
  CHECK(queue.postpone(2, "503"));
  CHECK(queue.postpone(3, "503"));
  CHECK_FALSE(queue.postpone(4, "503"));
  CHECK(queue.given_up() == Operations{0, 1, 2, 3});
}

TEST_CASE("what was postponed is told by the first text, and how many more there are") {
  EmbedQueue queue = queue_of(plan_of(6));
  CHECK_FALSE(queue.any_postponed());
  CHECK(queue.postpone(4, "502 bad gateway"));
  CHECK(queue.postponed_message() == "operation 5 of 6 (op4): 502 bad gateway");
  CHECK(queue.postpone(1, "503"));
  CHECK(queue.postponed_message() == "operation 5 of 6 (op4): 502 bad gateway (and 1 more)");
}

TEST_CASE("what was set aside is told by name, at most five of them, each with its reason") {
  EmbedQueue queue = queue_of(plan_of(9));
  queue.set_aside(7, "refused");
  queue.set_aside(2, "too long");
  CHECK(queue.set_aside_message() == "2 of 9 operations can't be embedded: op7 (refused), op2 (too long)");
  for (const std::uint32_t operation : {3U, 4U, 5U, 6U}) {
    queue.set_aside(operation, "refused");
  }
  CHECK(queue.set_aside_message() ==
        "6 of 9 operations can't be embedded: op7 (refused), op2 (too long), op3 (refused), op4 (refused), op5 "
        "(refused), ...");
}

TEST_CASE("what is given up is what was set aside, then what was postponed") {
  EmbedQueue queue = queue_of(plan_of(4));
  CHECK(queue.postpone(1, "502"));
  queue.set_aside(3, "refused");
  queue.set_aside(0, "refused");
  CHECK(queue.given_up() == Operations{3, 0, 1});
}

TEST_CASE("a new look at what is stored begins with a new queue: nothing is given up") {
  const auto plan = plan_of(3);
  EmbedQueue queue = queue_of(plan, {suspect(*plan, 0, true)});
  CHECK(queue.postpone(1, "502"));
  queue = EmbedQueue(plan, 0);
  CHECK(queue.empty());
  CHECK(queue.given_up().empty());
  CHECK(queue.operations_unsent() == 0);
}

}  // namespace
}  // namespace embedjobs::test
