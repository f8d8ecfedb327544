#include "http/why_late.hpp"

namespace embedjobs::http {
namespace {

std::string_view host_of(std::string_view url) {
  const auto scheme = url.find("://");
  url.remove_prefix(scheme == std::string_view::npos ? 0 : scheme + 3);
  url = url.substr(0, url.find('/'));
  return url.starts_with('[') ? url.substr(0, url.find(']') + 1) : url.substr(0, url.find(':'));
}

bool needs_no_name_server(std::string_view host) {
  return host.starts_with('[') || host == "localhost" ||
         host.find_first_not_of("0123456789.") == std::string_view::npos;
}

}  // namespace

std::string why_late(std::string_view detail, std::string_view url, bool busy) {
  const bool looking_up = detail.starts_with("Resolving");
  if (busy || (looking_up && needs_no_name_server(host_of(url)))) {
    return "the machine is too busy: no connection was begun within the time limit";
  }
  return looking_up ? "no name server answered within the time limit" : std::string(detail);
}

}  // namespace embedjobs::http
