package tokenizer

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

var day = time.Date(2026, 3, 4, 0, 0, 0, 0, time.UTC)

// chatCase is a template as transformers renders it.
type chatCase struct{ Name, Template, Text, Rendered string }

func chatCases(t testing.TB) (cases []chatCase) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(files, "chats.json"))
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, &cases); err != nil || len(cases) < 6 {
		t.Fatal(len(cases), err)
	}
	return cases
}

// chatFolder is a model's folder with some files.
func chatFolder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// TestChat renders templates from either file.
func TestChat(t *testing.T) {
	for _, c := range chatCases(t) {
		quoted, _ := json.Marshal(c.Template)
		for _, files := range []map[string]string{
			{"chat_template.jinja": c.Template, "tokenizer_config.json": `{"bos_token":"<BOS>","eos_token":{"content":"<EOS>"},"chat_template":"other"}`},
			{"tokenizer_config.json": `{"bos_token":"<BOS>","eos_token":"<EOS>","chat_template":` + string(quoted) + `}`},
			{"tokenizer_config.json": `{"bos_token":"<BOS>","eos_token":"<EOS>","chat_template":[{"name":"rag","template":"x"},{"name":"default","template":` + string(quoted) + `}]}`},
		} {
			if got, err := Chat(chatFolder(t, files), c.Text, day); err != nil || got != c.Rendered {
				t.Errorf("%s of %q: %q (%v), want %q", c.Name, c.Text, got, err, c.Rendered)
			}
		}
	}
}

// TestChatRefuses says in one line what is wrong with a template.
func TestChatRefuses(t *testing.T) {
	for _, c := range []struct {
		files map[string]string
		want  string
	}{
		{nil, "no chat_template.jinja and no chat_template in tokenizer_config.json"},
		{map[string]string{"tokenizer_config.json": "["}, "tokenizer_config.json: byte 1: unexpected end"},
		{map[string]string{"chat_template.jinja": "{% for x in messages %}\n{{ x"}, "chat template: "},
		{map[string]string{"chat_template.jinja": "{{ raise_exception('only in turns') }}"}, "only in turns"},
		{map[string]string{"chat_template.jinja": "{{ strftime_now('%j') }}"}, "strftime_now(\"%j\") is not known"},
		{map[string]string{"chat_template.jinja": "{% include '/etc/hostname' %}"}, "chat template: "},
	} {
		_, err := Chat(chatFolder(t, c.files), "text", day)
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v: error %v, want %s", c.files, err, c.want)
		}
	}
}

// FuzzChat: a template renders or is refused in one line.
func FuzzChat(f *testing.F) {
	for _, c := range chatCases(f) {
		f.Add(c.Template, c.Text)
	}
	f.Fuzz(func(t *testing.T, template, text string) {
		if strings.Contains(template, "range") || strings.Contains(template, "*") { // as long as it says
			return
		}
		if _, err := render(template, nil, text, day); err != nil && strings.Contains(lastLine(err), "\n") {
			t.Errorf("error %q", lastLine(err))
		}
	})
}
