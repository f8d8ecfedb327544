package embedjobs

import (
	"context"
	"errors"
	"math"
	"path/filepath"
	"testing"
	"time"
)

func TestAHigherCounterIsAcceptedAndTheSameHolderAgainAndNobodyElse(t *testing.T) {
	last := Fence{math.MaxUint64, math.MaxUint64}
	for _, pair := range [][2]Fence{{{}, {1, 7}}, {{1, 7}, {2, 3}}, {{2, 3}, {2, 3}}, {{2, 3}, last}} {
		if !Accepts(pair[0], pair[1]) {
			t.Errorf("%v refuses %v", pair[0], pair[1])
		}
	}
	for _, pair := range [][2]Fence{{{2, 3}, {1, 7}}, {{2, 3}, {2, 4}}, {{2, 3}, {3, 0}}, {{}, {}}} {
		if Accepts(pair[0], pair[1]) {
			t.Errorf("%v accepts %v", pair[0], pair[1])
		}
	}
}

func TestAVectorIsReusedUnlessItIsTooOldOrItsTextMayBeLongerNow(t *testing.T) {
	cut := VectorMark{EmbeddedBytes: 99, InputCap: 100}
	for _, c := range []struct {
		pass     Pass
		row      VectorMark
		expected bool
	}{
		{Pass{}, VectorMark{}, true},
		{Pass{InputCap: 100}, VectorMark{}, true},
		{Pass{ReuseFloor: 3}, VectorMark{Epoch: 3}, true},
		{Pass{ReuseFloor: 3}, VectorMark{Epoch: 2}, false},
		{Pass{InputCap: 100}, cut, true},
		{Pass{InputCap: 50}, cut, true},
		{Pass{InputCap: 200}, cut, false},
		{Pass{}, cut, false},
	} {
		if MayReuse(&c.pass, c.row) != c.expected {
			t.Errorf("%+v", c)
		}
	}
}

func oneRow(text string) *Rows {
	return &Rows{Operations: Operations{IDs: []string{"op"}, Hashes: []Hash{HashText(text)}}, Dimension: 1,
		Vectors: []float32{1}}
}

// refusesStaleFences hands the persister a stale fence in every call: nothing may have changed after it.
func refusesStaleFences(t *testing.T, persister Persister) {
	t.Helper()
	ctx, current := context.Background(), &Pass{Key: key, Fence: Fence{2, 5}}
	if err := persister.PersistBatch(ctx, current, oneRow("kept")); err != nil {
		t.Fatal(err)
	}
	for _, fence := range []Fence{{1, 9}, {2, 6}} {
		stale := &Pass{Key: key, Fence: fence}
		_, listed := persister.ListExisting(ctx, stale, &Operations{})
		persisted := persister.PersistBatch(ctx, stale, oneRow("other"))
		finalized := persister.Finalize(ctx, stale, &Operations{})
		for _, err := range []error{listed, persisted, finalized} {
			if !errors.Is(err, ErrLeaseLost) {
				t.Error(fence, err)
			}
		}
	}
	wanted := &Operations{IDs: []string{"a", "b"}, Hashes: []Hash{HashText("kept"), HashText("other")}}
	if existing, err := persister.ListExisting(ctx, current, wanted); err != nil || !existing[0] || existing[1] {
		t.Error(existing, err)
	}
}

func TestAPersisterRefusesAStaleFenceAndChangesNothing(t *testing.T) {
	refusesStaleFences(t, newStore())
	refusesStaleFences(t, &shared{path: filepath.Join(t.TempDir(), "vectors.json"), beforePersist: func() {}})
}

func TestAManualRetryRaisesTheEpochAndEverythingIsEmbeddedAfreshOnce(t *testing.T) {
	persister, embedder := newStore(), &words{}
	engine, _ := open(t, Options{Embedder: embedder, Persister: persister})
	for step, expected := range []struct {
		epoch uint64
		texts int
	}{{0, 3}, {1, 6}, {1, 7}} {
		var err error
		switch step {
		case 0:
			_, err = engine.Put(key, openAPI(3))
		case 1:
			_, err = engine.Retry(key)
		case 2:
			_, err = engine.Put(key, openAPI(4))
		}
		if err == nil {
			_, err = engine.RunUntilIdle(context.Background(), time.Minute)
		}
		if err != nil || embedder.count() != expected.texts {
			t.Error(step, err, embedder.count())
		}
		for _, mark := range persister.marks {
			if mark.Epoch != expected.epoch {
				t.Error(step, mark)
			}
		}
	}
}
