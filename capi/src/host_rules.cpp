// The rules that a host's persister asks: may this holder write, may this vector be reused.
#include "embedjobs/persister.hpp"
#include "layout.hpp"

extern "C" {

std::int32_t embedjobs_accepts(const embedjobs_fence* stored, const embedjobs_fence* given) {
  if (stored == nullptr || given == nullptr) {
    return 0;
  }
  return embedjobs::accepts({stored->counter, stored->nonce}, {given->counter, given->nonce}) ? 1 : 0;
}

std::int32_t embedjobs_may_reuse(const embedjobs_pass* pass, const embedjobs_vector_mark* row) {
  using embedjobs::capi::Layout;
  if (pass == nullptr || pass->struct_size < Layout<embedjobs_pass>::kFirst || row == nullptr ||
      row->struct_size < Layout<embedjobs_vector_mark>::kFirst) {
    return 0;
  }
  const embedjobs::VectorMark mark{
      .epoch = row->epoch, .embedded_bytes = row->embedded_bytes, .input_cap = row->input_cap};
  return embedjobs::may_reuse(pass->reuse_floor, pass->input_cap, mark) ? 1 : 0;
}

}  // extern "C"
