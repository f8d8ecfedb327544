#include "http/request.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

namespace embedjobs::http {
namespace {

bool is_plain(char c) {
  return static_cast<unsigned char>(c) >= 0x20 && c != '"' && c != '\\';
}

void append_escaped(std::string& body, std::string_view text) {
  while (!text.empty()) {
    const auto plain = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_plain) - text.begin());
    body += text.substr(0, plain);
    text.remove_prefix(plain);
    if (text.empty()) {
      return;
    }
    switch (text.front()) {
      case '"': body += "\\\""; break;
      case '\\': body += "\\\\"; break;
      case '\n': body += "\\n"; break;
      case '\t': body += "\\t"; break;
      case '\r': body += "\\r"; break;
      default: fmt::format_to(std::back_inserter(body), "\\u{:04x}", static_cast<unsigned>(text.front()));
    }
    text.remove_prefix(1);
  }
}

void append_text(std::string& body, std::string_view prefix, std::string_view text) {
  body += '"';
  append_escaped(body, prefix);
  append_escaped(body, text);
  body += '"';
}

void append_texts(std::string& body, std::string_view prefix, std::span<const std::string_view> texts) {
  body += '[';
  for (std::size_t i = 0; i < texts.size(); ++i) {
    body += i == 0 ? "" : ",";
    append_text(body, prefix, texts[i]);
  }
  body += ']';
}

}  // namespace

void append_json_string(std::string& body, std::string_view text) {
  append_text(body, {}, text);
}

void write_question(const Question& question, std::span<const std::string_view> texts, std::string& body) {
  body.assign(1, '{');
  if (question.kind != ProviderKind::kTei) {
    body += "\"model\":";
    append_json_string(body, question.model);
    body += ',';
  }
  if (question.old_route) {
    body += "\"prompt\":";
    append_text(body, question.prefix, texts.front());
    body += '}';
    return;
  }
  body += question.kind == ProviderKind::kTei ? "\"inputs\":" : "\"input\":";
  append_texts(body, question.prefix, texts);
  switch (question.kind) {
    case ProviderKind::kOllama: body += ",\"truncate\":false"; break;
    case ProviderKind::kTei: body += ",\"truncate\":false,\"normalize\":true"; break;
    case ProviderKind::kOpenAi:
      body += question.format == NumberFormat::kBase64  ? ",\"encoding_format\":\"base64\""
              : question.format == NumberFormat::kFloat ? ",\"encoding_format\":\"float\""
                                                        : "";
      break;
  }
  if (question.dimensions != 0) {
    fmt::format_to(std::back_inserter(body), ",\"dimensions\":{}", question.dimensions);
  }
  body += '}';
}

}  // namespace embedjobs::http
