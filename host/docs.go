package host

import (
	"cmp"
	_ "embed"
	"fmt"
	"html/template"
	"maps"
	"net/http"
	"slices"
	"strings"

	"github.com/danielgtaylor/huma/v2"
)

// openAPI serves the description of the API: what openapi.yaml in this folder holds.
func (h *Host) openAPI(w http.ResponseWriter, r *http.Request) {
	text, err := h.api.OpenAPI().YAML()
	if err != nil {
		writeProblem(w, h.problem(r.Context(), "openapi", err))
		return
	}
	w.Header().Set("Content-Type", "application/yaml")
	_, _ = w.Write(text)
}

//go:embed docs.html
var docsText string

var docsPage = template.Must(template.New("docs").Parse(docsText))

// The page shows the OpenAPI description and no more: it cannot drift from it.
type (
	docsView struct {
		Title, Version string
		About          []string // paragraphs
		Routes         []docsRoute
		Schemas        []docsSchema
		Events         []docsEvent
		Problems       []docsProblem
	}
	docsRoute struct {
		ID, Method, Path, Summary, Description, Roles string
		Params                                        []docsField
		Takes, Gives                                  string // schemas
		Statuses                                      []string
	}
	docsSchema struct {
		Name   string
		Fields []docsField
	}
	docsField struct {
		Name, Type, Link, Doc, Example string
		Required                       bool
	}
	docsEvent struct {
		Type, What string
		Fields     []docsEventField
	}
	docsEventField struct{ Name, Doc, Only string }
	docsProblem    struct {
		Code, Title, Remedy string
		Status              int
	}
)

// docs serves the documentation page: one file, no scripts, nothing from elsewhere.
func (h *Host) docs(w http.ResponseWriter, r *http.Request) {
	api := h.api.OpenAPI()
	view := docsView{Title: api.Info.Title, Version: api.Info.Version, About: strings.Split(api.Info.Description, "\n\n")}
	for _, path := range slices.Sorted(maps.Keys(api.Paths)) {
		item := api.Paths[path]
		for _, op := range []*huma.Operation{item.Post, item.Get, item.Put, item.Patch, item.Delete} {
			if op != nil {
				view.Routes = append(view.Routes, routeOf(op))
			}
		}
	}
	schemas := api.Components.Schemas.Map()
	for _, name := range slices.Sorted(maps.Keys(schemas)) {
		view.Schemas = append(view.Schemas, docsSchema{name, fieldsOf(schemas[name])})
	}
	for _, t := range eventTypes() {
		event := docsEvent{Type: t, What: eventKinds[t].what}
		for _, f := range eventKinds[t].fields {
			event.Fields = append(event.Fields, docsEventField{f.name, f.what, string(f.only)})
		}
		view.Events = append(view.Events, event)
	}
	for code, k := range kinds {
		view.Problems = append(view.Problems, docsProblem{code, k.title, k.remedy, k.status})
	}
	slices.SortFunc(view.Problems, func(a, b docsProblem) int { return cmp.Or(a.Status-b.Status, strings.Compare(a.Code, b.Code)) })
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'")
	_ = docsPage.Execute(w, view) // whoever asked has gone
}

func routeOf(op *huma.Operation) docsRoute {
	route := docsRoute{ID: op.OperationID, Method: op.Method, Path: op.Path, Summary: op.Summary, Description: op.Description}
	if roles, ok := op.Extensions["x-roles"].([]string); ok {
		route.Roles = strings.Join(roles, ", ")
	}
	for _, p := range op.Parameters {
		field := fieldOf(p.Name, p.Schema)
		field.Type, field.Required = p.In, p.Required
		field.Doc = cmp.Or(field.Doc, p.Description)
		route.Params = append(route.Params, field)
	}
	if op.RequestBody != nil {
		route.Takes = schemaIn(op.RequestBody.Content)
	}
	for _, status := range slices.Sorted(maps.Keys(op.Responses)) {
		route.Statuses = append(route.Statuses, status)
		if status < "300" {
			route.Gives = schemaIn(op.Responses[status].Content)
		}
	}
	return route
}

func schemaIn(content map[string]*huma.MediaType) string {
	for _, media := range content {
		return refName(media.Schema)
	}
	return ""
}

func refName(s *huma.Schema) string { return s.Ref[strings.LastIndexByte(s.Ref, '/')+1:] }

func fieldsOf(s *huma.Schema) []docsField {
	var fields []docsField
	for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
		field := fieldOf(name, s.Properties[name])
		field.Required = slices.Contains(s.Required, name)
		fields = append(fields, field)
	}
	return fields
}

func fieldOf(name string, s *huma.Schema) docsField {
	f := docsField{Name: name, Type: s.Type, Doc: s.Description, Link: refName(s)}
	if s.Type == "array" && s.Items != nil {
		f.Type, f.Link = "list of "+s.Items.Type, refName(s.Items)
	}
	if s.Format != "" {
		f.Type += ", " + s.Format
	}
	if len(s.Enum) > 0 {
		f.Type = strings.Trim(strings.ReplaceAll(fmt.Sprint(s.Enum), " ", " | "), "[]")
	}
	if len(s.Examples) > 0 {
		f.Example = fmt.Sprint(s.Examples[0])
	}
	return f
}
