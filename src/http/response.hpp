// What providers answer: vectors straight into the caller's floats.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "embedjobs/embedder.hpp"
#include "http/transport.hpp"

namespace embedjobs::http {

/// How an answer of 200 was read.
struct Reading {
  Fault fault = Fault::kNone;
  std::string detail;  ///< Of a fault, one line.
  std::optional<std::uint64_t> prompt_tokens;
  std::string model;  ///< The one that answered, as the answer says; at most 512 bytes.
};

/// Reads answers. Keeps its memory from one to the next; one thread at a time.
class ResponseParser {
 public:
  ResponseParser();
  ~ResponseParser();
  ResponseParser(const ResponseParser&) = delete;
  ResponseParser& operator=(const ResponseParser&) = delete;

  /// Fills `vectors` with `rows` vectors in the order of the texts. `dimension` zero: what the first vector has. All
  /// shapes are understood: {"embeddings": [[...]]}, {"embedding": [...]}, {"data": [{"index", "embedding": [...] or
  /// base64}]}, [[...]]. Without a fault every row is finite and not zero.
  Reading read(const Body& body, std::size_t rows, std::size_t dimension, Matrix& vectors);
  /// A string member of an object, as TEI's "model_id".
  std::optional<std::string> read_member(const Body& body, std::string_view name);
  /// Gives memory back that a large answer took.
  void shrink();

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace embedjobs::http
