#include "http/verdict.hpp"

namespace embedjobs::http {

bool Verdict::failed(std::string_view how, int status, Time now) {
  if (count_ == 0 || how != how_ || status != status_) {
    how_ = how;
    status_ = status;
    count_ = 0;
    since_ = now;
  }
  ++count_;
  return count_ >= kErrorsToJudge && now - since_ >= kTimeToJudge;
}

}  // namespace embedjobs::http
