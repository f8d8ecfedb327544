// Notifications of enqueues by anyone, on a connection and a thread of their own.
#pragma once

#include <atomic>
#include <thread>

#include "core/backend/wake.hpp"
#include "postgres/client/connection.hpp"

namespace embedjobs::postgres {

/// Listens as long as it lives, and fires `wake` for every notification, and whenever some may have been missed.
/// Connects again by itself.
class Listener {
 public:
  Listener(const ConnectionParameters& parameters, const PostgresOptions& options, core::WakeSignal& wake);
  ~Listener();
  Listener(const Listener&) = delete;
  Listener& operator=(const Listener&) = delete;

 private:
  void run();
  /// Until the connection breaks, or the end.
  void listen();
  void pause(Duration at_most) const;

  const ConnectionParameters& parameters_;
  const PostgresOptions& options_;
  core::WakeSignal& wake_;
  int stop_fd_;
  std::atomic<bool> stopped_ = false;
  std::thread thread_;
};

}  // namespace embedjobs::postgres
