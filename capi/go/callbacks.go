package embedjobs

// #include "bridge.h"
import "C"

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/cgo"
	"sync/atomic"
	"time"
	"unsafe"
)

// host is what the callbacks of an engine need. Its handle is the user_data of every table, and is deleted by the last
// destroy.
type host struct {
	embedder  Embedder
	computer  Computer
	persister Persister
	resolver  Resolver
	log       *slog.Logger
	onEvent   func(Event)
	onReload  func(Key)
	secret    func(context.Context) (string, error)
	handle    cgo.Handle
	tables    atomic.Int32
}

func hostOf(handle C.uintptr_t) *host { return cgo.Handle(handle).Value().(*host) }

func (h *host) release() {
	if h.tables.Add(-1) == 0 {
		h.handle.Delete()
	}
}

//export goDestroy
func goDestroy(handle C.uintptr_t) { hostOf(handle).release() }

//export goEmbed
func goEmbed(
	handle C.uintptr_t, call *C.embedjobs_call, texts *C.embedjobs_texts, out *C.embedjobs_vectors,
	done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the embedder", func(ctx context.Context) (int, error) {
		count, dimension := int(texts.count), int(out.dimension)
		batch := Batch{
			Texts:        stringsOf(texts.bytes, texts.offsets, texts.count),
			Purpose:      Purpose(texts.purpose),
			Vectors:      floatsOf(out.values, count*dimension),
			Dimension:    dimension,
			PromptTokens: -1,
		}
		place := batch.Vectors
		if err := h.embedder.Embed(ctx, &batch); err != nil {
			return count, err
		}
		out.prompt_tokens = C.int64_t(batch.PromptTokens)
		return count, fillVectors(place, batch.Vectors)
	})
}

// fillVectors copies what the embedder put in the place of the library's memory, if it did.
func fillVectors(place, given []float32) error {
	if len(given) != len(place) {
		return fmt.Errorf("the embedder left %d floats, expected %d", len(given), len(place))
	}
	if unsafe.SliceData(given) != unsafe.SliceData(place) {
		copy(place, given)
	}
	return nil
}

//export goCompute
func goCompute(
	handle C.uintptr_t, call *C.embedjobs_call, compute *C.embedjobs_compute, given *C.embedjobs_compute_request,
	done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the computer", func(ctx context.Context) (int, error) {
		request := &ComputeRequest{
			Key:       Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
			Content:   []byte(bytesString(given.content, uint64(given.content_size))),
			BatchSize: int(given.batch_size),
			Fence:     fenceOf(given.fence),
			compute:   compute,
			manifest:  -1,
		}
		defer request.end()
		if err := h.computer.Compute(ctx, request); err != nil {
			return 0, err
		}
		if request.manifest < 0 {
			return 0, fmt.Errorf("the computer returned without SetManifest: %w", ErrInternal)
		}
		return request.manifest, nil
	})
}

//export goListExisting
func goListExisting(
	handle C.uintptr_t, call *C.embedjobs_call, pass *C.embedjobs_pass, wanted *C.embedjobs_operations,
	existing *C.uint8_t, done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the persister's ListExisting", func(ctx context.Context) (int, error) {
		operations := operationsOf(wanted)
		answers, err := h.persister.ListExisting(ctx, passOf(pass), operations)
		if err != nil {
			return 0, err
		}
		if len(answers) != len(operations.IDs) {
			return 0, fmt.Errorf("ListExisting returned %d answers, expected %d: %w", len(answers), len(operations.IDs),
				ErrInternal)
		}
		if len(answers) > 0 {
			places := unsafe.Slice((*uint8)(unsafe.Pointer(existing)), len(answers))
			for i, answer := range answers {
				if answer {
					places[i] = 1
				}
			}
		}
		return len(answers), nil
	})
}

//export goPersistBatch
func goPersistBatch(
	handle C.uintptr_t, call *C.embedjobs_call, pass *C.embedjobs_pass, rows *C.embedjobs_rows, done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the persister's PersistBatch", func(ctx context.Context) (int, error) {
		return int(rows.count), h.persister.PersistBatch(ctx, passOf(pass), rowsOf(rows))
	})
}

//export goFinalize
func goFinalize(
	handle C.uintptr_t, call *C.embedjobs_call, pass *C.embedjobs_pass, manifest *C.embedjobs_operations,
	done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the persister's Finalize", func(ctx context.Context) (int, error) {
		return int(manifest.count), h.persister.Finalize(ctx, passOf(pass), operationsOf(manifest))
	})
}

