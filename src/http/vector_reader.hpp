// Vectors in a provider's answer, read straight into the caller's floats, in the order of the texts.
#pragma once

#include <simdjson.h>

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "http/response.hpp"

namespace embedjobs::http {

/// Reads the vectors of one answer. A method that finds a fault notes it and answers false.
class VectorReader {
 public:
  VectorReader(std::size_t rows, std::size_t dimension, Matrix& vectors)
      : rows_(rows), dimension_(dimension), vectors_(vectors) {}

  bool read(simdjson::ondemand::document& document);
  Reading take() { return std::move(reading_); }

 private:
  bool fault(Fault fault, std::string detail);
  bool broken(simdjson::error_code error) { return fault(Fault::kBrokenJson, simdjson::error_message(error)); }
  bool read_object(simdjson::ondemand::object object);
  bool read_field(std::string_view key, simdjson::ondemand::value value);
  bool read_rows(simdjson::ondemand::value value, bool records);
  bool read_single(simdjson::ondemand::value value);
  bool read_record(simdjson::ondemand::value value, std::size_t position);
  bool note_index(std::size_t index, std::size_t position);
  bool read_vector(simdjson::ondemand::value value, std::size_t position);
  bool read_numbers(simdjson::ondemand::value value, std::size_t position);
  bool read_base64(simdjson::ondemand::value value, std::size_t position);
  bool not_a_number(simdjson::ondemand::value value, std::size_t position, simdjson::error_code error);
  bool read_usage(simdjson::ondemand::value value);
  bool make_room(std::size_t count, std::size_t position);
  bool check_row(std::size_t position);
  bool put_in_order();

  const std::size_t rows_;
  std::size_t dimension_;
  Matrix& vectors_;
  Reading reading_;
  bool seen_vectors_ = false;
  std::size_t found_ = 0;
  std::size_t indexed_ = 0;                                   // records with an index
  std::size_t without_index_ = static_cast<std::size_t>(-1);  // the last record that has none
  bool in_order_ = true;
  std::vector<std::size_t> positions_;  // which record has the row: filled when records come in another order
};

}  // namespace embedjobs::http
