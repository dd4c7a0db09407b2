package host

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/danielgtaylor/huma/v2"
	"github.com/danielgtaylor/huma/v2/adapters/humago"

	"parley/host/audio"
	"parley/host/picture"
	"parley/ivr"
	"parley/store"
)

// Limits of what advisors send us to keep.
const (
	uploadTakes  = time.Minute      // from a telephone that is far out
	convertTakes = 30 * time.Second // one is converted at a time
	uploadsMost  = 4                // at one time, each in memory
	pictureAge   = "public, max-age=3600"
)

// FileVersion is of a file that an advisor sent.
type FileVersion struct {
	Version string `json:"version" example:"3f79bb7b435b0532" doc:"The beginning of the SHA-256 of what was made of it."`
}

func (h *Host) fileRoutes() {
	ofAdvisor := []store.Role{store.RoleAdvisor, store.RoleAdmin}
	uploads := h.uploads()
	sent := []int{http.StatusNotFound, http.StatusRequestTimeout, http.StatusRequestEntityTooLarge}
	h.publicPicture()
	add(h, huma.Operation{
		OperationID: "set-picture", Method: http.MethodPut, Path: "/v1/advisors/{id}/picture", Summary: "Set an advisor's picture",
		Description:  "The body is a JPEG, PNG or WebP. It is kept as a JPEG of at most 512 by 512 pixels and nothing else.",
		MaxBodyBytes: picture.Most, BodyReadTimeout: uploadTakes, Middlewares: uploads, Errors: sent,
	}, h.setPicture, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "remove-picture", Method: http.MethodDelete, Path: "/v1/advisors/{id}/picture", DefaultStatus: http.StatusNoContent,
		Summary: "Remove an advisor's picture", Errors: []int{http.StatusNotFound},
	}, h.removeFile(store.Picture), ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "get-greeting", Method: http.MethodGet, Path: "/v1/advisors/{id}/greeting", Summary: "Hear an advisor's greeting",
		Description: "As clients hear it who wait: a WAV file of 8 kHz.", Errors: []int{http.StatusNotFound},
		Responses: map[string]*huma.Response{"200": {Description: "OK", Content: map[string]*huma.MediaType{"audio/wav": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}}},
	}, h.getGreeting, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "set-greeting", Method: http.MethodPut, Path: "/v1/advisors/{id}/greeting", Summary: "Set what clients hear who wait for an advisor",
		Description: "The body is a recording in WAV, MP3, Ogg (Opus or Vorbis), FLAC, M4A, AAC or WebM, of at most 60 seconds. " +
			"It is brought to the loudness of the host's prompts.",
		MaxBodyBytes: audio.Most, BodyReadTimeout: uploadTakes, Middlewares: uploads, Errors: sent,
	}, h.setGreeting, ofAdvisor...)
	add(h, huma.Operation{
		OperationID: "remove-greeting", Method: http.MethodDelete, Path: "/v1/advisors/{id}/greeting", DefaultStatus: http.StatusNoContent,
		Summary: "Remove an advisor's greeting", Errors: []int{http.StatusNotFound},
	}, h.removeFile(store.Greeting), ofAdvisor...)
}

// uploads bounds how many large bodies are in memory, and gives them the time that they
// take.
func (h *Host) uploads() huma.Middlewares {
	places := make(chan struct{}, uploadsMost)
	return huma.Middlewares{func(ctx huma.Context, next func(huma.Context)) {
		_, w := humago.Unwrap(ctx)
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
		default:
			writeProblem(w, tooMany(5*time.Second))
			return
		}
		if err := http.NewResponseController(w).SetWriteDeadline(time.Now().Add(uploadTakes + convertTakes + writeTakes)); err != nil {
			h.Log.Warn("an upload may be cut off", "err", err)
		}
		next(ctx)
	}}
}

type upload struct {
	ByID[ivr.AdvisorID]
	RawBody []byte
}

func (h *Host) setPicture(ctx context.Context, in *upload) (*struct{ Body FileVersion }, error) {
	return h.setFile(ctx, in, store.Picture, picture.Portrait)
}

func (h *Host) setGreeting(ctx context.Context, in *upload) (*struct{ Body FileVersion }, error) {
	return h.setFile(ctx, in, store.Greeting, audio.ForTelephone)
}

func (h *Host) setFile(ctx context.Context, in *upload, kind store.FileKind, convert func(context.Context, []byte) ([]byte, error)) (*struct{ Body FileVersion }, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	converting, cancel := context.WithTimeout(ctx, convertTakes)
	defer cancel()
	content, err := convert(converting, in.RawBody)
	if err != nil {
		return nil, err
	}
	version, err := h.Store.SetAdvisorFile(ctx, asker(ctx).Who(), in.ID, kind, content)
	return &struct{ Body FileVersion }{FileVersion{version}}, err
}

func (h *Host) removeFile(kind store.FileKind) func(context.Context, *ByID[ivr.AdvisorID]) (*struct{}, error) {
	return func(ctx context.Context, in *ByID[ivr.AdvisorID]) (*struct{}, error) {
		if err := onlyOwn(ctx, in.ID); err != nil {
			return nil, err
		}
		_, err := h.Store.SetAdvisorFile(ctx, asker(ctx).Who(), in.ID, kind, nil)
		return nil, err
	}
}

type fileAnswer struct {
	Type string `header:"Content-Type"`
	Body []byte
}

func (h *Host) getGreeting(ctx context.Context, in *ByID[ivr.AdvisorID]) (*fileAnswer, error) {
	if err := onlyOwn(ctx, in.ID); err != nil {
		return nil, err
	}
	f, err := h.Store.AdvisorFile(ctx, in.ID, store.Greeting)
	return &fileAnswer{"audio/wav", f.Content}, err
}

type pictureAnswer struct {
	Status int
	Type   string `header:"Content-Type"`
	ETag   string `header:"ETag"`
	Cache  string `header:"Cache-Control"`
	Body   []byte
}

// publicPicture is for everyone: pages show it by its address alone.
func (h *Host) publicPicture() {
	huma.Register(h.api, huma.Operation{
		OperationID: "get-picture", Method: http.MethodGet, Path: "/v1/advisors/{id}/picture", Summary: "See an advisor's picture",
		Description: "It needs no token.", Security: []map[string][]string{}, Errors: []int{http.StatusNotFound, http.StatusServiceUnavailable},
		Responses: map[string]*huma.Response{
			"200": {Description: "OK", Content: map[string]*huma.MediaType{"image/jpeg": {Schema: &huma.Schema{Type: "string", Format: "binary"}}}},
			"304": {Description: "It is the one of If-None-Match."},
		},
	}, func(ctx context.Context, in *struct {
		ByID[ivr.AdvisorID]
		Known   string `header:"If-None-Match"`
		Version string `query:"v" maxLength:"64" doc:"Makes addresses differ; the answer is the picture of now."`
	}) (*pictureAnswer, error) {
		f, err := h.Store.AdvisorFile(ctx, in.ID, store.Picture)
		if err != nil {
			return nil, h.problem(ctx, "get-picture", err)
		}
		out := &pictureAnswer{http.StatusOK, "image/jpeg", `"` + f.Version + `"`, pictureAge, f.Content}
		if strings.Contains(in.Known, out.ETag) {
			out.Status, out.Body = http.StatusNotModified, nil
		}
		return out, nil
	})
}
