package embedjobs

// #include "bridge.h"
import "C"

import (
	"bytes"
	"encoding/json"
	"fmt"
	"unicode/utf8"
	"unsafe"
)

// Documents and jobs.

// JobKind says why a job exists.
type JobKind int32

// The kinds of jobs.
const (
	JobSpecWrite JobKind = iota
	JobReconciler
	JobManualRetry
)

// Enqueued is what an enqueue did.
type Enqueued struct {
	JobID      int64
	Generation uint64
	Created    bool // False: a job was open already, and serves the new generation too.
}

// Item is a part that the host cut itself.
type Item struct {
	ID   string `json:"id"`
	Text string `json:"text"`
}

// Put stores an OpenAPI document, JSON or YAML, and makes its job, in one transaction.
func (e *Engine) Put(key Key, content []byte) (Enqueued, error) {
	return e.enqueue(key, func(engine *cEngine, catalog, spec *C.char, out *cEnqueued, failure **cError) C.int32_t {
		return C.embedjobs_engine_put(engine, catalog, spec, charsOf(content), C.size_t(len(content)), out, failure)
	})
}

// PutItems stores a document that the host cut itself.
func (e *Engine) PutItems(key Key, items []Item) (Enqueued, error) {
	var lines bytes.Buffer
	encoder := json.NewEncoder(&lines)
	for i, item := range items {
		if !utf8.ValidString(item.ID) || !utf8.ValidString(item.Text) { // JSON would replace it silently
			return Enqueued{}, &Error{Code: ErrInvalidDocument.Code, Message: fmt.Sprintf("line %d: not valid UTF-8", i+1)}
		}
		if err := encoder.Encode(item); err != nil {
			return Enqueued{}, err
		}
	}
	return e.PutItemLines(key, lines.Bytes())
}

// PutItemLines is PutItems of JSON Lines, {"id": ..., "text": ...} a line.
func (e *Engine) PutItemLines(key Key, lines []byte) (Enqueued, error) {
	return e.enqueue(key, func(engine *cEngine, catalog, spec *C.char, out *cEnqueued, failure **cError) C.int32_t {
		return C.embedjobs_engine_put_items(engine, catalog, spec, charsOf(lines), C.size_t(len(lines)), out, failure)
	})
}

func charsOf(data []byte) *C.char { return (*C.char)(unsafe.Pointer(unsafe.SliceData(data))) }

// Enqueue says "this document changed", for a host that keeps documents itself.
func (e *Engine) Enqueue(key Key, kind JobKind) (Enqueued, error) {
	return e.enqueue(key, func(engine *cEngine, catalog, spec *C.char, out *cEnqueued, failure **cError) C.int32_t {
		return C.embedjobs_engine_enqueue(engine, catalog, spec, C.int32_t(kind), out, failure)
	})
}

// Retry has everything of the spec embedded afresh.
func (e *Engine) Retry(key Key) (Enqueued, error) {
	return e.enqueue(key, func(engine *cEngine, catalog, spec *C.char, out *cEnqueued, failure **cError) C.int32_t {
		return C.embedjobs_engine_retry(engine, catalog, spec, out, failure)
	})
}

type enqueuing = func(engine *cEngine, catalog, spec *C.char, out *cEnqueued, failure **cError) C.int32_t

func (e *Engine) enqueue(key Key, f enqueuing) (Enqueued, error) {
	out := C.embedjobs_enqueued{struct_size: C.sizeof_embedjobs_enqueued}
	err := e.withKey(key, func(engine *cEngine, catalog, spec *C.char, failure **cError) C.int32_t {
		return f(engine, catalog, spec, &out, failure)
	})
	return Enqueued{int64(out.job_id), uint64(out.generation), out.created != 0}, err
}

func (e *Engine) withKey(key Key, f func(*cEngine, *C.char, *C.char, **cError) C.int32_t) error {
	if err := checkNames(key.CatalogID, key.SpecName); err != nil {
		return err
	}
	var memory arena
	defer memory.free()
	return e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return f(engine, memory.name(key.CatalogID), memory.name(key.SpecName), failure)
	})
}

// Remove removes the spec: document, rows and open job.
func (e *Engine) Remove(key Key) error {
	return e.withKey(key, func(engine *cEngine, catalog, spec *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_remove(engine, catalog, spec, failure)
	})
}

// RemoveCatalog removes every spec of the catalog.
func (e *Engine) RemoveCatalog(catalogID string) error {
	return e.withKey(Key{CatalogID: catalogID}, func(engine *cEngine, catalog, _ *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_remove_catalog(engine, catalog, failure)
	})
}

// RetryFailed retries every spec whose last job failed; how many.
func (e *Engine) RetryFailed() (int, error) {
	var count C.size_t
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_retry_failed(engine, &count, failure)
	})
	return int(count), err
}

// Reconcile enqueues every spec whose vectors are not what its document asks for; how many.
func (e *Engine) Reconcile() (int, error) {
	var count C.size_t
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_reconcile(engine, &count, failure)
	})
	return int(count), err
}

// SwitchSpace moves a catalog to another space; how many specs were enqueued.
func (e *Engine) SwitchSpace(catalogID, spaceID string) (int, error) {
	var count C.size_t
	err := e.withKey(Key{catalogID, spaceID}, func(engine *cEngine, catalog, space *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_switch_space(engine, catalog, space, &count, failure)
	})
	return int(count), err
}

// HashText is the address of a text's vector.
func HashText(text string) Hash {
	var hash Hash
	C.embedjobs_hash_text((*C.char)(unsafe.Pointer(unsafe.StringData(text))), C.size_t(len(text)),
		(*C.uint8_t)(unsafe.Pointer(&hash)))
	return hash
}

// LibraryVersion is that of the library that is loaded, "0.1.0" for example.
func LibraryVersion() string { return C.GoString(C.embedjobs_version()) }

// String names a key for people.
func (k Key) String() string { return fmt.Sprintf("%s/%s", k.CatalogID, k.SpecName) }
