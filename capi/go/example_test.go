package embedjobs_test

import (
	"context"
	"fmt"
	"time"

	"embedjobs"
)

// letters is an embedder: it fills a vector for each text, in the library's own memory.
type letters struct{}

func (letters) Space() embedjobs.Space { return embedjobs.Space{Model: "letters", Dimension: 26} }

func (letters) Embed(ctx context.Context, batch *embedjobs.Batch) error {
	for i, text := range batch.Texts {
		vector := batch.Vector(i)
		for j := range vector {
			vector[j] = 0.1
		}
		for _, letter := range text {
			if letter >= 'a' && letter <= 'z' {
				vector[letter-'a']++
			}
		}
	}
	return ctx.Err()
}

func Example() {
	engine, err := embedjobs.Open(embedjobs.Options{DSN: "memory:", Embedder: letters{}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer engine.Close()
	_, err = engine.PutItems(embedjobs.Key{CatalogID: "shop", SpecName: "answers"},
		[]embedjobs.Item{{ID: "refund", Text: "how to get money back"}, {ID: "hours", Text: "when we are open"}})
	if err != nil || engine.Start() != nil {
		return
	}
	if _, err = engine.WaitIdle(context.Background(), time.Minute); err != nil {
		return
	}
	hits, err := engine.Search("shop", "get money back", 1)
	fmt.Println(hits[0].OperationID, err)
	// Output: refund <nil>
}
