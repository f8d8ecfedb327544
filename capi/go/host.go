package embedjobs

import (
	"context"
	"time"
)

// Purpose says what the texts of a batch are: some models want another prefix for a query than for a document.
type Purpose int32

// The purposes.
const (
	PurposeDocument Purpose = 0
	PurposeQuery    Purpose = 1
)

// Batch is what an embedder gets. It ends with the call: Vectors is the library's own memory.
type Batch struct {
	Texts   []string
	Purpose Purpose
	// Vectors has len(Texts) x Dimension floats, row by row, to be filled; a slice of as many in its place is copied.
	Vectors   []float32
	Dimension int
	// PromptTokens is what the provider counted, where it did.
	PromptTokens int64
}

// Vector is the place for the vector of text i.
func (b *Batch) Vector(i int) []float32 { return b.Vectors[i*b.Dimension : (i+1)*b.Dimension] }

// Space is all that makes vectors comparable. An engine refuses to mix spaces.
type Space struct {
	Model     string
	Variant   string // What else matters to the vectors: a prefix, a version.
	Dimension int
}

// Limits is what an embedder allows. Zero: the engine decides.
type Limits struct {
	Provider        string // Names the endpoint, the same in every process that calls it. Default: the model.
	ConcurrentCalls int    // Default 1.
	BatchTexts      int
	BatchBytes      int
	BatchTokens     int
	InputBytes      int // Longer texts are cut before the call, and their rows are marked.
}

// Embedder makes vectors of texts. Embed is called by at most Limits.ConcurrentCalls goroutines at a time. ctx is
// cancelled when the result is not wanted any more, and has the deadline of the call. Space is asked when the engine is
// opened, and not later.
type Embedder interface {
	Space() Space
	Embed(ctx context.Context, batch *Batch) error
}

// LimitedEmbedder is an Embedder that says what it allows.
type LimitedEmbedder interface {
	Embedder
	Limits() Limits
}

// Fence is the right to write for a spec: see Accepts.
type Fence struct{ Counter, Nonce uint64 }

// Hash is the SHA-256 of a text's UTF-8 bytes: the address of its vector.
type Hash [32]byte

// Operations is what a document consists of: ids, and the hashes of the full texts.
type Operations struct {
	IDs    []string
	Hashes []Hash
}

// Rows is operations with their vectors.
type Rows struct {
	Operations
	Dimension int
	// Vectors has len(IDs) x Dimension floats. What a persister gets is the library's memory, which ends with the call:
	// copy what is kept.
	Vectors []float32
	// EmbeddedBytes is how many bytes of each text were embedded; nil, or 0: all.
	EmbeddedBytes []uint64
	// InputCaps is the limit under which a text was cut, where EmbeddedBytes is not 0.
	InputCaps []uint64
}

// Vector is the vector of row i.
func (r *Rows) Vector(i int) []float32 { return r.Vectors[i*r.Dimension : (i+1)*r.Dimension] }

// Key names a spec.
type Key struct{ CatalogID, SpecName string }

// Pass says who writes, for what. A persister commits Fence with its rows.
type Pass struct {
	Key             Key
	Fence           Fence
	JobID           int64
	Generation      uint64
	SpaceID         string
	Dimension       int
	Epoch           uint64 // To be stored with the vectors of this pass: see Rows.Mark.
	ReuseFloor      uint64 // See MayReuse.
	InputCap        uint64 // The embedder cuts longer texts to this many bytes; 0: it cuts none.
	SplitterVersion string
	ContentVersion  string
	PromptTokens    uint64
}

// Persister is where vectors live. It asks Accepts first, in the transaction that writes; false: it returns
// ErrLeaseLost and changes nothing. The same call may come twice.
type Persister interface {
	// ListExisting says which operations have a vector that MayReuse allows. The first call of a pass: it accepts the
	// fence.
	ListExisting(ctx context.Context, pass *Pass, wanted *Operations) ([]bool, error)
	// PersistBatch adds or replaces rows; others survive. Durable when it returns.
	PersistBatch(ctx context.Context, pass *Pass, rows *Rows) error
	// Finalize makes the spec's visible rows exactly those of the manifest. ErrIncomplete: a vector is missing, nothing
	// was changed.
	Finalize(ctx context.Context, pass *Pass, manifest *Operations) error
}

// SpecState is what a persister's Finalize recorded last, with these of the pass.
type SpecState struct{ SpaceID, ContentVersion, SplitterVersion string }

// Describer is a Persister that lets the reconciler and a status look. Nil: nothing is there for this key.
type Describer interface {
	Persister
	Describe(ctx context.Context, keys []Key) ([]*SpecState, error)
}

// Document is a resolver's answer. Equal versions mean equal content; a hash for example.
type Document struct {
	Content []byte
	Version string
}

// Resolver is where documents live. It needs a Persister beside it. ErrGone is an answer: the vectors are cleared.
type Resolver interface {
	Resolve(ctx context.Context, key Key) (Document, error)
}

// Listed is a document of Lister.
type Listed struct {
	Key     Key
	Version string
}

// Lister is a Resolver that can list: statuses, health and reconcile work then.
type Lister interface {
	Resolver
	// List gives at most limit documents after a key (nil: from the start), in byte order of catalog and then spec.
	List(ctx context.Context, after *Key, limit int) ([]Listed, error)
}

// Computer is a host's whole way from a document to persisted chunks. It replaces splitter and embedder of a pass.
type Computer interface {
	Space() Space
	// Version changes whenever the same content may give other ids or texts.
	Version() string
	Compute(ctx context.Context, request *ComputeRequest) error
}

// EventKind says what happened; the numbers are those of embedjobs_event_kind.
type EventKind int32

// The kinds of events.
const (
	EventJobClaimed EventKind = iota
	EventJobProgress
	EventJobSucceeded
	EventJobRetried
	EventJobFailed
	EventJobReleased
	EventLeaseLost
	EventLeaseRenewed
	EventProviderPaused
	EventProviderResumed
	EventBatchResized
	EventChunkPersisted
	EventLeaseExpired
	EventStoreUnusable
)

// Event is what happened. Members that the kind does not speak of are zero.
type Event struct {
	Kind           EventKind
	Key            Key
	JobID          int64
	Attempt        int64
	Message        string
	OperationCount int64
	Reused         int64
	Embedded       int64
	Missing        int64
	PromptTokens   uint64
	Delay          time.Duration
	Count          int64
}
