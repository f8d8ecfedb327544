package embedjobs

// #include "bridge.h"
import "C"

// The two rules that a host's persister asks. They stand in the library.

// Accepts is the fence check. stored is the last fence that the host accepted for the spec; Fence{} where there is
// none yet. True: the caller may write, and the host stores given in the same transaction. False: the holder is stale;
// return ErrLeaseLost and change nothing.
func Accepts(stored, given Fence) bool {
	before := C.embedjobs_fence{counter: C.uint64_t(stored.Counter), nonce: C.uint64_t(stored.Nonce)}
	now := C.embedjobs_fence{counter: C.uint64_t(given.Counter), nonce: C.uint64_t(given.Nonce)}
	return C.embedjobs_accepts(&before, &now) != 0
}

// VectorMark is what a persister keeps beside a vector, so that it can ask MayReuse. It keeps vectors by Pass.SpaceID,
// too: a vector of another space is never reused.
type VectorMark struct {
	Epoch         uint64 // Pass.Epoch of the pass that stored the vector.
	EmbeddedBytes uint64 // Of its row.
	InputCap      uint64 // Of its row.
}

// MayReuse says whether the pass may use this stored vector, and need not embed its text again: the rule for
// ListExisting and Finalize.
func MayReuse(pass *Pass, row VectorMark) bool {
	asks := C.embedjobs_pass{struct_size: C.sizeof_embedjobs_pass, reuse_floor: C.uint64_t(pass.ReuseFloor),
		input_cap: C.uint64_t(pass.InputCap)}
	mark := C.embedjobs_vector_mark{struct_size: C.sizeof_embedjobs_vector_mark, epoch: C.uint64_t(row.Epoch),
		embedded_bytes: C.uint64_t(row.EmbeddedBytes), input_cap: C.uint64_t(row.InputCap)}
	return C.embedjobs_may_reuse(&asks, &mark) != 0
}

// Mark is what to keep beside the vector of row i, which the pass stores.
func (r *Rows) Mark(pass *Pass, i int) VectorMark {
	mark := VectorMark{Epoch: pass.Epoch}
	if r.EmbeddedBytes != nil {
		mark.EmbeddedBytes, mark.InputCap = r.EmbeddedBytes[i], r.InputCaps[i]
	}
	return mark
}
