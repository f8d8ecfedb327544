package embedjobs

// #include "bridge.h"
import "C"

import (
	"fmt"
	"sync"
	"unsafe"
)

// ComputeRequest is what a Computer gets, and what it does with it. It ends with Compute: a goroutine that still holds
// it then gets ErrInvalidArgument, and Compute does not end before a method that is under way.
type ComputeRequest struct {
	Key       Key
	Content   []byte
	BatchSize int // Texts a provider call, at most; at least 1.
	Fence     Fence

	mutex    sync.Mutex
	compute  *C.embedjobs_compute // Nil: Compute has ended.
	manifest int
}

// during runs f with what the library lent, or with NULL, which it refuses.
func (r *ComputeRequest) during(f func(compute *C.embedjobs_compute, failure **cError) C.int32_t) error {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	var failure *cError
	return check(f(r.compute, &failure), &failure)
}

func (r *ComputeRequest) end() {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.compute = nil
}

// ListExisting says which operations have a vector already and need only be named in the manifest. ErrLeaseLost: return
// it at once.
func (r *ComputeRequest) ListExisting(wanted *Operations) ([]bool, error) {
	var memory arena
	defer memory.free()
	operations, err := memory.operations(wanted.IDs, wanted.Hashes)
	if err != nil {
		return nil, err
	}
	existing := (*C.uint8_t)(memory.keep(C.calloc(C.size_t(len(wanted.IDs)+1), 1)))
	err = r.during(func(compute *C.embedjobs_compute, failure **cError) C.int32_t {
		return C.embedjobs_compute_list_existing(compute, operations, existing, failure)
	})
	if err != nil {
		return nil, err
	}
	answers := make([]bool, len(wanted.IDs))
	for i, value := range unsafe.Slice((*uint8)(unsafe.Pointer(existing)), len(answers)) {
		answers[i] = value != 0
	}
	return answers, nil
}

// Progress says that so many operations have a vector. What people see.
func (r *ComputeRequest) Progress(done, total int) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	C.embedjobs_compute_progress(r.compute, C.size_t(done), C.size_t(total))
}

// PersistBatch hands over one finished chunk, durable when it returns. ErrLeaseLost: return it at once.
func (r *ComputeRequest) PersistBatch(rows *Rows) error {
	if len(rows.Vectors) != len(rows.IDs)*rows.Dimension {
		return fmt.Errorf("%d floats for %d rows of dimension %d: %w", len(rows.Vectors), len(rows.IDs), rows.Dimension,
			ErrInvalidArgument)
	}
	var memory arena
	defer memory.free()
	operations, err := memory.operations(rows.IDs, rows.Hashes)
	if err != nil {
		return err
	}
	made := (*C.embedjobs_rows)(memory.keep(C.calloc(1, C.sizeof_embedjobs_rows)))
	made.struct_size = C.sizeof_embedjobs_rows
	made.count, made.dimension = operations.count, C.size_t(rows.Dimension)
	made.ids, made.id_offsets, made.hashes = operations.ids, operations.id_offsets, operations.hashes
	made.vectors = (*C.float)(memory.keep(C.calloc(C.size_t(len(rows.Vectors)+1), 4)))
	copy(unsafe.Slice((*float32)(unsafe.Pointer(made.vectors)), len(rows.Vectors)), rows.Vectors)
	return r.during(func(compute *C.embedjobs_compute, failure **cError) C.int32_t {
		return C.embedjobs_compute_persist_batch(compute, made, failure)
	})
}

// SetManifest names every operation of the document, reused or new: the proof that all of it was seen.
func (r *ComputeRequest) SetManifest(manifest *Operations) error {
	var memory arena
	defer memory.free()
	operations, err := memory.operations(manifest.IDs, manifest.Hashes)
	if err != nil {
		return err
	}
	return r.during(func(compute *C.embedjobs_compute, failure **cError) C.int32_t {
		code := C.embedjobs_compute_set_manifest(compute, operations, failure)
		if code == C.EMBEDJOBS_OK {
			r.manifest = len(manifest.IDs)
		}
		return code
	})
}
