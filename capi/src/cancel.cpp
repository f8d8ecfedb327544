#include "cancel.hpp"

#include <new>

#include "error.hpp"

struct embedjobs_cancel {
  std::stop_source source;
};

std::stop_token embedjobs::capi::token_of(const embedjobs_cancel* cancel) {
  return cancel == nullptr ? std::stop_token() : cancel->source.get_token();
}

extern "C" {

embedjobs_cancel* embedjobs_cancel_create(void) {
  embedjobs_cancel* cancel = nullptr;
  embedjobs::capi::quiet_boundary([&] { cancel = new embedjobs_cancel; });
  return cancel;
}

void embedjobs_cancel_request(embedjobs_cancel* cancel) {
  if (cancel != nullptr) {
    embedjobs::capi::quiet_boundary([&] { (void)cancel->source.request_stop(); });
  }
}

void embedjobs_cancel_destroy(embedjobs_cancel* cancel) {
  delete cancel;
}

}  // extern "C"
