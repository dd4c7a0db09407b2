// Package web is the only one to know the pages: the files that `make web` builds from
// TypeScript, what a browser may do on them, and how long it may keep them. They are
// part of the program; where they are not built it says so, and all else works.
package web

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"maps"
	"net/http"
	"path"
	"slices"
	"strings"
	"sync"
)

//go:embed all:dist
var built embed.FS

// page is a file as it is sent.
type page struct {
	body, zipped []byte // zipped is nil where it would save nothing
	etag         string
	headers      map[string]string
}

// types are by name's end: all that Vite makes and we draw.
var types = map[string]string{
	".html":        "text/html; charset=utf-8",
	".js":          "text/javascript; charset=utf-8",
	".css":         "text/css; charset=utf-8",
	".svg":         "image/svg+xml",
	".png":         "image/png",
	".webmanifest": "application/manifest+json",
	".txt":         "text/plain; charset=utf-8",
}

// A page runs our own scripts alone and speaks to its own host alone.
var policy = strings.Join([]string{
	"default-src 'none'", "script-src 'self'", "style-src 'self'", "img-src 'self' data: blob:",
	"connect-src 'self'", "media-src 'self' blob: mediastream:", "worker-src 'self'", "manifest-src 'self'",
	"base-uri 'none'", "form-action 'none'", "frame-ancestors 'none'",
}, "; ")

// Handler serves the client's page at /, the advisor's app at /app/ and the desk at
// /desk/. What is none of their files is for missing.
func Handler(missing http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		pages := pages()
		name := r.URL.Path[1:]
		if name == "" || strings.HasSuffix(name, "/") {
			name += "index.html"
		}
		p, found := pages[name]
		_, folder := pages[name+"/index.html"]
		switch {
		case r.Method != http.MethodGet && r.Method != http.MethodHead:
			missing.ServeHTTP(w, r)
		case found:
			p.serve(w, r)
		case folder:
			http.Redirect(w, r, "/"+name+"/", http.StatusPermanentRedirect)
		case len(pages) == 0 && slices.Contains([]string{"/", "/app/", "/desk/"}, r.URL.Path):
			http.Error(w, "The pages are not built into this program: run `make web`, then build it again.", http.StatusServiceUnavailable)
		default:
			missing.ServeHTTP(w, r)
		}
	})
}

func (p page) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	for name, value := range p.headers {
		header.Set(name, value)
	}
	header.Set("ETag", p.etag)
	header.Set("Vary", "Accept-Encoding")
	if r.Header.Get("If-None-Match") == p.etag {
		w.WriteHeader(http.StatusNotModified)
		return
	}
	body := p.body
	if p.zipped != nil && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
		header.Set("Content-Encoding", "gzip")
		body = p.zipped
	}
	if r.Method != http.MethodHead {
		_, _ = w.Write(body) // whoever asked has gone
	}
}

// pages are all files by their path, read once: none where they are not built.
var pages = sync.OnceValue(func() map[string]page {
	files, err := fs.Sub(built, "dist/pages")
	if err != nil {
		panic(err) // the path is a constant
	}
	all := map[string]page{}
	_ = fs.WalkDir(files, ".", func(name string, entry fs.DirEntry, err error) error { // of an embedded tree only its root can be missing
		if err == nil && !entry.IsDir() {
			body, _ := fs.ReadFile(files, name)
			all[name] = newPage(name, body)
		}
		return err
	})
	return all
})

func newPage(name string, body []byte) page {
	sum := sha256.Sum256(body)
	p := page{body: body, etag: `"` + hex.EncodeToString(sum[:12]) + `"`, headers: map[string]string{
		"Content-Type":  types[path.Ext(name)],
		"Cache-Control": "no-cache", // asked for anew each time, and mostly answered "not modified"
	}}
	if strings.HasPrefix(name, "assets/") { // another content has another name
		p.headers["Cache-Control"] = "public, max-age=31536000, immutable"
	}
	if path.Ext(name) == ".html" {
		maps.Copy(p.headers, map[string]string{
			"Content-Security-Policy":    policy,
			"Cross-Origin-Opener-Policy": "same-origin",
			"Referrer-Policy":            "no-referrer",
			"Permissions-Policy":         permissions(name),
		})
	}
	var zipped bytes.Buffer
	z, _ := gzip.NewWriterLevel(&zipped, gzip.BestCompression) // the level is good
	_, _ = z.Write(body)
	if _ = z.Close(); zipped.Len() < len(body)*9/10 {
		p.zipped = zipped.Bytes()
	}
	return p
}

// permissions is what a page may ask the user for: the app, which is a phone, the
// microphone.
func permissions(name string) string {
	microphone := "microphone=()"
	if strings.HasPrefix(name, "app/") {
		microphone = "microphone=(self)"
	}
	return microphone + ", camera=(), geolocation=(), payment=(), usb=(), display-capture=()"
}
