// What a pass has still to embed, in the order in which it is sent, and what it has given up.
//
//   what waits       goes         comes from
//   what is back     first        a batch that was split, a text that was cut, a batch that met a pause
//   suspects         then         texts that were in flight when a worker died: each is alone in its batch
//   missing texts    at the end   in operation order
//
//   given up         in this pass the text is not sent again, and then
//   set aside        the job fails and names it: its provider refuses it, or it was in flight alone when workers died
//   postponed        the next pass tries it: it failed alone, and nobody knows why
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "core/worker/batch.hpp"
#include "core/worker/plan.hpp"
#include "embedjobs/sys/store.hpp"

namespace embedjobs::core {

/// A text is named by its first operation. No clock, no input and output: the pass says what happened, and asks what is
/// next. One queue serves one look at what is stored; the next look begins with a new one.
class EmbedQueue {
 public:
  /// Empty, of no document.
  EmbedQueue() = default;
  /// Empty. `input_cap`: bytes that the provider takes of a text; 0: all.
  EmbedQueue(std::shared_ptr<const Plan> plan, std::size_t input_cap) : plan_(std::move(plan)), input_cap_(input_cap) {}

  /// These are to be embedded too: first operations, in operation order. Whichever of them is a suspect goes alone, or
  /// is set aside at once.
  void add(std::vector<std::uint32_t> missing, std::span<const Suspect> suspects);

  /// Nothing waits to be sent.
  [[nodiscard]] bool empty() const { return back_.empty() && suspects_.empty() && next_missing_ == missing_.size(); }
  /// The next batch is a suspect: nothing else may be in flight beside it.
  [[nodiscard]] bool next_is_alone() const { return back_.empty() ? !suspects_.empty() : back_.front().alone; }
  /// The next batch; without a text only when the queue is empty. One text goes whatever its size is.
  Batch take(std::size_t most_texts, std::size_t most_bytes);

  // What became of a batch that was taken.
  /// It was not sent, or the provider pauses: it goes first, as it is.
  void put_back(Batch batch) { back_.push_front(std::move(batch)); }
  /// Its halves go first. Two texts or more.
  void split(const Batch& batch);
  /// Its only text goes first again, cut: to `first_try` bytes if it was not cut yet and is longer, else to half. A
  /// text that is short already is set aside, with `why`.
  void cut(const Batch& batch, std::size_t first_try, const std::string& why);
  /// Given up for good: the job ends failed, and says so.
  void set_aside(std::uint32_t operation, const std::string& why) { set_aside_.emplace_back(operation, why); }
  /// Not in this pass. False, and nothing is postponed, when too many in a row were: then it is not for the texts.
  bool postpone(std::uint32_t operation, const std::string& why);
  /// A batch was embedded: what fails next is no longer in a row with what failed before.
  void worked() { failed_in_a_row_ = 0; }

  [[nodiscard]] bool any_set_aside() const { return !set_aside_.empty(); }
  [[nodiscard]] bool any_postponed() const { return !postponed_.empty(); }
  /// Set aside and postponed.
  [[nodiscard]] std::vector<std::uint32_t> given_up() const;
  /// Operations whose text was set aside as a suspect, unsent.
  [[nodiscard]] std::int64_t operations_unsent() const { return operations_unsent_; }
  /// What was set aside, for a person: how many, the first few by name, and why.
  [[nodiscard]] std::string set_aside_message() const;
  /// What was postponed: the first by name, why, and how many more there are.
  [[nodiscard]] std::string postponed_message() const;

 private:
  using GivenUp = std::vector<std::pair<std::uint32_t, std::string>>;  // first operation, why

  bool put(const BatchText& text, std::size_t most_texts, std::size_t most_bytes, Batch& batch) const;
  [[nodiscard]] std::size_t bytes_of(const BatchText& text) const;

  std::shared_ptr<const Plan> plan_;
  std::size_t input_cap_ = 0;
  std::deque<Batch> back_;
  std::deque<std::uint32_t> suspects_;
  std::vector<std::uint32_t> missing_;
  std::size_t next_missing_ = 0;
  GivenUp set_aside_;
  GivenUp postponed_;
  int failed_in_a_row_ = 0;
  std::int64_t operations_unsent_ = 0;
};

}  // namespace embedjobs::core
