package embedjobs

// #include "bridge.h"
import "C"

import (
	"time"
	"unsafe"
)

// Reading: what the specs of a catalog are, and how they stand.

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
	JobUnknown JobStatus = iota - 2 // In a spec's status: the store does not tell about jobs.
	JobNone                         // In a spec's status: it has no job.
	JobPending
	JobRunning
	JobSucceeded
	JobFailed
	JobCancelled
)

// Unknown stands for a count that is not known.
const Unknown = -1

// SpecStatus is one spec, as a person sees it. A count is Unknown where nobody tells it: of vectors that the host keeps
// only the last job has counts.
type SpecStatus struct {
	Key            Key
	OperationCount int64
	EmbeddingCount int64
	EmbeddedSoFar  int64
	JobAttempts    int64
	JobLastError   string
	JobUpdatedAt   time.Time
	JobNextRunAt   time.Time
	SpaceKnown     bool   // False: nobody tells.
	VisibleSpaceID string // "": nothing is visible, or that is not known.
	PauseKnown     bool   // False: the store does not tell.
	ProviderPause  string // "": it does not wait, or that is not known.
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

// list is the layout that all lists of embedjobs.h share.
type list[Item any] struct {
	size, count C.size_t
	items       **Item
}

// valuesOf makes Go values of the elements of a list that a call gave out, unless it answered err, and frees the list.
func valuesOf[Item, Value any](
	err error, given unsafe.Pointer, free func(), valueOf func(*Item) Value,
) ([]Value, error) {
	if err != nil {
		return nil, err
	}
	defer free()
	elements := (*list[Item])(given)
	values := make([]Value, 0, elements.count)
	for _, item := range unsafe.Slice(elements.items, elements.count) {
		values = append(values, valueOf(item))
	}
	return values, nil
}

// catalogCall is a call for a catalog, or for all of them ("").
func (e *Engine) catalogCall(catalogID string, f func(*cEngine, *C.char, **cError) C.int32_t) error {
	if err := checkNames(catalogID); err != nil {
		return err
	}
	var memory arena
	defer memory.free()
	return e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return f(engine, memory.text(catalogID), failure)
	})
}

// Statuses gives every spec of a catalog, or of all ("").
func (e *Engine) Statuses(catalogID string) ([]SpecStatus, error) {
	var given *C.embedjobs_statuses
	err := e.catalogCall(catalogID, func(engine *cEngine, catalog *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_statuses(engine, catalog, &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_statuses_destroy(given) }, statusOf)
}

func statusOf(given *C.embedjobs_spec_status) SpecStatus {
	return SpecStatus{
		Key:            Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
		OperationCount: int64(given.operation_count),
		EmbeddingCount: int64(given.embedding_count),
		EmbeddedSoFar:  int64(given.embedded_so_far),
		JobAttempts:    int64(given.job_attempts),
		JobLastError:   C.GoString(given.job_last_error),
		JobUpdatedAt:   timeOf(given.job_updated_at),
		JobNextRunAt:   timeOf(given.job_next_run_at),
		SpaceKnown:     given.visible_space_id != nil,
		VisibleSpaceID: C.GoString(given.visible_space_id),
		PauseKnown:     given.provider_pause != nil,
		ProviderPause:  C.GoString(given.provider_pause),
		BadgeLabel:     C.GoString(given.badge_label),
		BadgeTooltip:   C.GoString(given.badge_tooltip),
		BadgeTone:      Tone(given.badge_tone),
		OffersRetry:    given.offers_retry != 0,
		JobStatus:      JobStatus(given.job_status),
		WorkerID:       C.GoString(given.worker_id),
		JobStartedAt:   timeOf(given.job_started_at),
		LeaseExpiresAt: timeOf(given.lease_expires_at),
	}
}

// Health is one line above a list of specs.
type Health struct {
	Specs, Indexed           int64
	SpecsUnknown             int64 // Of which nobody tells how they stand. They are in no other count but Specs.
	Pending, Running, Failed int64 // Unknown where the store does not tell about jobs.
	DegradedKnown            bool
	Degraded                 bool // False also where that is not known.
	DegradedReason           string
	BannerText               string
	BannerTone               Tone
}

// Health is that of a catalog, or of all ("").
func (e *Engine) Health(catalogID string) (Health, error) {
	var given *C.embedjobs_health
	err := e.catalogCall(catalogID, func(engine *cEngine, catalog *C.char, failure **cError) C.int32_t {
		return C.embedjobs_engine_health(engine, catalog, &given, failure)
	})
	if err != nil {
		return Health{}, err
	}
	defer C.embedjobs_health_destroy(given)
	return Health{
		Specs:          int64(given.specs),
		Indexed:        int64(given.indexed),
		SpecsUnknown:   int64(given.unknown),
		Pending:        int64(given.pending),
		Running:        int64(given.running),
		Failed:         int64(given.failed),
		DegradedKnown:  given.degraded >= 0,
		Degraded:       given.degraded > 0,
		DegradedReason: C.GoString(given.degraded_reason),
		BannerText:     C.GoString(given.banner_text),
		BannerTone:     Tone(given.banner_tone),
	}, nil
}

// Catalog is a group of specs in one space.
type Catalog struct {
	CatalogID, TargetSpaceID, SearchSpaceID string
	SpecCount, SpecsInTarget                int64
}

// Catalogs gives all of them.
func (e *Engine) Catalogs() ([]Catalog, error) {
	var given *C.embedjobs_catalogs
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_catalogs(engine, &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_catalogs_destroy(given) }, catalogOf)
}

func catalogOf(given *C.embedjobs_catalog) Catalog {
	return Catalog{
		CatalogID:     C.GoString(given.catalog_id),
		TargetSpaceID: C.GoString(given.target_space_id),
		SearchSpaceID: C.GoString(given.search_space_id),
		SpecCount:     int64(given.spec_count),
		SpecsInTarget: int64(given.specs_in_target),
	}
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
	var given *C.embedjobs_verifications
	err := e.call(func(engine *cEngine, failure **cError) C.int32_t {
		return C.embedjobs_engine_verify(engine, memory.name(catalogID), memory.text(specName), &given, failure)
	})
	return valuesOf(err, unsafe.Pointer(given), func() { C.embedjobs_verifications_destroy(given) }, verificationOf)
}

func verificationOf(given *C.embedjobs_verification) Verification {
	return Verification{
		Key:        Key{C.GoString(given.catalog_id), C.GoString(given.spec_name)},
		Equal:      given.equal != 0,
		Difference: C.GoString(given.difference),
	}
}
