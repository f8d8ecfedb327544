package embedjobs

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"
)

func TestADocumentBecomesRowsWithTheVectorsOfTheEmbedder(t *testing.T) {
	embedder := &words{}
	engine, _ := open(t, Options{Embedder: embedder})
	start(t, engine)
	if !must[Enqueued](t)(engine.Put(key, openAPI(40))).Created {
		t.Error("no job was made")
	}
	idle(t, engine)
	rows := must[*StoredRows](t)(engine.Rows(key, true))
	if len(rows.IDs) != 40 || rows.SpaceID != "8/words" || embedder.count() != 40 {
		t.Fatalf("%d rows of %s, %d texts", len(rows.IDs), rows.SpaceID, embedder.count())
	}
	expected := make([]float32, 8)
	vectorOf("Show thing number 7 /thing/7", expected)
	for i, id := range rows.IDs {
		if id == "thing-7" && fmt.Sprint(rows.Vector(i)) != fmt.Sprint(expected) {
			t.Errorf("%v, expected %v", rows.Vector(i), expected)
		}
	}
	status := must[[]SpecStatus](t)(engine.Statuses("catalog"))[0]
	if status.BadgeLabel != "40/40 indexed" || status.BadgeTone != ToneGreen || status.JobStatus != JobSucceeded {
		t.Errorf("%+v", status)
	}
	job := must[[]Job](t)(engine.Jobs(JobFilter{SpecName: "spec"}))[0]
	if job.EmbeddedCount != 40 || job.Fence.Counter != 1 || job.CompletedAt.IsZero() {
		t.Errorf("%+v", job)
	}
	if health := must[Health](t)(engine.Health("")); health.Indexed != 1 {
		t.Errorf("%+v", health)
	}
	if catalogs := must[[]Catalog](t)(engine.Catalogs()); catalogs[0].TargetSpaceID != "8/words" {
		t.Errorf("%+v", catalogs)
	}
	if text := must[string](t)(engine.Prometheus()); !strings.Contains(text, "embedjobs_") {
		t.Error(text)
	}
}

func TestItemsArePutAndFound(t *testing.T) {
	engine, _ := open(t, Options{Embedder: &words{}})
	start(t, engine)
	must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}, {"b", "tw\"ö\n<"}}))
	idle(t, engine)
	hits := must[[]Hit](t)(engine.Search("catalog", "tw\"ö\n<", 1))
	if len(hits) != 1 || hits[0].OperationID != "b" || hits[0].Score < 0.999 {
		t.Errorf("%+v", hits)
	}
	_, err := engine.PutItemLines(key, []byte("{\"id\":\"a\",\"text\":\"x\"}\n{\"id\":\"a\",\"text\":\"y\"}"))
	if !errors.Is(err, ErrInvalidDocument) || !strings.HasPrefix(err.Error(), "line 2: ") {
		t.Error(err)
	}
}

func TestErrorsAreKnownByTheirCode(t *testing.T) {
	engine, _ := open(t, Options{Embedder: &words{}})
	_, err := engine.Put(key, []byte("{ not json"))
	if !errors.Is(err, ErrInvalidDocument) || errors.Is(err, ErrNotFound) || !strings.Contains(err.Error(), "line 1") {
		t.Error(err)
	}
	if err := engine.Remove(key); !errors.Is(err, ErrNotFound) {
		t.Error(err)
	}
	if _, err := engine.Put(Key{"a\x00b", "c"}, openAPI(1)); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
	if _, err := Open(Options{DSN: "nonsense:", Embedder: &words{}}); !errors.Is(err, ErrInvalidArgument) {
		t.Error(err)
	}
	if ErrLeaseLost.Error() != "lease_lost" {
		t.Error(ErrLeaseLost.Error())
	}
	_ = engine.Close()
	_ = engine.Close()
	if _, err := engine.Statuses(""); !errors.Is(err, ErrRefused) {
		t.Error(err)
	}
}

func TestTheWorkerRunsOnTheCallersThread(t *testing.T) {
	embedder := &words{}
	engine, _ := open(t, Options{Embedder: embedder})
	must[Enqueued](t)(engine.Put(key, openAPI(70)))
	report := must[IdleReport](t)(engine.RunUntilIdle(context.Background(), time.Minute))
	if !report.Idle || embedder.count() != 70 {
		t.Errorf("%+v after %d texts", report, embedder.count())
	}
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := engine.Run(ctx); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

func TestAWaitEndsWithItsContext(t *testing.T) {
	engine, _ := open(t, Options{Embedder: &words{}})
	must[Enqueued](t)(engine.Put(key, openAPI(1))) // nobody works on it
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if _, err := engine.WaitIdle(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
}

func TestStopCancelsTheContextOfACallAndSaysWhenItHangs(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	embedder := &words{before: func(ctx context.Context, _ *Batch) error {
		if _, has := ctx.Deadline(); !has {
			t.Error("the call has no deadline")
		}
		close(entered)
		<-ctx.Done()
		<-release
		return ctx.Err()
	}}
	engine, _ := open(t, Options{Embedder: embedder})
	must[Enqueued](t)(engine.PutItems(key, []Item{{"a", "one"}}))
	start(t, engine)
	<-entered
	ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
	defer cancel()
	if err := engine.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	close(release)
	if err := engine.Stop(context.Background()); err != nil {
		t.Error(err)
	}
}

func TestManyGoroutinesShareAnEngine(t *testing.T) {
	engine, _ := open(t, Options{Embedder: &words{}})
	start(t, engine)
	var group sync.WaitGroup
	for i := range 8 {
		group.Add(1)
		go func() {
			defer group.Done()
			for j := range 10 {
				if _, err := engine.PutItems(Key{"c", fmt.Sprint(i)}, []Item{{"a", fmt.Sprint(i, j)}}); err != nil {
					t.Error(err)
				}
				if _, err := engine.Statuses(""); err != nil {
					t.Error(err)
				}
			}
		}()
	}
	group.Wait()
	idle(t, engine)
	if health := must[Health](t)(engine.Health("c")); health.Indexed != 8 {
		t.Errorf("%+v", health)
	}
}
