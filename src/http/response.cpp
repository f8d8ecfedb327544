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

void read_text(ondemand::value value, std::string& text) {
  std::string_view string;
  std::int64_t number = 0;
  if (value.get_string().get(string) == simdjson::SUCCESS) {
    text = string;
  } else if (value.get_int64().get(number) == simdjson::SUCCESS) {
    text = std::to_string(number);
  }
}

// {"error": {...}} holds the same members that other servers write at the top.
bool read_error_members(ondemand::object object, ErrorBody& error, int depth) {
  for (auto field : object) {
    std::string_view key;
    ondemand::value value;
    ondemand::json_type type{};
    if (field.unescaped_key().get(key) || field.value().get(value) || value.type().get(type)) {
      return false;
    }
    ondemand::object inner;
    if (key == "error" && type == ondemand::json_type::object && depth == 0) {
      if (value.get_object().get(inner) || !read_error_members(inner, error, depth + 1)) {
        return false;
      }
    } else if (key == "error" || key == "message" || key == "detail") {
      if (error.message.empty()) {
        read_text(value, error.message);
      }
    } else if (key == "code") {
      read_text(value, error.code);
    } else if (key == "type" || key == "error_type") {
      read_text(value, error.type);
    }
  }
  return true;
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

ErrorBody ResponseParser::read_error(const Body& body) {
  ErrorBody error;
  ondemand::document document;
  ondemand::object object;
  if (!body.view().empty() && impl_->parser.iterate(padded(body)).get(document) == simdjson::SUCCESS &&
      document.get_object().get(object) == simdjson::SUCCESS && read_error_members(object, error, 0)) {
    error.json = true;
    if (!error.message.empty() || !error.code.empty()) {
      return error;
    }
  }
  error.message = body.view().substr(0, kErrorBodyBytes);
  return error;
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
