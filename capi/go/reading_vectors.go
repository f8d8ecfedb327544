package embedjobs

// #include "bridge.h"
import "C"

import "unsafe"

// Reading: the vectors, and what is near to a query.

// Hit is one operation that a search found.
type Hit struct {
	Key         Key
	OperationID string
	Score       float64 // Cosine of the angle between query and operation.
}

// Search embeds the query and finds the k nearest operations, best first. Needs no Start.
func (e *Engine) Search(catalogID, query string, k int) ([]Hit, error) {
	if k < 0 {
		return nil, &Error{Code: ErrInvalidArgument.Code, Message: "k is negative"}
	}
	text, size := (*C.char)(unsafe.Pointer(unsafe.StringData(query))), C.size_t(len(query))
	var given *C.embedjobs_hits
	err := e.withKey(Key{CatalogID: catalogID}, func(engine *cEngine, catalog, _ *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_search(engine, catalog, text, size, C.size_t(k), &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_hits_destroy(given) }, hitOf)
}

func hitOf(given *C.embedjobs_hit) Hit {
	return Hit{
		Key:         Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
		OperationID: bytesString(given.operation_id, uint64(given.operation_id_size)),
		Score:       float64(given.score),
	}
}

// StoredRows is the visible rows of a spec, copied; without vectors where they were not asked for.
type StoredRows struct {
	Rows
	SpaceID string
}

// Rows reads the visible rows of a spec by operation id.
func (e *Engine) Rows(key Key, withVectors bool) (*StoredRows, error) {
	var given *C.embedjobs_stored_rows
	err := e.withKey(key, func(engine *cEngine, catalog, spec *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_rows(engine, catalog, spec, C.int32_t(flag(withVectors)), &given, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_stored_rows_destroy(given)
	rows := &StoredRows{SpaceID: C.GoString(given.space_id)}
	rows.IDs, rows.Hashes = stringsOf(given.ids, given.id_offsets, given.count), hashesOf(given.hashes, given.count)
	rows.Dimension, rows.EmbeddedBytes = int(given.dimension), numbersOf(given.embedded_bytes, given.count)
	rows.Vectors = append([]float32(nil), floatsOf(given.vectors, int(given.count)*rows.Dimension)...)
	return rows, nil
}
