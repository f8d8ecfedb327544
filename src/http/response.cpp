#include "http/response.hpp"

#include <simdjson.h>

#include "http/vector_reader.hpp"

namespace embedjobs::http {
namespace {

namespace ondemand = simdjson::ondemand;

static_assert(Body::kPadding >= simdjson::SIMDJSON_PADDING);

simdjson::padded_string_view padded(const Body& body) {
  return simdjson::padded_string_view(body.view().data(), body.view().size(), body.capacity());
}

}  // namespace

struct ResponseParser::Impl {
  ondemand::parser parser;
};

ResponseParser::ResponseParser() : impl_(std::make_unique<Impl>()) {}
ResponseParser::~ResponseParser() = default;

void ResponseParser::shrink() {
  impl_ = std::make_unique<Impl>();
}

Reading ResponseParser::read(const Body& body, std::size_t rows, std::size_t dimension, Matrix& vectors) {
  Reading broken;
  broken.fault = Fault::kBrokenJson;
  if (body.view().empty()) {
    broken.fault = Fault::kEmptyAnswer;
    broken.detail = "the answer has no content";
    return broken;
  }
  ondemand::document document;
  if (const auto error = impl_->parser.iterate(padded(body)).get(document)) {
    broken.detail = simdjson::error_message(error);
    return broken;
  }
  VectorReader reader(rows, dimension, vectors);
  (void)reader.read(document);
  return reader.take();
}

std::optional<std::string> ResponseParser::read_member(const Body& body, std::string_view name) {
  ondemand::document document;
  std::string_view text;
  if (body.view().empty() || impl_->parser.iterate(padded(body)).get(document) ||
      document.find_field_unordered(name).get_string().get(text)) {
    return std::nullopt;
  }
  return std::string(text);
}

}  // namespace embedjobs::http
