// SPDX-License-Identifier: MIT

package near

import "testing"

func TestAMisspelledNameIsFoundAndAnotherIsNot(t *testing.T) {
	options := []string{"connect_timeout", "stop_timeout", "pong_timeout", "wire", "tls_ca", "tls_cert", "header", "linger"}
	query := []string{"rate", "channels", "bits"}
	for _, c := range []struct {
		name  string
		known []string
		want  string
	}{
		{"tsl_ca", options, "tls_ca"},
		{"TLS_CA", options, "tls_ca"},
		{"tls-ca", options, "tls_ca"},
		{"tlsca", options, "tls_ca"},
		{"tls_certificate", options, "tls_cert"},
		{"conect_timout", options, "connect_timeout"},
		{"stoptimeout", options, "stop_timeout"},
		{"ping_timeout", options, "pong_timeout"},
		{"headers", options, "header"},
		{"wires", options, "wire"},
		{"channel", query, "channels"},
		{"chan", query, "channels"},
		{"Rate", query, "rate"},
		{"rte", query, "rate"},
		{"bit", query, "bits"},
		{"volume", options, ""},
		{"", options, ""},
		{"fire", options, ""},
		{"token", query, ""},
		{"date", query, ""},
		{"samplerate", query, "rate"},
		{"sample_rate", query, "rate"},
		{"cert", options, "tls_cert"},
		{"timeout", options, "stop_timeout"},
		{"ca", options, ""},
		{"orate", []string{"at"}, ""},
		{"tls_ca", nil, ""},
	} {
		if got := Name(c.name, c.known); got != c.want {
			t.Errorf("Name(%q) = %q, want %q", c.name, got, c.want)
		}
	}
}

func TestDistanceCountsMistakes(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want int
	}{
		{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"abc", "abc", 0},
		{"abc", "acb", 1}, {"abc", "abd", 2}, {"abc", "xabc", 1}, {"abcd", "badc", 2},
	} {
		if got := Distance(c.a, c.b); got != c.want {
			t.Errorf("Distance(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
	}
}
