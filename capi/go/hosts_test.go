package embedjobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestTheKeyOfAProviderIsAskedBeforeEachRequestAndNeverShown(t *testing.T) {
	var mutex sync.Mutex
	var keys []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var asked struct{ Input any }
		_ = json.NewDecoder(r.Body).Decode(&asked)
		texts, several := asked.Input.([]any)
		if !several {
			texts = []any{asked.Input}
		}
		mutex.Lock()
		keys = append(keys, r.Header.Get("Authorization"))
		mutex.Unlock()
		data := make([]map[string]any, len(texts))
		for i := range texts {
			data[i] = map[string]any{"index": i, "embedding": []float32{1, 2, 3}}
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"data": data, "usage": map[string]int{"prompt_tokens": len(texts)}})
	}))
	defer server.Close()
	asked := 0
	engine, log := open(t, Options{EmbedderSpec: "openai:m@" + server.URL, Secret: func(context.Context) (string, error) {
		mutex.Lock()
		defer mutex.Unlock()
		asked++
		return fmt.Sprintf("sk-secret-%d", asked), nil
	}})
	start(t, engine)
	must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
	idle(t, engine)
	if rows := must[*StoredRows](t)(engine.Rows(key, true)); len(rows.IDs) != 1 {
		t.Errorf("%+v", rows)
	}
	mutex.Lock()
	defer mutex.Unlock()
	for i, shown := range keys {
		if shown != fmt.Sprintf("Bearer sk-secret-%d", i+1) {
			t.Error(i, shown)
		}
	}
	if len(keys) == 0 || log.has("sk-secret") {
		t.Error(len(keys))
	}
}

func TestASecretThatFailsIsWaitedFor(t *testing.T) {
	asked := make(chan struct{}, 1000)
	secret := func(context.Context) (string, error) {
		asked <- struct{}{}
		panic("the vault is sealed")
	}
	engine, log := open(t, Options{EmbedderSpec: "openai:m@http://127.0.0.1:1", Secret: secret})
	start(t, engine)
	must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
	<-asked
	<-asked
	if !log.has("Secret panicked: the vault is sealed") {
		t.Error("the log does not say so")
	}
	_, err := Open(Options{DSN: "memory:", EmbedderSpec: "hashing", Secret: secret})
	if !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
}

// described is a store that says what it has.
type described struct {
	*store
	states map[Key]*SpecState
	short  bool
}

func (d *described) Finalize(ctx context.Context, pass *Pass, manifest *Operations) error {
	err := d.store.Finalize(ctx, pass, manifest)
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if err == nil {
		d.states[pass.Key] = &SpecState{pass.SpaceID, pass.ContentVersion, pass.SplitterVersion}
	}
	return err
}

func (d *described) Describe(_ context.Context, keys []Key) ([]*SpecState, error) {
	d.mutex.Lock()
	defer d.mutex.Unlock()
	if d.short {
		return nil, nil
	}
	states := make([]*SpecState, len(keys))
	for i, key := range keys {
		states[i] = d.states[key]
	}
	return states, nil
}

func TestDescribeLetsTheReconcilerSeeWhatIsMissing(t *testing.T) {
	persister, documents := &described{store: newStore(), states: map[Key]*SpecState{}}, shelf{key: openAPI(3)}
	engine, _ := open(t, Options{Embedder: &words{}, Persister: persister, Resolver: documents})
	status := must[[]SpecStatus](t)(engine.Statuses(""))[0]
	if status.OperationCount != Unknown || status.EmbeddingCount != Unknown || status.EmbeddedSoFar != 0 ||
		!status.PauseKnown || !status.SpaceKnown || status.JobStatus != JobNone || status.BadgeLabel != "not indexed" {
		t.Errorf("%+v", status)
	}
	if health := must[Health](t)(engine.Health("")); health.SpecsUnknown != 0 || !health.DegradedKnown {
		t.Errorf("%+v", health)
	}
	for _, expected := range []int{1, 0} {
		if count := must[int](t)(engine.Reconcile()); count != expected {
			t.Errorf("%d gaps, expected %d", count, expected)
		}
		must[IdleReport](t)(engine.RunUntilIdle(context.Background(), time.Minute))
	}
	documents[key] = openAPI(4)
	if count := must[int](t)(engine.Reconcile()); count != 1 {
		t.Errorf("%d gaps after an edit", count)
	}
	must[IdleReport](t)(engine.RunUntilIdle(context.Background(), time.Minute))
	if len(persister.visible[key]) != 4 {
		t.Error(persister.visible)
	}
	persister.short = true
	_, err := engine.Reconcile()
	if err == nil || !strings.Contains(err.Error(), "Describe returned 0 answers, expected 1") {
		t.Error(err)
	}
}

// moved is the embedder of another space.
type moved struct{ words }

func (*moved) Space() Space { return Space{Model: "words", Variant: "v2", Dimension: 8} }

