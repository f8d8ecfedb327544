package embedjobs

// #include "bridge.h"
import "C"

import (
	"fmt"
	"time"
	"unsafe"
)

// Between the library's memory and Go's values.

// stringsOf cuts one copy of the blob into strings.
func stringsOf(blob *C.char, offsets *C.uint64_t, count C.size_t) []string {
	if count == 0 {
		return nil
	}
	ends := unsafe.Slice((*uint64)(unsafe.Pointer(offsets)), int(count)+1)
	text := bytesString(blob, ends[count])
	result := make([]string, count)
	for i := range result {
		result[i] = text[ends[i]:ends[i+1]]
	}
	return result
}

func bytesString(begin *C.char, size uint64) string {
	if size == 0 {
		return ""
	}
	return string(unsafe.Slice((*byte)(unsafe.Pointer(begin)), size))
}

func hashesOf(hashes *C.uint8_t, count C.size_t) []Hash {
	if count == 0 {
		return nil
	}
	return append([]Hash(nil), unsafe.Slice((*Hash)(unsafe.Pointer(hashes)), int(count))...)
}

// floatsOf is a view.
func floatsOf(values *C.float, count int) []float32 {
	if values == nil || count == 0 {
		return nil
	}
	return unsafe.Slice((*float32)(unsafe.Pointer(values)), count)
}

func numbersOf(numbers *C.uint64_t, count C.size_t) []uint64 {
	if numbers == nil || count == 0 {
		return nil
	}
	return append([]uint64(nil), unsafe.Slice((*uint64)(unsafe.Pointer(numbers)), int(count))...)
}

func operationsOf(given *C.embedjobs_operations) *Operations {
	return &Operations{
		IDs:    stringsOf(given.ids, given.id_offsets, given.count),
		Hashes: hashesOf(given.hashes, given.count),
	}
}

func rowsOf(given *C.embedjobs_rows) *Rows {
	return &Rows{
		Operations: Operations{
			IDs:    stringsOf(given.ids, given.id_offsets, given.count),
			Hashes: hashesOf(given.hashes, given.count),
		},
		Dimension:     int(given.dimension),
		Vectors:       floatsOf(given.vectors, int(given.count)*int(given.dimension)),
		EmbeddedBytes: numbersOf(given.embedded_bytes, given.count),
		InputCaps:     numbersOf(given.input_caps, given.count),
	}
}

func fenceOf(fence C.embedjobs_fence) Fence { return Fence{uint64(fence.counter), uint64(fence.nonce)} }

func passOf(given *C.embedjobs_pass) *Pass {
	return &Pass{
		Key:             Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
		Fence:           fenceOf(given.fence),
		JobID:           int64(given.job_id),
		Generation:      uint64(given.generation),
		SpaceID:         C.GoString(given.space_id),
		Dimension:       int(given.dimension),
		Epoch:           uint64(given.epoch),
		ReuseFloor:      uint64(given.reuse_floor),
		InputCap:        uint64(given.input_cap),
		SplitterVersion: C.GoString(given.splitter_version),
		ContentVersion:  C.GoString(given.content_version),
		PromptTokens:    uint64(given.prompt_tokens),
	}
}

func timeOf(ms C.int64_t) time.Time {
	if ms == 0 {
		return time.Time{}
	}
	return time.UnixMilli(int64(ms))
}

// arena is C memory for the time of a call.
type arena struct{ blocks []unsafe.Pointer }

func (a *arena) free() {
	for _, block := range a.blocks {
		C.free(block)
	}
}

func (a *arena) keep(block unsafe.Pointer) unsafe.Pointer {
	a.blocks = append(a.blocks, block)
	return block
}

// text is a C string; NULL for an empty one.
func (a *arena) text(text string) *C.char {
	if text == "" {
		return nil
	}
	return a.name(text)
}

// name is a C string. What follows a NUL would be lost: an engine refuses the names that have one.
func (a *arena) name(text string) *C.char {
	return (*C.char)(a.keep(unsafe.Pointer(C.CString(text))))
}

func (a *arena) bytes(data []byte) *C.char {
	if len(data) == 0 {
		return nil
	}
	return (*C.char)(a.keep(C.CBytes(data)))
}

func (a *arena) operations(ids []string, hashes []Hash) (*C.embedjobs_operations, error) {
	if len(ids) != len(hashes) {
		return nil, fmt.Errorf("%d ids with %d hashes: %w", len(ids), len(hashes), ErrInvalidArgument)
	}
	made := (*C.embedjobs_operations)(a.keep(C.calloc(1, C.sizeof_embedjobs_operations)))
	made.struct_size = C.sizeof_embedjobs_operations
	made.count = C.size_t(len(ids))
	offsets := (*C.uint64_t)(a.keep(C.calloc(C.size_t(len(ids)+1), 8)))
	ends := unsafe.Slice((*uint64)(unsafe.Pointer(offsets)), len(ids)+1)
	var blob []byte
	for i, id := range ids {
		blob = append(blob, id...)
		ends[i+1] = uint64(len(blob))
	}
	made.ids = a.bytes(blob)
	made.id_offsets = offsets
	if len(hashes) > 0 {
		made.hashes = (*C.uint8_t)(a.keep(C.calloc(C.size_t(len(hashes)), C.EMBEDJOBS_HASH_SIZE)))
		copy(unsafe.Slice((*Hash)(unsafe.Pointer(made.hashes)), len(hashes)), hashes)
	}
	return made, nil
}
