package embedjobs

// #include "bridge.h"
import "C"

import (
	"time"
	"unsafe"
)

// Reading: providers, and the workers of all processes.

// Provider is what the database remembers of a provider. Zero: no limit was met, or no time.
type Provider struct {
	Provider, SpaceID, PauseReason string
	BatchTexts, BatchBytes         int64
	PausedUntil                    time.Time // Later than ReadAt: nobody asks it before.
	TokensTotal, TokensToday       uint64
	UpdatedAt, ReadAt              time.Time
}

// Providers gives all of them, by name.
func (e *Engine) Providers() ([]Provider, error) {
	var given *C.embedjobs_providers
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_providers(engine, &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_providers_destroy(given) }, providerOf)
}

func providerOf(given *C.embedjobs_provider) Provider {
	return Provider{
		Provider:    C.GoString(given.provider),
		SpaceID:     C.GoString(given.space_id),
		PauseReason: C.GoString(given.pause_reason),
		BatchTexts:  int64(given.batch_texts),
		BatchBytes:  int64(given.batch_bytes),
		PausedUntil: timeOf(given.paused_until),
		TokensTotal: uint64(given.tokens_total),
		TokensToday: uint64(given.tokens_today),
		UpdatedAt:   timeOf(given.updated_at),
		ReadAt:      timeOf(given.read_at),
	}
}

// Worker is a worker of any process, as it presents itself.
type Worker struct {
	WorkerID, Host, Version, Provider, SpaceID string
	ProcessID, Slots, RunningJobs              int64
	LeaseDuration                              time.Duration
	StartedAt, LastSeenAt, ReadAt              time.Time
	Live                                       bool // It was heard of within one of its leases.
}

// Workers gives those that were heard of within a day, by id.
func (e *Engine) Workers() ([]Worker, error) {
	var given *C.embedjobs_workers
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_workers(engine, &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_workers_destroy(given) }, workerOf)
}

func workerOf(given *C.embedjobs_worker) Worker {
	return Worker{
		WorkerID:      C.GoString(given.worker_id),
		Host:          C.GoString(given.host),
		Version:       C.GoString(given.version),
		Provider:      C.GoString(given.provider),
		SpaceID:       C.GoString(given.space_id),
		ProcessID:     int64(given.process_id),
		Slots:         int64(given.slots),
		RunningJobs:   int64(given.running_jobs),
		LeaseDuration: time.Duration(given.lease_duration_ms) * time.Millisecond,
		StartedAt:     timeOf(given.started_at),
		LastSeenAt:    timeOf(given.last_seen_at),
		ReadAt:        timeOf(given.read_at),
		Live:          given.live != 0,
	}
}
