// Search: a query to a vector, a vector to the nearest operations.
#include <fmt/format.h>

#include <algorithm>

#include "core/engine/engine_impl.hpp"
#include "core/rules/vectors.hpp"
#include "core/values/utf8.hpp"

namespace embedjobs {
namespace {

constexpr std::size_t kMaxQueryBytes = std::size_t{64} * 1024;

bool is_blank(std::string_view text) {
  return text.find_first_not_of(" \t\r\n\f\v") == std::string_view::npos;
}

Status check_query(std::string_view query) {
  if (is_blank(query)) {
    return {Code::kInvalidArgument, "the query is blank"};
  }
  if (query.size() > kMaxQueryBytes) {
    return {Code::kInvalidArgument,
            fmt::format("the query has {} bytes, at most {} are allowed", query.size(), kMaxQueryBytes)};
  }
  if (!core::is_valid_utf8(query)) {
    return {Code::kInvalidArgument, "the query is not valid UTF-8"};
  }
  return {};
}

/// The embedder's promise for one text.
Status check_vector(const Matrix& vectors, const Space& space) {
  if (vectors.rows() != 1 || vectors.dimension() != space.dimension) {
    return {Code::kInternal, fmt::format("the embedder answered {} x {} floats for a query in space {}", vectors.rows(),
                                         vectors.dimension(), space.id())};
  }
  const Status usable = core::check_vector(vectors.row(0), space.dimension);
  return usable.ok() ? usable : Status(Code::kInternal, "the embedder's vector for the query: " + usable.message());
}

Result<Embeddings> embed_query(Embedder& embedder, std::string_view query, const Space& space) {
  const std::size_t cap = embedder.limits().input_bytes;
  const std::string_view text = cap == 0 ? query : core::cut_utf8(query, cap);
  CallContext context;
  context.time_limit = core::kForegroundTimeout;
  context.purpose = Purpose::kQuery;
  Result<Embeddings> answer = embedder.embed(std::span(&text, 1), context);
  if (!answer.ok()) {
    return answer.status().with_context("embedding the query");
  }
  if (Status status = check_vector(answer->vectors, space); !status.ok()) {
    return status;
  }
  return answer;
}

}  // namespace

Result<std::vector<SearchHit>> Engine::Impl::search(std::string_view catalog_id, std::string_view query,
                                                    std::size_t k) {
  Status status = require_vectors("search");
  if (status.ok()) {
    status = validate_catalog_id(catalog_id);
  }
  if (status.ok()) {
    status = check_query(query);
  }
  if (!status.ok()) {
    return status;
  }
  if (status = require_documents("catalogs"); !status.ok()) {
    return status;
  }
  const Result<std::string> space_id = catalog_->search_space_of(catalog_id);
  if (!space_id.ok()) {
    return space_id.status();
  }
  if (space_id->empty() || k == 0) {
    return std::vector<SearchHit>();  // nothing is visible yet
  }
  const Result<Space> space = parse_space(*space_id);
  if (!space.ok()) {
    return space.status();
  }
  const Result<EmbedderPtr> embedder = embedder_of(catalog_id, *space_id);
  if (!embedder.ok()) {
    return embedder.status();
  }
  const Result<Embeddings> embedded = embed_query(**embedder, query, *space);
  if (!embedded.ok()) {
    return embedded.status();
  }
  for (const std::string& warning : embedded->warnings) {
    log(LogLevel::kWarning, warning);
  }
  return catalog_->search(catalog_id, *space, embedded->vectors.row(0), k);
}

Result<std::vector<SearchHit>> Engine::search(std::string_view catalog_id, std::string_view query, std::size_t k) {
  return impl_->call([&] { return impl_->search(catalog_id, query, k); });
}

}  // namespace embedjobs
