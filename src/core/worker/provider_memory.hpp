// What the store is to be told of the provider: at most one note on its way, and always the newest.
#pragma once

#include <optional>
#include <string>
#include <utility>

#include "embedjobs/provider.hpp"
#include "embedjobs/sys/runtime.hpp"

namespace embedjobs::core {

class ProviderMemory {
 public:
  void set_batch(std::size_t texts, std::size_t bytes) { batch_ = ProviderNote::Batch{texts, bytes}; }
  void set_input(std::size_t bytes) { input_ = bytes; }
  void set_pause(MonoTime until, std::string reason, bool stopped) {
    pause_ = Pause{until, std::move(reason), stopped};
    pause_known_ = true;
  }
  /// The provider works. Nothing to tell when no pause was ever told.
  void clear_pause() {
    if (std::exchange(pause_known_, false)) {
      pause_ = Pause{};
    }
  }
  /// The store knows of a pause by somebody else.
  void pause_is_known() { pause_known_ = true; }
  /// The store was told of a pause that nobody took back, or knows of one.
  [[nodiscard]] bool knows_pause() const { return pause_known_; }

  /// What should be told now, if anything; it is then on its way.
  std::optional<ProviderNote> take(MonoTime now) {
    if (out_ || now < not_before_ || (!batch_ && !input_ && !pause_)) {
      return std::nullopt;
    }
    out_ = true;
    sent_batch_ = std::exchange(batch_, std::nullopt);
    sent_input_ = std::exchange(input_, std::nullopt);
    sent_pause_ = std::exchange(pause_, std::nullopt);
    ProviderNote note{.batch = sent_batch_, .input_bytes = sent_input_};
    if (sent_pause_) {
      note.pause = ProviderNote::Pause{sent_pause_->until > now ? sent_pause_->until - now : Duration(0),
                                       sent_pause_->reason, sent_pause_->stopped};
    }
    return note;
  }
  void on_noted(bool ok, MonoTime now) {
    out_ = false;
    if (!ok) {  // again, unless something newer is to be told
      batch_ = batch_ ? batch_ : sent_batch_;
      input_ = input_ ? input_ : sent_input_;
      pause_ = pause_ ? pause_ : sent_pause_;
      not_before_ = now + std::chrono::seconds(5);
    }
  }
  [[nodiscard]] std::optional<MonoTime> wake_at() const {
    return !out_ && (batch_ || input_ || pause_) ? std::optional(not_before_) : std::nullopt;
  }

 private:
  struct Pause {
    MonoTime until{};  ///< In the past: over.
    std::string reason;
    bool stopped = false;
  };
  std::optional<ProviderNote::Batch> batch_, sent_batch_;
  std::optional<std::size_t> input_, sent_input_;
  std::optional<Pause> pause_, sent_pause_;
  bool pause_known_ = false;
  bool out_ = false;
  MonoTime not_before_{};
};

}  // namespace embedjobs::core
