package embedjobs

// #include "bridge.h"
import "C"

import (
	"time"
	"unsafe"
)

// Tone is the colour of a badge or banner.
type Tone int32

// The tones.
const (
	ToneMuted Tone = iota
	ToneGreen
	ToneBlue
	ToneAmber
	ToneAmberStrong
	ToneRed
)

// JobStatus says where a job stands.
type JobStatus int32

// The statuses of jobs.
const (
	JobNone JobStatus = iota - 1 // In a spec's status: it has no job.
	JobPending
	JobRunning
	JobSucceeded
	JobFailed
	JobCancelled
)

// SpecStatus is one spec, as a person sees it.
type SpecStatus struct {
	Key            Key
	OperationCount int64
	EmbeddingCount int64
	EmbeddedSoFar  int64
	JobAttempts    int64
	JobLastError   string
	JobUpdatedAt   time.Time
	JobNextRunAt   time.Time
	VisibleSpaceID string
	ProviderPause  string
	BadgeLabel     string
	BadgeTooltip   string
	BadgeTone      Tone
	OffersRetry    bool
	JobStatus      JobStatus
	// While it runs: who holds the job, since when, and until when unless the lease is renewed.
	WorkerID       string
	JobStartedAt   time.Time
	LeaseExpiresAt time.Time
}

// catalogName is nullable: "" means all.
func (e *Engine) catalogCall(catalogID string, f func(*C.embedjobs_engine, *C.char, **C.embedjobs_error) C.int32_t) error {
	if err := checkNames(catalogID); err != nil {
		return err
	}
	var memory arena
	defer memory.free()
	return e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return f(engine, memory.text(catalogID), failure)
	})
}

