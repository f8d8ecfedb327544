// Reads documents as YAML and says what each one is, for tests that compare: many in one process.
//   yaml_tree     standard input: by turns four bytes, the size (little-endian), and a document of that size
// A line of JSON for each: {"tree": ...} or {"error": "..."}. A mapping is {"map": [[key, value], ...]}, in order.
#include <fmt/format.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <string>

#include "openapi/yaml_document.hpp"

namespace {

using embedjobs::openapi::Kind;
using embedjobs::openapi::YamlDocument;
using embedjobs::openapi::YamlNode;

constexpr std::size_t kDepth = 200;
constexpr std::size_t kMaxOutput = std::size_t{64} << 20;  // aliases are written out

void append_string(std::string_view text, std::string& to) {
  to += '"';
  for (const char c : text) {
    if (c == '"' || c == '\\') {
      to += '\\';
      to += c;
    } else if (static_cast<unsigned char>(c) < 0x20) {
      to += fmt::format("\\u{:04x}", static_cast<unsigned char>(c));
    } else {
      to += c;
    }
  }
  to += '"';
}

void append_tree(const YamlNode& node, std::string& to) {
  const char* separator = "";
  if (node.kind() == Kind::kString) {
    append_string(node.text(), to);
  } else if (node.kind() == Kind::kArray) {
    to += '[';
    node.each_element([&](const YamlNode& element) {
      to += separator;
      separator = ",";
      append_tree(element, to);
      return to.size() < kMaxOutput;
    });
    to += ']';
  } else if (node.kind() == Kind::kObject) {
    to += "{\"map\":[";
    node.each_member([&](std::string_view key, const YamlNode& value) {
      to += separator;
      separator = ",";
      to += '[';
      append_string(key, to);
      to += ',';
      append_tree(value, to);
      to += ']';
      return to.size() < kMaxOutput;
    });
    to += "]}";
  } else {
    to += "null";
  }
}

std::string answer(std::string_view content) {
  const auto document = YamlDocument::parse(content, kDepth);
  std::string line = document.ok() ? "{\"tree\":" : "{\"error\":";
  if (document.ok()) {
    append_tree(document->root(), line);
  } else {
    append_string(document.status().message(), line);
  }
  return line + "}\n";
}

}  // namespace

int main() {
  std::array<unsigned char, 4> size{};
  std::string content;
  while (std::fread(size.data(), 1, size.size(), stdin) == size.size()) {
    content.resize(std::size_t{size[0]} | std::size_t{size[1]} << 8 | std::size_t{size[2]} << 16 |
                   std::size_t{size[3]} << 24);
    if (std::fread(content.data(), 1, content.size(), stdin) != content.size()) {
      return 1;
    }
    const std::string line = answer(content);
    std::fwrite(line.data(), 1, line.size(), stdout);
    std::fflush(stdout);
  }
  return 0;
}
