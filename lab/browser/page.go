package browser

import "context"

// Page is a page in the browser. What is to be seen or clicked is waited for.
type Page struct {
	b  *Browser
	id string
}

func (p *Page) do(ctx context.Context, command string, args map[string]any, value any) error {
	if args == nil {
		args = map[string]any{}
	}
	args["page"] = p.id
	return p.b.do(ctx, command, args, value)
}

func named(role, name string) map[string]any { return map[string]any{"role": role, "name": name} }

// Click clicks what has a role and a name, such as a button.
func (p *Page) Click(ctx context.Context, role, name string) error {
	return p.do(ctx, "click", named(role, name), nil)
}

// See waits until a text is shown.
func (p *Page) See(ctx context.Context, text string) error {
	return p.do(ctx, "see", map[string]any{"text": text}, nil)
}

// SeeRole waits until what has a role and a name is shown.
func (p *Page) SeeRole(ctx context.Context, role, name string) error {
	return p.do(ctx, "see", named(role, name), nil)
}

// Gone waits until a text is not shown any more.
func (p *Page) Gone(ctx context.Context, text string) error {
	return p.do(ctx, "gone", map[string]any{"text": text}, nil)
}

// Read is the text of what a CSS selector finds first.
func (p *Page) Read(ctx context.Context, selector string) (text string, err error) {
	return text, p.do(ctx, "read", map[string]any{"selector": selector}, &text)
}

// Fill writes into the field of a label.
func (p *Page) Fill(ctx context.Context, label, text string) error {
	return p.do(ctx, "fill", map[string]any{"name": label, "value": text}, nil)
}

// Choose chooses a file, where the page lets its user do so.
func (p *Page) Choose(ctx context.Context, label, path string) error {
	return p.do(ctx, "choose", map[string]any{"name": label, "path": path}, nil)
}

// Press presses a key of the keyboard, such as Tab.
func (p *Page) Press(ctx context.Context, key string) error {
	return p.do(ctx, "press", map[string]any{"value": key}, nil)
}

// Focused is the name of what has the focus.
func (p *Page) Focused(ctx context.Context) (name string, err error) {
	return name, p.do(ctx, "focused", nil, &name)
}

// Goto leads the page to another address, Reload loads it anew.
func (p *Page) Goto(ctx context.Context, url string) error {
	return p.do(ctx, "goto", map[string]any{"url": url}, nil)
}

// Reload loads the page anew.
func (p *Page) Reload(ctx context.Context) error { return p.do(ctx, "reload", nil, nil) }

// Run runs a script in the page.
func (p *Page) Run(ctx context.Context, script string, value any) error {
	return p.do(ctx, "run", map[string]any{"value": script}, value)
}

// Push gives the app's service worker a message, and returns what it shows.
func (p *Page) Push(ctx context.Context, message string) (shown string, err error) {
	return shown, p.do(ctx, "push", map[string]any{"value": message}, &shown)
}

// Hears waits until the page hears a tone from the other side for most of a second.
func (p *Page) Hears(ctx context.Context, hz float64) error {
	return p.do(ctx, "hears", map[string]any{"hz": hz}, nil)
}

// Axe is what WCAG 2.2 AA has against the page as it is now.
func (p *Page) Axe(ctx context.Context) (violations []string, err error) {
	return violations, p.do(ctx, "axe", nil, &violations)
}

// Complaints are the errors in the page's console since they were last asked for.
func (p *Page) Complaints(ctx context.Context) (errors []string, err error) {
	return errors, p.do(ctx, "complaints", nil, &errors)
}

// Shot takes a picture in a look.
func (p *Page) Shot(ctx context.Context, look Look, path string) error {
	if err := p.do(ctx, "look", look.args(), nil); err != nil {
		return err
	}
	return p.do(ctx, "shot", map[string]any{"path": path}, nil)
}

// Close closes the page as its user does.
func (p *Page) Close(ctx context.Context) error { return p.do(ctx, "close", nil, nil) }

// Crash ends the page without a word to anyone.
func (p *Page) Crash(ctx context.Context) error { return p.do(ctx, "crash", nil, nil) }