// Statuses gives every spec of a catalog, or of all ("").
func (e *Engine) Statuses(catalogID string) ([]SpecStatus, error) {
	var list *C.embedjobs_statuses
	err := e.catalogCall(catalogID, func(engine *C.embedjobs_engine, catalog *C.char, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_statuses(engine, catalog, &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_statuses_destroy(list)
	statuses := make([]SpecStatus, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		statuses = append(statuses, SpecStatus{
			Key:            Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
			OperationCount: int64(given.operation_count),
			EmbeddingCount: int64(given.embedding_count),
			EmbeddedSoFar:  int64(given.embedded_so_far),
			JobAttempts:    int64(given.job_attempts),
			JobLastError:   C.GoString(given.job_last_error),
			JobUpdatedAt:   timeOf(given.job_updated_at),
			JobNextRunAt:   timeOf(given.job_next_run_at),
			VisibleSpaceID: C.GoString(given.visible_space_id),
			ProviderPause:  C.GoString(given.provider_pause),
			BadgeLabel:     C.GoString(given.badge_label),
			BadgeTooltip:   C.GoString(given.badge_tooltip),
			BadgeTone:      Tone(given.badge_tone),
			OffersRetry:    given.offers_retry != 0,
			JobStatus:      JobStatus(given.job_status),
			WorkerID:       C.GoString(given.worker_id),
			JobStartedAt:   timeOf(given.job_started_at),
			LeaseExpiresAt: timeOf(given.lease_expires_at),
		})
	}
	return statuses, nil
}

// Health is one line above a list of specs.
type Health struct {
	Specs, Indexed, Pending, Running, Failed int64
	Degraded                                 bool
	DegradedReason                           string
	BannerText                               string
	BannerTone                               Tone
}

// Health is that of a catalog, or of all ("").
func (e *Engine) Health(catalogID string) (Health, error) {
	var given *C.embedjobs_health
	err := e.catalogCall(catalogID, func(engine *C.embedjobs_engine, catalog *C.char, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_health(engine, catalog, &given, failure)
	})
	if err != nil {
		return Health{}, err
	}
	defer C.embedjobs_health_destroy(given)
	return Health{int64(given.specs), int64(given.indexed), int64(given.pending), int64(given.running), int64(given.failed),
		given.degraded != 0, C.GoString(given.degraded_reason), C.GoString(given.banner_text), Tone(given.banner_tone)}, nil
}

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
	wanted := (*C.embedjobs_job_filter)(memory.keep(C.calloc(1, C.sizeof_embedjobs_job_filter)))
	wanted.struct_size, wanted.limit = C.sizeof_embedjobs_job_filter, C.size_t(filter.Limit)
	wanted.catalog_id, wanted.spec_name = memory.text(filter.CatalogID), memory.text(filter.SpecName)
	if filter.Status != nil {
		wanted.by_status, wanted.status = 1, C.int32_t(*filter.Status)
	}
	if filter.Kind != nil {
		wanted.by_kind, wanted.kind = 1, C.int32_t(*filter.Kind)
	}
	var list *C.embedjobs_jobs
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_jobs(engine, wanted, &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_jobs_destroy(list)
	jobs := make([]Job, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		jobs = append(jobs, jobOf(given))
	}
	return jobs, nil
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
	var list *C.embedjobs_hits
	err := e.withKey(Key{CatalogID: catalogID}, func(engine *C.embedjobs_engine, catalog, _ *C.char, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_search(engine, catalog, (*C.char)(unsafe.Pointer(unsafe.StringData(query))), C.size_t(len(query)),
			C.size_t(k), &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_hits_destroy(list)
	hits := make([]Hit, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		hits = append(hits, Hit{Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
			bytesString(given.operation_id, uint64(given.operation_id_size)), float64(given.score)})
	}
	return hits, nil
}

// StoredRows is the visible rows of a spec, copied; without vectors where they were not asked for.
type StoredRows struct {
	Rows
	SpaceID string
}

// Rows reads the visible rows of a spec by operation id.
func (e *Engine) Rows(key Key, withVectors bool) (*StoredRows, error) {
	var given *C.embedjobs_stored_rows
	err := e.withKey(key, func(engine *C.embedjobs_engine, catalog, spec *C.char, failure **C.embedjobs_error) C.int32_t {
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

// Catalog is a group of specs in one space.
type Catalog struct {
	CatalogID, TargetSpaceID, SearchSpaceID string
	SpecCount, SpecsInTarget                int64
}

// Catalogs gives all of them.
func (e *Engine) Catalogs() ([]Catalog, error) {
	var list *C.embedjobs_catalogs
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_catalogs(engine, &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_catalogs_destroy(list)
	catalogs := make([]Catalog, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		catalogs = append(catalogs, Catalog{C.GoString(given.catalog_id), C.GoString(given.target_space_id),
			C.GoString(given.search_space_id), int64(given.spec_count), int64(given.specs_in_target)})
	}
	return catalogs, nil
}

// Verification is one spec's rows against its document.
type Verification struct {
	Key        Key
	Equal      bool
	Difference string // The first one; "" when equal.
}

// Verify compares the visible rows with the documents, of all specs of a catalog, or of one.
func (e *Engine) Verify(catalogID, specName string) ([]Verification, error) {
	if err := checkNames(catalogID, specName); err != nil {
		return nil, err
	}
	var memory arena
	defer memory.free()
	var list *C.embedjobs_verifications
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_verify(engine, memory.name(catalogID), memory.text(specName), &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_verifications_destroy(list)
	verifications := make([]Verification, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		verifications = append(verifications,
			Verification{Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)}, given.equal != 0, C.GoString(given.difference)})
	}
	return verifications, nil
}

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
	var list *C.embedjobs_providers
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_providers(engine, &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_providers_destroy(list)
	providers := make([]Provider, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		providers = append(providers, Provider{
			Provider: C.GoString(given.provider), SpaceID: C.GoString(given.space_id), PauseReason: C.GoString(given.pause_reason),
			BatchTexts: int64(given.batch_texts), BatchBytes: int64(given.batch_bytes), PausedUntil: timeOf(given.paused_until),
			TokensTotal: uint64(given.tokens_total), TokensToday: uint64(given.tokens_today), UpdatedAt: timeOf(given.updated_at),
			ReadAt: timeOf(given.read_at)})
	}
	return providers, nil
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
	var list *C.embedjobs_workers
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_workers(engine, &list, failure)
	})
	if err != nil {
		return nil, err
	}
	defer C.embedjobs_workers_destroy(list)
	workers := make([]Worker, 0, list.count)
	for _, given := range unsafe.Slice(list.items, list.count) {
		workers = append(workers, Worker{
			WorkerID: C.GoString(given.worker_id), Host: C.GoString(given.host), Version: C.GoString(given.version),
			Provider: C.GoString(given.provider), SpaceID: C.GoString(given.space_id), ProcessID: int64(given.process_id),
			Slots: int64(given.slots), RunningJobs: int64(given.running_jobs),
			LeaseDuration: time.Duration(given.lease_duration_ms) * time.Millisecond, StartedAt: timeOf(given.started_at),
			LastSeenAt: timeOf(given.last_seen_at), ReadAt: timeOf(given.read_at), Live: given.live != 0})
	}
	return workers, nil
}

// Prometheus gives counters of this engine and gauges of the store in Prometheus' text format.
func (e *Engine) Prometheus() (string, error) {
	var given *C.embedjobs_metrics
	err := e.call(func(engine *C.embedjobs_engine, failure **C.embedjobs_error) C.int32_t {
		return C.embedjobs_engine_metrics(engine, &given, failure)
	})
	if err != nil {
		return "", err
	}
	defer C.embedjobs_metrics_destroy(given)
	return bytesString(given.prometheus, uint64(given.prometheus_size)), nil
}
