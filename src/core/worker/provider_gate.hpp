// Who may call the provider now: calls in flight over all passes, its pauses, our own limits, and the circuit breaker.
#pragma once

#include <algorithm>
#include <cstddef>
#include <optional>
#include <string>

#include "core/worker/rate_limit.hpp"
#include "embedjobs/sys/runtime.hpp"
#include "embedjobs/sys/store_rules.hpp"

namespace embedjobs::core {

/// The circuit breaker. So many calls in a row, of all passes, without an answer that the provider thought about (an
/// error of the transport or of the server, a text that timed out alone) open it: a pause, 5 s x 2^n with n the pauses
/// in a row, at most 10 min, and then one call that probes. One that finds no answer opens it again; any answer closes
/// it.
inline constexpr int kSilentCallsToOpen = 5;

struct GateLimits {
  std::size_t calls = 1;  ///< In flight.
  double requests_per_minute = 0, tokens_per_minute = 0;
};

/// A provider that refuses every text is stopped: a pause as any other, but whoever made the call that said so is told,
/// and nobody else. Whatever refuses while it is stopped, the next probe among them, only makes the pause longer.
///
/// After a pause one call goes alone to probe; when it is answered the gate is open again.
class ProviderGate {
 public:
  explicit ProviderGate(const GateLimits& limits)
      : limit_(std::max<std::size_t>(limits.calls, 1)),
        requests_(limits.requests_per_minute),
        tokens_(limits.tokens_per_minute) {}

  /// `waiting`: calls that are promised already and not begun.
  [[nodiscard]] bool may_call(MonoTime now, std::size_t waiting) const {
    return now >= ready_at() && has_room(waiting);
  }
  /// As may_call(), whatever the time.
  [[nodiscard]] bool has_room(std::size_t waiting) const {
    return in_flight_ + waiting < (probing_ ? std::size_t{1} : limit_);
  }
  /// No call before.
  [[nodiscard]] MonoTime ready_at() const {
    return std::max({paused_until(), requests_.ready_at(), tokens_.ready_at()});
  }
  [[nodiscard]] std::size_t in_flight() const { return in_flight_; }
  [[nodiscard]] bool paused(MonoTime now) const { return now < paused_until(); }
  [[nodiscard]] bool held(MonoTime now) const { return now < hold_.until; }
  [[nodiscard]] MonoTime paused_until() const { return std::max(pause_.until, hold_.until); }
  /// How long the pauses in a row will have lasted when this one ends; zero: it does not pause.
  [[nodiscard]] Duration pause_length(MonoTime now) const { return std::max(pause_.length(now), hold_.length(now)); }
  [[nodiscard]] const std::string& reason() const { return hold_.until > pause_.until ? hold_.reason : pause_.reason; }
  /// Paused, or the probe is still to be answered.
  [[nodiscard]] bool closed(MonoTime now) const { return probing_ || paused(now); }

  /// A call is promised.
  void spend(double tokens, MonoTime now) {
    requests_.spend(1, now);
    tokens_.spend(tokens, now);
  }
  /// It turned out to be `tokens` more, or less, than was thought.
  void correct(double tokens) { tokens_.correct(tokens); }
  void call_began() { ++in_flight_; }
  void call_ended() { --in_flight_; }

  /// The provider is there. An answer that comes in the middle of a pause is of a call that was sent before: it says
  /// nothing.
  void answered(MonoTime now) {
    silent_calls_ = 0;
    if (now >= pause_.until) {
      probing_ = false;
      pauses_ = 0;
      stopped_ = false;
    }
  }
  /// It refuses every text. False: it had said so before.
  bool refused(MonoTime now, double jitter, const std::string& why) {
    const bool news = !stopped_;
    if (news) {
      pause_ = {};  // this reason is the one to be told
      pauses_ = 0;
    }
    pause(now, Duration(0), jitter, why);
    stopped_ = true;
    return news;
  }
  /// No call has been answered since the provider said that it refuses every text.
  [[nodiscard]] bool stopped() const { return stopped_; }
  /// A call ended without an answer. True: that opened the breaker.
  bool unanswered(MonoTime now, double jitter, const std::string& error) {
    if (now < pause_.until || (++silent_calls_ < kSilentCallsToOpen && !probing_)) {
      return false;
    }
    pause(now, Duration(0), jitter,
          probing_ ? error : std::to_string(silent_calls_) + " calls in a row failed: " + error);
    return true;
  }
  /// The provider asks for a pause; without a time of its own it gets longer with every one in a row. An answer to a
  /// call that was sent before the pause began does not count again.
  void pause(MonoTime now, Duration retry_after, double jitter, const std::string& why) {
    if (now < pause_.until && retry_after <= Duration(0)) {
      return;
    }
    const Duration wait =
        retry_after > Duration(0) ? std::min(retry_after, rules::kMaxPause) : rules::backoff(pauses_, jitter);
    const MonoTime since = pauses_++ == 0 ? now : pause_.since;
    silent_calls_ = 0;
    probing_ = true;
    pause_ = {since, std::max(pause_.until, now + wait), why};
  }
  /// The next call probes: somebody found the provider silent, and it may still be.
  void probe(bool stopped) {
    probing_ = true;
    stopped_ = stopped;
  }
  /// No calls until then, for a reason of our own; none: that is over.
  void hold(std::optional<MonoTime> until, MonoTime now, std::string why) {
    hold_ = until ? Wait{held(now) ? hold_.since : now, *until, std::move(why)} : Wait{};
  }

 private:
  struct Wait {
    MonoTime since{};  ///< The first in a row.
    MonoTime until{};
    std::string reason;
    [[nodiscard]] Duration length(MonoTime now) const { return now < until ? until - since : Duration(0); }
  };

  std::size_t limit_;
  RateLimit requests_, tokens_;
  std::size_t in_flight_ = 0;
  bool probing_ = false;
  bool stopped_ = false;
  int pauses_ = 0;
  int silent_calls_ = 0;
  Wait pause_, hold_;
};

}  // namespace embedjobs::core
