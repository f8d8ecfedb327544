#include "text.hpp"

#include <unistd.h>

#include <algorithm>
#include <cstdlib>

#include <fmt/format.h>

namespace embedjobs::command {
namespace {

std::size_t width_of(std::string_view text) {
  std::size_t points = 0;
  for (std::size_t i = 0; i < text.size(); i += code_point_at(text, i).bytes) {
    ++points;
  }
  return points;
}

bool wants_colour() {
  static const bool answer = [] {
    const char* const no_colour = std::getenv("NO_COLOR");
    const char* const term = std::getenv("TERM");
    return isatty(STDOUT_FILENO) == 1 && (no_colour == nullptr || *no_colour == '\0') && term != nullptr &&
           std::string_view(term) != "dumb";
  }();
  return answer;
}

std::string_view escape_of(Tone tone) {
  switch (tone) {
    case Tone::kMuted: return "\x1b[2m";
    case Tone::kGreen: return "\x1b[32m";
    case Tone::kBlue: return "\x1b[34m";
    case Tone::kAmber: return "\x1b[33m";
    case Tone::kAmberStrong: return "\x1b[1;33m";
    case Tone::kRed: return "\x1b[31m";
  }
  return "";
}

}  // namespace

CodePoint code_point_at(std::string_view text, std::size_t offset) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned lead = byte(offset);
  if (lead < 0x80) {
    return {.value = lead, .bytes = 1, .valid = true};
  }
  const std::size_t length = lead >= 0xf0 && lead < 0xf5   ? 4
                             : lead >= 0xe0 && lead < 0xf0 ? 3
                             : lead >= 0xc2 && lead < 0xe0 ? 2
                                                           : 0;
  if (length == 0 || text.size() - offset < length) {
    return {};
  }
  char32_t value = lead & (0x7fU >> length);
  for (std::size_t i = 1; i < length; ++i) {
    const unsigned next = byte(offset + i);
    if ((next & 0xc0U) != 0x80) {
      return {};
    }
    value = (value << 6) | (next & 0x3fU);
  }
  const bool overlong = (length == 3 && value < 0x800) || (length == 4 && value < 0x10000);
  if (overlong || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff)) {
    return {};
  }
  return {.value = value, .bytes = length, .valid = true};
}

bool is_control(char32_t point) {
  return point < 0x20 || (point >= 0x7f && point <= 0x9f) || point == 0x061c || (point >= 0x200e && point <= 0x200f) ||
         (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

std::string printable(std::string_view text) {
  std::string result;
  result.reserve(text.size());
  for (std::size_t i = 0; i < text.size();) {
    const CodePoint point = code_point_at(text, i);
    if (!point.valid) {
      result += fmt::format("\\x{:02x}", static_cast<unsigned>(static_cast<unsigned char>(text[i])));
    } else if (point.value == '\n') {
      result += "\\n";
    } else if (point.value == '\t') {
      result += ' ';
    } else if (is_control(point.value)) {
      const auto value = static_cast<std::uint32_t>(point.value);
      result += value < 0x100 ? fmt::format("\\x{:02x}", value) : fmt::format("\\u{:04x}", value);
    } else {
      result += text.substr(i, point.bytes);
    }
    i += point.bytes;
  }
  return result;
}

std::string counted(std::int64_t count, std::string_view word) {
  return fmt::format("{} {}{}", count, word, count == 1 ? "" : "s");
}

Status with_hint(const Status& status) {
  return status.code() == Code::kNotFound
             ? Status(Code::kNotFound, status.message() + "; 'embedjobs status' lists them")
             : status;
}

std::string shortened(std::string_view text, std::size_t max_points) {
  // More bytes than this can't be shown: do not escape a megabyte to print a line.
  std::string line = printable(text.substr(0, max_points * 4 + 4));
  if (width_of(line) <= max_points) {
    return line;
  }
  std::size_t end = 0;
  for (std::size_t points = 0; points + 1 < max_points; ++points) {
    end += code_point_at(line, end).bytes;
  }
  line.resize(end);
  return line + "\u2026";
}

std::string coloured(std::string_view label, Tone tone) {
  if (!wants_colour()) {
    return printable(label);
  }
  return fmt::format("{}{}\x1b[0m", escape_of(tone), printable(label));
}

std::string Table::str() const {
  std::vector<std::vector<std::string>> rows;
  std::vector<std::size_t> widths;
  for (const std::vector<std::string>& cells : rows_) {
    std::vector<std::string>& row = rows.emplace_back();
    for (std::size_t column = 0; column < cells.size(); ++column) {
      row.push_back(printable(cells[column]));
      widths.resize(std::max(widths.size(), column + 1));
      widths[column] = std::max(widths[column], width_of(row[column]));
    }
  }
  std::string result;
  for (const std::vector<std::string>& row : rows) {
    for (std::size_t column = 0; column + 1 < row.size(); ++column) {
      result += row[column];
      result.append(widths[column] - width_of(row[column]) + 2, ' ');
    }
    result += row.empty() ? "" : row.back();
    result += '\n';
  }
  return result;
}

}  // namespace embedjobs::command