//export goDescribe
func goDescribe(
	handle C.uintptr_t, call *C.embedjobs_call, count C.size_t, catalogs, specs **C.char,
	states *C.embedjobs_spec_states, done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the persister's Describe", func(ctx context.Context) (int, error) {
		keys := make([]Key, count)
		for i := range keys {
			keys[i] = Key{C.GoString(unsafe.Slice(catalogs, count)[i]), C.GoString(unsafe.Slice(specs, count)[i])}
		}
		answers, err := h.persister.(Describer).Describe(ctx, keys)
		if err != nil {
			return 0, err
		}
		if len(answers) != len(keys) {
			return 0, fmt.Errorf("Describe returned %d answers, expected %d: %w", len(answers), len(keys), ErrInternal)
		}
		var memory arena
		defer memory.free()
		for i, state := range answers {
			if state == nil {
				continue
			}
			if err := checkNames(state.SpaceID, state.ContentVersion, state.SplitterVersion); err != nil {
				return 0, err
			}
			C.embedjobs_spec_states_set(states, C.size_t(i), memory.name(state.SpaceID), memory.name(state.ContentVersion),
				memory.name(state.SplitterVersion))
		}
		return len(answers), nil
	})
}

//export goResolve
func goResolve(
	handle C.uintptr_t, call *C.embedjobs_call, catalog, spec *C.char, answer *C.embedjobs_document,
	done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the resolver", func(ctx context.Context) (int, error) {
		document, err := h.resolver.Resolve(ctx, Key{C.GoString(catalog), C.GoString(spec)})
		if err != nil {
			return 0, err
		}
		var memory arena
		defer memory.free()
		content := (*C.char)(unsafe.Pointer(unsafe.SliceData(document.Content)))
		if err := checkNames(document.Version); err != nil {
			return 0, err
		}
		size, version := C.size_t(len(document.Content)), memory.name(document.Version)
		if C.embedjobs_document_set(answer, content, size, version) != C.EMBEDJOBS_OK {
			return 0, fmt.Errorf("the document has no version: %w", ErrInternal)
		}
		return 1, nil
	})
}

//export goList
func goList(
	handle C.uintptr_t, call *C.embedjobs_call, afterCatalog, afterSpec *C.char, limit C.size_t,
	list *C.embedjobs_document_list, done *C.size_t,
) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "the resolver's List", func(ctx context.Context) (int, error) {
		var after *Key
		if afterCatalog != nil {
			after = &Key{C.GoString(afterCatalog), C.GoString(afterSpec)}
		}
		documents, err := h.resolver.(Lister).List(ctx, after, int(limit))
		if err != nil {
			return 0, err
		}
		var memory arena
		defer memory.free()
		for _, document := range documents {
			catalog, spec, version := document.Key.CatalogID, document.Key.SpecName, document.Version
			if err := checkNames(catalog, spec, version); err != nil {
				return 0, err
			}
			code := C.embedjobs_document_list_add(list, memory.name(catalog), memory.name(spec), memory.name(version))
			if code != C.EMBEDJOBS_OK {
				return 0, fmt.Errorf("List gave %q with version %q, or more than %d documents: %w", document.Key, version,
					limit, ErrInternal)
			}
		}
		return len(documents), nil
	})
}

// told runs a callback that answers nothing; a panic goes to the log.
func (h *host) told(what string, body func()) {
	returned := false
	defer func() { h.ended(what, returned, recover()) }()
	body()
	returned = true
}

var levels = [...]slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError}

//export goLog
func goLog(handle C.uintptr_t, level C.int32_t, message *C.char, size C.size_t) {
	defer func() { _ = recover() }() // as logError
	hostOf(handle).log.Log(context.Background(), levels[level], bytesString(message, uint64(size)))
}

//export goEvent
func goEvent(handle C.uintptr_t, event *C.embedjobs_event) {
	h := hostOf(handle)
	h.told("OnEvent", func() {
		h.onEvent(Event{
			Kind:           EventKind(event.kind),
			Key:            Key{C.GoString(event.catalog_id), C.GoString(event.spec_name)},
			JobID:          int64(event.job_id),
			Attempt:        int64(event.attempt),
			Message:        C.GoString(event.message),
			OperationCount: int64(event.operation_count),
			Reused:         int64(event.reused),
			Embedded:       int64(event.embedded),
			Missing:        int64(event.missing),
			PromptTokens:   uint64(event.prompt_tokens),
			Delay:          time.Duration(event.delay_ms) * time.Millisecond,
			Count:          int64(event.count),
		})
	})
}

//export goReload
func goReload(handle C.uintptr_t, catalog, spec *C.char) {
	h := hostOf(handle)
	h.told("OnReload", func() { h.onReload(Key{C.GoString(catalog), C.GoString(spec)}) })
}

//export goSecret
func goSecret(handle C.uintptr_t, call *C.embedjobs_call, answer *C.embedjobs_secret, done *C.size_t) C.int32_t {
	h := hostOf(handle)
	return h.answer(call, done, "Secret", func(ctx context.Context) (int, error) {
		value, err := h.secret(ctx)
		if err != nil {
			return 0, err
		}
		data := []byte(value)
		C.embedjobs_secret_set(answer, (*C.char)(unsafe.Pointer(unsafe.SliceData(data))), C.size_t(len(data)))
		return 1, nil
	})
}
