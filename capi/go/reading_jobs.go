package embedjobs

// #include "bridge.h"
import "C"

import (
	"time"
	"unsafe"
)

// Reading: jobs and metrics.

// Job is one pass over a spec for a generation.
type Job struct {
	ID                                                        int64
	Key                                                       Key
	Kind                                                      JobKind
	Status                                                    JobStatus
	Attempts                                                  int64
	LastError                                                 string
	WorkerID                                                  string
	NextRunAt, LeaseExpiresAt, CreatedAt, UpdatedAt           time.Time
	StartedAt, CompletedAt                                    time.Time
	EmbeddedSoFar, ReusedCount, EmbeddedCount, OperationCount int64
	Generation, PromptTokens                                  uint64
	Fence                                                     Fence
}

// JobFilter says which jobs to list: those that match every member that is set.
type JobFilter struct {
	CatalogID, SpecName string
	Status              *JobStatus
	Kind                *JobKind
	Limit               int // 0: 100.
}

// forC makes the filter for C.
func (f *JobFilter) forC(memory *arena) *C.embedjobs_job_filter {
	wanted := (*C.embedjobs_job_filter)(memory.keep(C.calloc(1, C.sizeof_embedjobs_job_filter)))
	wanted.struct_size, wanted.limit = C.sizeof_embedjobs_job_filter, C.size_t(f.Limit)
	wanted.catalog_id, wanted.spec_name = memory.text(f.CatalogID), memory.text(f.SpecName)
	if f.Status != nil {
		wanted.by_status, wanted.status = 1, C.int32_t(*f.Status)
	}
	if f.Kind != nil {
		wanted.by_kind, wanted.kind = 1, C.int32_t(*f.Kind)
	}
	return wanted
}

// Jobs lists jobs, newest first.
func (e *Engine) Jobs(filter JobFilter) ([]Job, error) {
	if err := checkNames(filter.CatalogID, filter.SpecName); err != nil {
		return nil, err
	}
	if filter.Limit < 0 {
		return nil, &Error{Code: ErrInvalidArgument.Code, Message: "the limit is negative"}
	}
	var memory arena
	defer memory.free()
	wanted := filter.forC(&memory)
	var given *C.embedjobs_jobs
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_jobs(engine, wanted, &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_jobs_destroy(given) }, jobOf)
}

func jobOf(given *C.embedjobs_job) Job {
	return Job{
		ID:             int64(given.id),
		Key:            Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
		Kind:           JobKind(given.kind),
		Status:         JobStatus(given.status),
		Attempts:       int64(given.attempts),
		LastError:      C.GoString(given.last_error),
		WorkerID:       C.GoString(given.worker_id),
		NextRunAt:      timeOf(given.next_run_at),
		LeaseExpiresAt: timeOf(given.lease_expires_at),
		CreatedAt:      timeOf(given.created_at),
		UpdatedAt:      timeOf(given.updated_at),
		StartedAt:      timeOf(given.started_at),
		CompletedAt:    timeOf(given.completed_at),
		EmbeddedSoFar:  int64(given.embedded_so_far),
		ReusedCount:    int64(given.reused_count),
		EmbeddedCount:  int64(given.embedded_count),
		OperationCount: int64(given.operation_count),
		Generation:     uint64(given.generation),
		PromptTokens:   uint64(given.prompt_tokens),
		Fence:          fenceOf(given.fence),
	}
}

// Prometheus gives counters of this engine and gauges of the store in Prometheus' text format.
func (e *Engine) Prometheus() (string, error) {
	var given *C.embedjobs_metrics
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_metrics(engine, &given, failure)
	})
	if err != nil {
		return "", err
	}
	defer C.embedjobs_metrics_destroy(given)
	return bytesString(given.prometheus, uint64(given.prometheus_size)), nil
}
