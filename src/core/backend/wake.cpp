#include "core/backend/wake.hpp"

namespace embedjobs::core {

void WakeSignal::set(std::function<void()> wake) {
  std::unique_lock lock(mutex_);
  wake_ = wake ? std::make_shared<const std::function<void()>>(std::move(wake)) : nullptr;
  idle_.wait(lock, [this] { return calls_ == 0; });
}

void WakeSignal::fire() noexcept {
  std::shared_ptr<const std::function<void()>> wake;
  {
    const std::lock_guard lock(mutex_);
    if (!wake_) {
      return;
    }
    wake = wake_;
    ++calls_;
  }
  try {
    (*wake)();
  } catch (...) {  // a host's function: its errors are its own
  }
  wake.reset();
  const std::lock_guard lock(mutex_);
  if (--calls_ == 0) {
    idle_.notify_all();
  }
}

}  // namespace embedjobs::core
