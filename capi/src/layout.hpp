// Structs that grow: which sizes are accepted, and how a struct of another version is read and written.
#pragma once

#include <cstddef>
#include <cstring>
#include <string>
#include <string_view>

#include <fmt/format.h>

#include "embedjobs.h"
#include "embedjobs/status.hpp"

namespace embedjobs::capi {

/// The frozen size of a struct's first version. Specialised below for every struct that a host makes.
template <typename T>
struct Layout;

// No tail padding, or two versions would have one size: the last member ends where the struct ends.
#define EMBEDJOBS_LAYOUT(type, last_of_first_version, last)                                         \
  template <>                                                                                       \
  struct Layout<type> {                                                                             \
    static constexpr std::size_t kFirst =                                                           \
        offsetof(type, last_of_first_version) + sizeof(std::declval<type>().last_of_first_version); \
    static constexpr std::string_view kName = #type;                                                \
    static_assert(offsetof(type, last) + sizeof(std::declval<type>().last) == sizeof(type),         \
                  #type " has tail padding");                                                       \
    static_assert(offsetof(type, struct_size) == 0, #type " does not begin with struct_size");      \
  }

// Made by the host. The second name never changes; the third is today's last member.
EMBEDJOBS_LAYOUT(embedjobs_options, vector_grace_ms, vector_grace_ms);
EMBEDJOBS_LAYOUT(embedjobs_embedder, input_bytes, input_bytes);
EMBEDJOBS_LAYOUT(embedjobs_computer, dimension, dimension);
EMBEDJOBS_LAYOUT(embedjobs_persister, describe, describe);
EMBEDJOBS_LAYOUT(embedjobs_resolver, list, list);
EMBEDJOBS_LAYOUT(embedjobs_observer, reload, reload);
EMBEDJOBS_LAYOUT(embedjobs_secret_source, get, get);
EMBEDJOBS_LAYOUT(embedjobs_operations, hashes, hashes);
EMBEDJOBS_LAYOUT(embedjobs_rows, input_caps, input_caps);
EMBEDJOBS_LAYOUT(embedjobs_vector_mark, input_cap, input_cap);
EMBEDJOBS_LAYOUT(embedjobs_job_filter, kind, kind);
EMBEDJOBS_LAYOUT(embedjobs_enqueued, reserved, reserved);
EMBEDJOBS_LAYOUT(embedjobs_idle_report, reserved, reserved);
// Made by the library.
EMBEDJOBS_LAYOUT(embedjobs_texts, reserved, reserved);
EMBEDJOBS_LAYOUT(embedjobs_vectors, prompt_tokens, prompt_tokens);
EMBEDJOBS_LAYOUT(embedjobs_pass, prompt_tokens, prompt_tokens);
EMBEDJOBS_LAYOUT(embedjobs_compute_request, fence, fence);
EMBEDJOBS_LAYOUT(embedjobs_event, reserved, reserved);
EMBEDJOBS_LAYOUT(embedjobs_spec_status, lease_expires_at, lease_expires_at);
EMBEDJOBS_LAYOUT(embedjobs_statuses, items, items);
EMBEDJOBS_LAYOUT(embedjobs_health, degraded, degraded);
EMBEDJOBS_LAYOUT(embedjobs_job, status, status);
EMBEDJOBS_LAYOUT(embedjobs_jobs, items, items);
EMBEDJOBS_LAYOUT(embedjobs_hit, score, score);
EMBEDJOBS_LAYOUT(embedjobs_hits, items, items);
EMBEDJOBS_LAYOUT(embedjobs_stored_rows, vectors, vectors);
EMBEDJOBS_LAYOUT(embedjobs_catalog, specs_in_target, specs_in_target);
EMBEDJOBS_LAYOUT(embedjobs_catalogs, items, items);
EMBEDJOBS_LAYOUT(embedjobs_verification, reserved, reserved);
EMBEDJOBS_LAYOUT(embedjobs_verifications, items, items);
EMBEDJOBS_LAYOUT(embedjobs_provider, read_at, read_at);
EMBEDJOBS_LAYOUT(embedjobs_providers, items, items);
EMBEDJOBS_LAYOUT(embedjobs_worker, reserved, reserved);
EMBEDJOBS_LAYOUT(embedjobs_workers, items, items);
EMBEDJOBS_LAYOUT(embedjobs_metrics, store_cancelled, store_cancelled);
#undef EMBEDJOBS_LAYOUT
static_assert(sizeof(embedjobs_fence) == 16, "embedjobs_fence never grows");

/// No struct will ever be larger: a larger struct_size was never written by somebody who meant it.
inline constexpr std::size_t kLargestStruct = 4096;

/// The struct_size of a host's struct: not smaller than the first version, and not beyond all sense.
template <typename T>
Status check_size(const T& in) {
  const std::size_t size = in.struct_size;
  if (size < Layout<T>::kFirst || size > kLargestStruct) {
    return {Code::kInvalidArgument,
            fmt::format("{}.struct_size is {}: set it to sizeof({})", Layout<T>::kName, size, Layout<T>::kName)};
  }
  return {};
}

/// A copy of what this library knows of a host's struct, of whatever version: members that it does not have are zero.
template <typename T>
Status read_known(const T* in, T& out) {
  if (in == nullptr) {
    return {Code::kInvalidArgument, fmt::format("a {} is NULL", Layout<T>::kName)};
  }
  if (Status status = check_size(*in); !status.ok()) {
    return status;
  }
  out = T{};
  std::memcpy(&out, in, in->struct_size < sizeof(T) ? in->struct_size : sizeof(T));
  return {};
}

/// A newer host must not use what this library does not know. `in` passed check_size.
template <typename T>
Status check_unknown(const T& in) {
  const auto* bytes = reinterpret_cast<const unsigned char*>(&in);
  for (std::size_t i = sizeof(T); i < in.struct_size; ++i) {
    if (bytes[i] != 0) {
      return {Code::kInvalidArgument, fmt::format("{} uses members that this library, {}, does not know",
                                                  Layout<T>::kName, embedjobs_version())};
    }
  }
  return {};
}

/// Both.
template <typename T>
Status read_struct(const T* in, T& out) {
  const Status status = read_known(in, out);
  return status.ok() ? check_unknown(*in) : status;
}

/// What write_struct will need; before the call has an effect. NULL is fine: the caller does not want it.
template <typename T>
Status check_output(const T* out) {
  return out == nullptr ? Status() : check_size(*out);
}

/// Fills as much of a caller's struct as it has. `out` passed check_output.
template <typename T>
void write_struct(T* out, T value) {
  if (out == nullptr) {
    return;
  }
  const std::size_t size = out->struct_size;
  value.struct_size = size;
  std::memcpy(out, &value, size < sizeof(T) ? size : sizeof(T));
  if (size > sizeof(T)) {
    std::memset(reinterpret_cast<unsigned char*>(out) + sizeof(T), 0, size - sizeof(T));
  }
}

}  // namespace embedjobs::capi
