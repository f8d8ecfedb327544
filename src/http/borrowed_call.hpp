// A call of the embedder's pool, for as long as this lives.
#pragma once

#include <cstddef>
#include <memory>
#include <mutex>
#include <utility>

#include "http/http_embedder.hpp"

namespace embedjobs::http {

class HttpEmbedder::BorrowedCall {
 public:
  explicit BorrowedCall(HttpEmbedder& owner) : owner_(owner) {
    {
      const std::lock_guard lock(owner_.mutex_);
      if (!owner_.idle_.empty()) {
        call_ = std::move(owner_.idle_.back());
        owner_.idle_.pop_back();
      }
    }
    if (!call_) {
      call_ = std::make_unique<Call>(owner_.transport_);
    }
  }
  ~BorrowedCall() {
    if (call_->channel.body().capacity() > kKeepBytes) {
      call_->channel.body().shrink(kKeepBytes);
      call_->parser.shrink();
    }
    const std::lock_guard lock(owner_.mutex_);
    owner_.idle_.push_back(std::move(call_));
  }
  BorrowedCall(const BorrowedCall&) = delete;
  BorrowedCall& operator=(const BorrowedCall&) = delete;
  Call& operator*() { return *call_; }

 private:
  static constexpr std::size_t kKeepBytes = std::size_t{8} << 20;  // memory that a call keeps for the next one

  HttpEmbedder& owner_;
  std::unique_ptr<Call> call_;
};

}  // namespace embedjobs::http
