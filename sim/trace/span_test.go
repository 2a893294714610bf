package trace

import "testing"

func TestParseSpan(t *testing.T) {
	tr := &Header{Tokens: 100}
	tests := []struct {
		text string
		want Span
	}{
		{"1..99", Span{1, 99}},
		{"40..40", Span{40, 40}},
		{"0..5", Span{}}, // no context before it
		{"5..100", Span{}},
		{"6..5", Span{}},
		{"6", Span{}},
		{"a..b", Span{}},
		{"1..2..3", Span{}},
		{"", Span{}},
	}
	for _, tt := range tests {
		got, err := tr.parseSpan(tt.text)
		if got != tt.want || (err == nil) != (tt.want != Span{}) {
			t.Errorf("%q: %v, %v, want %v", tt.text, got, err, tt.want)
		}
	}
}