func TestACatalogMovesToAnotherSpace(t *testing.T) {
	dsn := "sqlite:" + filepath.Join(t.TempDir(), "host.db")
	engine, _ := open(t, Options{DSN: dsn, Embedder: &words{}})
	start(t, engine)
	must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
	idle(t, engine)
	if count := must[int](t)(engine.SwitchSpace("catalog", "8/words?v2")); count != 1 {
		t.Error(count)
	}
	if report := must[IdleReport](t)(engine.WaitIdle(context.Background(), 0)); !report.OtherSpace {
		t.Errorf("%+v", report)
	}
	_ = engine.Close()
	engine, _ = open(t, Options{DSN: dsn, Embedder: &moved{}})
	start(t, engine)
	idle(t, engine)
	if rows := must[*StoredRows](t)(engine.Rows(key, false)); rows.SpaceID != "8/words?v2" {
		t.Errorf("%+v", rows)
	}
	if _, err := engine.SwitchSpace("none", "8/words"); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
}

// stalling is a store whose first chunk waits.
type stalling struct {
	*store
	entered, leave chan struct{}
	err            error
}

func (s *stalling) PersistBatch(ctx context.Context, pass *Pass, rows *Rows) error {
	close(s.entered)
	<-ctx.Done() // the engine is being stopped
	s.err = ctx.Err()
	<-s.leave
	return s.store.PersistBatch(ctx, pass, rows)
}

func TestAPersisterThatStallsIsToldToEndAndKeepsWhatItHas(t *testing.T) {
	persister := &stalling{store: newStore(), entered: make(chan struct{}), leave: make(chan struct{})}
	engine, _ := open(t, Options{Embedder: &words{}, Persister: persister})
	must[Enqueued](t)(engine.Put(key, openAPI(3)))
	start(t, engine)
	<-persister.entered
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := engine.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(persister.leave)
	err := engine.Stop(context.Background())
	if err != nil || !errors.Is(persister.err, context.Canceled) || len(persister.vectors) != 3 {
		t.Error(err, persister.err, len(persister.vectors))
	}
}

func TestOneFailedWriteIsRepeatedInTheSamePass(t *testing.T) {
	persister, embedder := newStore(), &words{}
	persister.fail = []error{errors.New("once")}
	engine, _ := open(t, Options{Embedder: embedder, Persister: persister})
	start(t, engine)
	must[Enqueued](t)(engine.Put(key, openAPI(3)))
	idle(t, engine)
	// No other attempt and no other claim: the fence is still the first one, and nothing was embedded twice.
	job := must[[]Job](t)(engine.Jobs(JobFilter{}))[0]
	if job.Attempts != 1 || job.Fence.Counter != 1 || embedder.count() != 3 {
		t.Errorf("%+v, %d texts", job, embedder.count())
	}
}

func TestVerifyProvidersAndWorkersAreRead(t *testing.T) {
	engine, _ := open(t, Options{Embedder: turnedWords{}, WorkerID: "the-worker", LeaseDuration: time.Minute})
	must[Enqueued](t)(engine.Put(key, openAPI(3)))
	verified := must[[]Verification](t)(engine.Verify("catalog", ""))
	if verified[0].Equal || !strings.Contains(verified[0].Difference, "has no row") {
		t.Errorf("%+v", verified)
	}
	start(t, engine)
	idle(t, engine)
	verified = must[[]Verification](t)(engine.Verify("catalog", "spec"))
	if len(verified) != 1 || verified[0] != (Verification{key, true, ""}) {
		t.Errorf("%+v", verified)
	}
	workers := must[[]Worker](t)(engine.Workers())
	for len(workers) == 0 || workers[0].SpaceID == "" { // it presents itself beside its work
		workers = must[[]Worker](t)(engine.Workers())
	}
	w := workers[0]
	if w.WorkerID != "the-worker" || w.Provider != "words@here" || w.LeaseDuration != time.Minute || !w.Live {
		t.Errorf("%+v", w)
	}
	for _, provider := range must[[]Provider](t)(engine.Providers()) {
		if provider.Provider != "words@here" || provider.PauseReason != "" {
			t.Errorf("%+v", provider)
		}
	}
}

type heldWords struct {
	words
	entered, leave chan struct{}
}

func (h *heldWords) Embed(ctx context.Context, batch *Batch) error {
	h.entered <- struct{}{}
	<-h.leave
	return h.words.Embed(ctx, batch)
}

func TestStatusSaysWhoHoldsTheJob(t *testing.T) {
	embedder := &heldWords{entered: make(chan struct{}), leave: make(chan struct{})}
	engine, _ := open(t, Options{Embedder: embedder, WorkerID: "the-worker"})
	must[Enqueued](t)(engine.Put(key, openAPI(3)))
	start(t, engine)
	<-embedder.entered
	running := must[[]SpecStatus](t)(engine.Statuses(""))
	close(embedder.leave)
	idle(t, engine)
	if len(running) != 1 || running[0].WorkerID != "the-worker" ||
		!running[0].JobStartedAt.Before(running[0].LeaseExpiresAt) {
		t.Errorf("%+v", running)
	}
	ended := must[[]SpecStatus](t)(engine.Statuses(""))[0]
	if ended.WorkerID != "" || !ended.JobStartedAt.IsZero() || !ended.LeaseExpiresAt.IsZero() {
		t.Errorf("%+v", ended)
	}
}

type turnedWords struct{}

func (turnedWords) Space() Space   { return Space{Model: "words", Dimension: 8} }
func (turnedWords) Limits() Limits { return Limits{Provider: "words@here"} }
func (turnedWords) Embed(ctx context.Context, batch *Batch) error {
	return (&words{}).Embed(ctx, batch)
}
