#include "core/worker/embed_queue.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <set>

namespace embedjobs::core {
namespace {

constexpr std::size_t kSmallestCut = 256;  // bytes
constexpr int kFailedInARow = 3;           // texts in a row that failed alone: it is the provider
constexpr std::size_t kNamesInMessage = 5;

}  // namespace

void EmbedQueue::add(std::vector<std::uint32_t> missing, std::span<const Suspect> suspects) {
  std::set<std::uint32_t> found;
  for (const Suspect& suspect : suspects) {
    const auto operation = plan_->find(suspect.text_hash);
    if (!operation || !std::binary_search(missing.begin(), missing.end(), *operation)) {
      continue;
    }
    found.insert(*operation);
    if (suspect.set_aside) {
      set_aside(*operation, "its text was in flight alone each time the worker died, it is not sent again");
      operations_unsent_ += plan_->count_of_text(*operation);
    } else {
      suspects_.push_back(*operation);
    }
  }
  std::erase_if(missing, [&found](std::uint32_t operation) { return found.contains(operation); });
  if (next_missing_ == missing_.size()) {
    missing_ = std::move(missing);
    next_missing_ = 0;
  } else {
    missing_.insert(missing_.end(), missing.begin(), missing.end());
  }
}

std::size_t EmbedQueue::bytes_of(const BatchText& text) const {
  std::size_t bytes = plan_->operations().text(text.operation).size();
  for (const std::size_t cap : {input_cap_, text.cut}) {
    bytes = cap == 0 ? bytes : std::min(bytes, cap);
  }
  return bytes;
}

/// False: the batch is full without it.
bool EmbedQueue::put(const BatchText& text, std::size_t most_texts, std::size_t most_bytes, Batch& batch) const {
  const std::size_t bytes = bytes_of(text);
  if (!batch.texts.empty() && batch.texts.size() >= most_texts) {
    return false;
  }
  if (!batch.texts.empty() && batch.bytes + bytes > most_bytes) {
    batch.full_by_bytes = true;
    return false;
  }
  batch.bytes += bytes;
  batch.texts.push_back(text);
  return true;
}

Batch EmbedQueue::take(std::size_t most_texts, std::size_t most_bytes) {
  Batch batch;
  batch.alone = next_is_alone();
  if (!back_.empty()) {
    const Batch whole = std::move(back_.front());
    back_.pop_front();
    auto rest = whole.texts.begin();
    while (rest != whole.texts.end() && put(*rest, most_texts, most_bytes, batch)) {
      ++rest;
    }
    if (rest != whole.texts.end()) {  // batches may have become smaller since it was sent
      back_.push_front({.texts = {rest, whole.texts.end()}});
    }
  } else if (!suspects_.empty()) {
    put({suspects_.front()}, most_texts, most_bytes, batch);
    suspects_.pop_front();
  } else {
    while (next_missing_ < missing_.size() && put({missing_[next_missing_]}, most_texts, most_bytes, batch)) {
      ++next_missing_;
    }
  }
  return batch;
}

void EmbedQueue::split(const Batch& batch) {
  const auto middle = batch.texts.begin() + static_cast<std::ptrdiff_t>(batch.texts.size() / 2);
  back_.push_front({.texts = {middle, batch.texts.end()}});
  back_.push_front({.texts = {batch.texts.begin(), middle}});
}

void EmbedQueue::cut(const Batch& batch, std::size_t first_try, const std::string& why) {
  BatchText text = batch.texts.front();
  const std::size_t sent = bytes_of(text);
  if (sent <= kSmallestCut) {
    set_aside(text.operation, why);
    return;
  }
  const bool known = text.cut == 0 && first_try >= kSmallestCut && first_try < sent;
  text.cut = known ? first_try : std::max(kSmallestCut, sent / 2);
  back_.push_front({.texts = {text}, .alone = batch.alone});
}

bool EmbedQueue::postpone(std::uint32_t operation, const std::string& why) {
  if (++failed_in_a_row_ >= kFailedInARow) {
    return false;
  }
  postponed_.emplace_back(operation, why);
  return true;
}

std::vector<std::uint32_t> EmbedQueue::given_up() const {
  std::vector<std::uint32_t> operations;
  for (const GivenUp* some : {&set_aside_, &postponed_}) {
    std::transform(some->begin(), some->end(), std::back_inserter(operations),
                   [](const auto& entry) { return entry.first; });
  }
  return operations;
}

std::string EmbedQueue::set_aside_message() const {
  std::string message = fmt::format("{} of {} operations can't be embedded: ", set_aside_.size(), plan_->size());
  for (std::size_t i = 0; i < std::min(set_aside_.size(), kNamesInMessage); ++i) {
    const auto& [operation, why] = set_aside_[i];
    message += fmt::format("{}{} ({})", i == 0 ? "" : ", ", plan_->operations().operation_id(operation), why);
  }
  return set_aside_.size() > kNamesInMessage ? message + ", ..." : message;
}

std::string EmbedQueue::postponed_message() const {
  const auto& [operation, why] = postponed_.front();
  return fmt::format("{}: {}{}", describe(plan_->operations(), {.texts = {{operation}}}), why,
                     postponed_.size() > 1 ? fmt::format(" (and {} more)", postponed_.size() - 1) : "");
}

}  // namespace embedjobs::core
