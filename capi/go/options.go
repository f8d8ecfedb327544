package embedjobs

// #include "bridge.h"
import "C"

import (
	"context"
	"log/slog"
	"strings"
	"time"
	"unsafe"
)

// Options says how to open an engine. Zero means the default everywhere; embedjobs_options in embedjobs.h says what
// each does.
type Options struct {
	DSN          string   // "sqlite:PATH", "postgresql://..." or "memory:". Default "sqlite:embedjobs.db".
	EmbedderSpec string   // A built-in embedder: "hashing", "openai:MODEL", ... Not together with Embedder.
	Embedder     Embedder // What the host brings. Each alone or together, but a Resolver needs a Persister.
	Computer     Computer
	Persister    Persister
	Resolver     Resolver
	Logger       *slog.Logger // Default: slog.Default().
	OnEvent      func(Event)  // In order and never two at once. Quickly, please: work waits for it.
	OnReload     func(Key)    // The spec's new vectors are visible.
	// Secret is asked for the key of an HTTP provider before each request.
	Secret func(context.Context) (string, error)

	WorkerID            string
	Slots               int
	BatchSize           int
	BatchBytes          int
	LeaseDuration       time.Duration
	EmbedTimeout        time.Duration
	ProviderConcurrency int
	RequestsPerMinute   int
	TokensPerMinute     int
	DailyTokenBudget    int
	SafetyBound         time.Duration
	FallbackPoll        time.Duration
	ReaperInterval      time.Duration
	ReconcilerInterval  time.Duration
	RetentionInterval   time.Duration
	JobRetention        time.Duration
	VectorGrace         time.Duration
}

// check refuses what C would cut off or misread.
func (o *Options) check() error {
	names := []string{o.DSN, o.EmbedderSpec, o.WorkerID}
	if o.Embedder != nil {
		space := o.Embedder.Space()
		names = append(names, space.Model, space.Variant)
	}
	if limited, ok := o.Embedder.(LimitedEmbedder); ok {
		limits := limited.Limits()
		names = append(names, limits.Provider)
		if min(limits.ConcurrentCalls, limits.BatchTexts, limits.BatchBytes, limits.BatchTokens, limits.InputBytes) < 0 {
			return &Error{Code: ErrInvalidArgument.Code, Message: "a limit of the embedder is negative"}
		}
	}
	if o.Computer != nil {
		space := o.Computer.Space()
		names = append(names, space.Model, space.Variant, o.Computer.Version())
	}
	return checkNames(names...)
}

// fill makes the options for C; each table counts in h.
func (o *Options) fill(memory *arena, h *host) *C.embedjobs_options {
	handle := C.uintptr_t(h.handle)
	given := C.bridge_options()
	memory.keep(unsafe.Pointer(given))
	given.dsn, given.embedder, given.worker_id = memory.text(o.DSN), memory.text(o.EmbedderSpec), memory.text(o.WorkerID)
	if o.Embedder != nil {
		given.host_embedder = embedderTable(memory, handle, o.Embedder)
		h.tables.Add(1)
	}
	if o.Computer != nil {
		given.host_computer = computerTable(memory, handle, o.Computer)
		h.tables.Add(1)
	}
	if o.Persister != nil {
		_, describes := o.Persister.(Describer)
		given.host_persister = C.bridge_persister(handle, flag(describes))
		memory.keep(unsafe.Pointer(given.host_persister))
		h.tables.Add(1)
	}
	if o.Resolver != nil {
		_, lists := o.Resolver.(Lister)
		given.host_resolver = C.bridge_resolver(handle, flag(lists))
		memory.keep(unsafe.Pointer(given.host_resolver))
		h.tables.Add(1)
	}
	if o.Secret != nil {
		given.secret_source = C.bridge_secret_source(handle)
		memory.keep(unsafe.Pointer(given.secret_source))
		h.tables.Add(1)
	}
	given.observer = C.bridge_observer(handle, flag(o.OnEvent != nil), flag(o.OnReload != nil))
	memory.keep(unsafe.Pointer(given.observer))
	h.tables.Add(1)
	o.fillNumbers(given)
	return given
}

func computerTable(memory *arena, handle C.uintptr_t, computer Computer) *C.embedjobs_computer {
	table, space := C.bridge_computer(handle), computer.Space()
	memory.keep(unsafe.Pointer(table))
	table.version = memory.name(computer.Version())
	table.model, table.variant = memory.name(space.Model), memory.text(space.Variant)
	table.dimension = C.size_t(space.Dimension)
	return table
}

func embedderTable(memory *arena, handle C.uintptr_t, embedder Embedder) *C.embedjobs_embedder {
	table, space := C.bridge_embedder(handle), embedder.Space()
	memory.keep(unsafe.Pointer(table))
	table.model, table.variant = memory.name(space.Model), memory.text(space.Variant)
	table.dimension = C.size_t(space.Dimension)
	if limited, ok := embedder.(LimitedEmbedder); ok {
		limits := limited.Limits()
		table.provider = memory.text(limits.Provider)
		table.concurrent_calls = C.size_t(limits.ConcurrentCalls)
		table.batch_texts, table.batch_bytes = C.size_t(limits.BatchTexts), C.size_t(limits.BatchBytes)
		table.batch_tokens, table.input_bytes = C.size_t(limits.BatchTokens), C.size_t(limits.InputBytes)
	}
	return table
}

func (o *Options) fillNumbers(given *C.embedjobs_options) {
	given.slots = C.int64_t(o.Slots)
	given.batch_size, given.batch_bytes = C.int64_t(o.BatchSize), C.int64_t(o.BatchBytes)
	given.lease_duration_ms, given.embed_timeout_ms = ms(o.LeaseDuration), ms(o.EmbedTimeout)
	given.provider_concurrency = C.int64_t(o.ProviderConcurrency)
	given.requests_per_minute, given.tokens_per_minute = C.int64_t(o.RequestsPerMinute), C.int64_t(o.TokensPerMinute)
	given.daily_token_budget = C.int64_t(o.DailyTokenBudget)
	given.safety_bound_ms, given.fallback_poll_ms = ms(o.SafetyBound), ms(o.FallbackPoll)
	given.reaper_interval_ms, given.reconciler_interval_ms = ms(o.ReaperInterval), ms(o.ReconcilerInterval)
	given.retention_interval_ms, given.job_retention_ms = ms(o.RetentionInterval), ms(o.JobRetention)
	given.vector_grace_ms = ms(o.VectorGrace)
}

// ms rounds up: no span becomes 0, which means the default, without being it.
func ms(span time.Duration) C.int64_t {
	whole := span.Milliseconds()
	if span > time.Duration(whole)*time.Millisecond {
		whole++
	}
	return C.int64_t(whole)
}

func flag(value bool) C.int {
	if value {
		return 1
	}
	return 0
}

// checkNames refuses what C would cut off.
func checkNames(names ...string) error {
	for _, name := range names {
		if strings.IndexByte(name, 0) >= 0 {
			return &Error{Code: ErrInvalidArgument.Code, Message: "a name has a NUL character"}
		}
	}
	return nil
}
