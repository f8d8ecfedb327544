// A host's key for a provider over HTTP.
#include <stdexcept>

#include "error.hpp"
#include "hosts.hpp"

struct embedjobs_secret {
  std::optional<std::string> value;
};

namespace embedjobs::capi {
namespace {

/// Throws when the host has no key: the embedder makes a passing error of it, without the words.
std::string ask(const OwnedTable<embedjobs_secret_source>& table) {
  embedjobs_secret secret;
  embedjobs_call call(table.state(), Caller::kAnybody);
  const auto get = [&](embedjobs_call* c, std::size_t* done) { return table->get(table->user_data, c, &secret, done); };
  const Status status = call_host("the host's secret source", call, 1, get);
  if (!status.ok() || !secret.value) {
    throw std::runtime_error("no key");
  }
  return *std::move(secret.value);
}

}  // namespace

Result<std::shared_ptr<Embedder>> make_keyed_embedder(const std::string& spec,
                                                      TablePtr<embedjobs_secret_source> table) {
  if ((*table)->get == nullptr) {
    return {Code::kInvalidArgument, "embedjobs_secret_source.get is NULL"};
  }
#ifdef EMBEDJOBS_HAS_HTTP
  Result<HttpEmbedderOptions> options = parse_http_embedder(spec);
  if (!options.ok()) {
    return options.status().with_context("secret_source needs an embedder over HTTP");
  }
  options->key = Secret([table = std::move(table)] { return ask(*table); });
  return make_http_embedder(*options);
#else
  (void)ask;
  return {Code::kInvalidArgument, "secret_source: this build has no embedders over HTTP, not even " + spec};
#endif
}

}  // namespace embedjobs::capi

extern "C" std::int32_t embedjobs_secret_set(embedjobs_secret* secret, const char* value, std::size_t size) {
  const auto set = [&]() -> embedjobs::Status {
    if (secret == nullptr || (value == nullptr && size > 0)) {
      return {embedjobs::Code::kInvalidArgument, "NULL"};
    }
    secret->value = std::string(value == nullptr ? "" : value, size);
    return {};
  };
  return embedjobs::capi::boundary(nullptr, set);
}
