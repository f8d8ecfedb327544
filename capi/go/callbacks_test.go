package embedjobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
)

func TestAPanicOfAnEmbedderIsAnErrorWithItsStackInTheLog(t *testing.T) {
	var calls atomic.Int32
	embedder := &words{before: func(context.Context, *Batch) error {
		if calls.Add(1) == 1 {
			panic("of the host's making")
		}
		return nil
	}}
	engine, log := open(t, Options{Embedder: embedder})
	start(t, engine)
	must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
	idle(t, engine)
	if !log.has("the embedder panicked: of the host's making") || !log.has("callbacks_test.go") {
		t.Error("the log does not say so")
	}
	job := must[[]Job](t)(engine.Jobs(JobFilter{}))[0]
	if job.Status != JobSucceeded || job.Attempts != 2 {
		t.Errorf("%+v", job)
	}
}

func TestAnEmbedderSaysWhatToDoAboutItsErrors(t *testing.T) {
	for _, given := range []error{fmt.Errorf("the key was revoked: %w", ErrFailed),
		&Error{Code: ErrFailed.Code, Message: "the key was revoked"}} {
		engine, log := open(t, Options{Embedder: &words{before: func(context.Context, *Batch) error { return given }}})
		start(t, engine)
		log.waitForFirstRound()
		must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
		idle(t, engine)
		job := must[[]Job](t)(engine.Jobs(JobFilter{}))[0]
		if job.Status != JobFailed || !strings.Contains(job.LastError, "the key was revoked") {
			t.Errorf("%+v", job)
		}
	}
}

func TestVectorsGoToTheHostsPersisterAndAFailureLosesNothing(t *testing.T) {
	persister := newStore()
	persister.fail = []error{errors.New("the disk is full")}
	embedder := &words{}
	engine, _ := open(t, Options{Embedder: embedder, Persister: persister})
	start(t, engine)
	must[Enqueued](t)(engine.Put(key, openAPI(40)))
	idle(t, engine)
	if len(persister.visible[key]) != 40 || len(persister.vectors) != 40 {
		t.Errorf("%d visible, %d vectors", len(persister.visible[key]), len(persister.vectors))
	}
	if embedder.count() > 40+32 {
		t.Errorf("%d texts were embedded", embedder.count())
	}
	if fence := persister.fences[key]; fence.Counter == 0 || fence.Nonce == 0 {
		t.Errorf("%+v", fence)
	}
}

func TestAStaleHolderIsRefusedByTheHost(t *testing.T) {
	persister, lost := newStore(), make(chan struct{}, 1)
	persister.fences[key] = Fence{7, 1}
	engine, _ := open(t, Options{Embedder: &words{}, Persister: persister, OnEvent: func(event Event) {
		if event.Kind == EventLeaseLost {
			select {
			case lost <- struct{}{}:
			default:
			}
		}
	}})
	start(t, engine)
	must[Enqueued](t)(engine.Put(key, openAPI(2)))
	<-lost
	if err := engine.Stop(context.Background()); err != nil {
		t.Error(err)
	}
	if persister.chunks != 0 || len(persister.visible) != 0 {
		t.Error("a stale holder changed something")
	}
}

type shelf map[Key][]byte

func (s shelf) Resolve(_ context.Context, wanted Key) (Document, error) {
	content, there := s[wanted]
	if !there {
		return Document{}, ErrGone
	}
	hash := HashText(string(content))
	return Document{content, fmt.Sprintf("%x", hash[:])}, nil
}

func (s shelf) List(ctx context.Context, after *Key, _ int) ([]Listed, error) {
	if after != nil {
		return nil, nil
	}
	document, err := s.Resolve(ctx, key)
	return []Listed{{key, document.Version}}, err
}

func TestDocumentsComeFromTheHostsResolverAndGoneIsAnAnswer(t *testing.T) {
	persister := newStore()
	engine, _ := open(t, Options{Embedder: &words{}, Persister: persister, Resolver: shelf{key: openAPI(5)}})
	start(t, engine)
	must[Enqueued](t)(engine.Enqueue(key, JobSpecWrite))
	must[Enqueued](t)(engine.Enqueue(Key{"catalog", "gone"}, JobSpecWrite))
	idle(t, engine)
	if len(persister.visible[key]) != 5 {
		t.Error(persister.visible)
	}
	if statuses := must[[]SpecStatus](t)(engine.Statuses("")); len(statuses) != 1 {
		t.Errorf("%+v", statuses)
	}
	if _, err := engine.Put(key, openAPI(1)); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

// lines computes documents whose lines are the texts and the ids.
type lines struct{ computed atomic.Int32 }

func (*lines) Space() Space    { return Space{Model: "words", Dimension: 8} }
func (*lines) Version() string { return "lines/1" }

func (l *lines) Compute(_ context.Context, request *ComputeRequest) error {
	all := &Operations{}
	for _, line := range strings.Fields(string(request.Content)) {
		all.IDs, all.Hashes = append(all.IDs, line), append(all.Hashes, HashText(line))
	}
	existing, err := request.ListExisting(all)
	if err != nil {
		return err
	}
	for i, there := range existing {
		if there {
			continue
		}
		vector := make([]float32, 8)
		vectorOf(all.IDs[i], vector)
		rows := &Rows{Operations: Operations{all.IDs[i : i+1], all.Hashes[i : i+1]}, Dimension: 8, Vectors: vector}
		if err := request.PersistBatch(rows); err != nil {
			return err
		}
		request.Progress(i+1, len(all.IDs))
		l.computed.Add(1)
	}
	return request.SetManifest(all)
}

func TestAComputerDoesItAll(t *testing.T) {
	computer := &lines{}
	var reloads atomic.Int32
	engine, _ := open(t, Options{Computer: computer, OnReload: func(Key) { reloads.Add(1) }})
	start(t, engine)
	for _, content := range []string{"one two three", "two three four"} {
		must[Enqueued](t)(engine.Put(key, []byte(content)))
		idle(t, engine)
	}
	rows := must[*StoredRows](t)(engine.Rows(key, false))
	if fmt.Sprint(rows.IDs) != "[four three two]" || computer.computed.Load() != 4 {
		t.Errorf("%v, %d computed", rows.IDs, computer.computed.Load())
	}
	if err := engine.Stop(context.Background()); err != nil || reloads.Load() != 2 {
		t.Errorf("%v, %d reloads", err, reloads.Load())
	}
}
