// SPDX-License-Identifier: MIT

package stream

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// ParseURL checks the URL of a server: ws or wss, a host, a path and a query.
// A host name of other letters becomes its punycode, and what may not stand in
// a query is percent-encoded. No error holds a piece of the URL: it may be one
// of a password.
func ParseURL(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	switch {
	case err != nil:
		err = parseError(err)
	case u.Hostname() == "":
		err = errors.New("the host is missing: write ws://HOST:PORT/NAME")
	case strings.Contains(s, "#"):
		err = errors.New("a WebSocket URL has no #fragment (RFC 6455 section 3): write %23 for a # in a name")
	default:
		err = checkPort(u)
	}
	if err == nil {
		u.Host, err = asciiHost(u.Host)
	}
	if err != nil {
		if strings.Contains(s, "@") {
			err = fmt.Errorf("%w (a character of a password other than a letter or a digit wants percent-encoding: %%2F for a /, %%40 for an @)", err)
		}
		return nil, fmt.Errorf("%w: %w", err, syscall.EINVAL)
	}
	u.RawQuery = encodeQuery(u.RawQuery)
	return u, nil
}

// parseError says what url.Parse met, without the piece of the URL that its
// own error quotes.
func parseError(err error) error {
	var parse *url.Error
	if errors.As(err, &parse) {
		err = parse.Err
	}
	var escape url.EscapeError
	text := err.Error()
	switch {
	case errors.As(err, &escape):
		text = "an escape of two hexadecimal digits follows a %: write %25 for the % itself"
	case strings.Contains(text, "invalid port"):
		text = "the port behind the host is no number"
	case strings.Contains(text, "userinfo"):
		text = "the user or password has a character that may not stand there"
	case strings.Contains(text, "missing ']'"), strings.Contains(text, "control"):
	case strings.Contains(text, "host"):
		text = "the host name has a character that may not stand there"
	default:
		text = "this is not a URL"
	}
	return fmt.Errorf("%s: write ws://HOST:PORT/NAME", text)
}

func checkPort(u *url.URL) error {
	p := u.Port()
	if p == "" {
		return nil
	}
	if n, err := strconv.ParseUint(p, 10, 16); err != nil || n == 0 {
		return errors.New("the port is not from 1 to 65535")
	}
	return nil
}

// asciiHost is a host, with its port, in the letters of the DNS. net/http
// holds the tables of punycode for its Host header: reading it from there
// spares a second copy of 200 kB in the library.
func asciiHost(host string) (string, error) {
	if strings.IndexFunc(host, func(r rune) bool { return r > unicode.MaxASCII }) < 0 {
		return host, nil
	}
	var request bytes.Buffer
	r := http.Request{URL: &url.URL{Path: "/"}, Host: strings.ToLower(host)}
	if utf8.ValidString(host) && r.Write(&request) == nil {
		if back, err := http.ReadRequest(bufio.NewReader(&request)); err == nil && back.Host != "" {
			return back.Host, nil
		}
	}
	return "", errors.New("the host name has no form in the letters of the DNS: write its punycode, which begins with xn--")
}

// encodeQuery percent-encodes the bytes that may not stand in a query (RFC
// 3986 section 3.4), and a % that begins no escape.
func encodeQuery(q string) string {
	var b strings.Builder
	for i := range len(q) {
		c := q[i]
		switch {
		case c == '%' && i+2 < len(q) && isHex(q[i+1]) && isHex(q[i+2]),
			'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			strings.IndexByte("-._~!$&'()*+,;=:@/?", c) >= 0:
			b.WriteByte(c)
		default:
			fmt.Fprintf(&b, "%%%02X", c)
		}
	}
	return b.String()
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// bare is the URL without user and password, which do not belong on the wire
// (gorilla refuses them) and travel as credentials instead.
func bare(u *url.URL) *url.URL {
	without := *u
	without.User = nil
	return &without
}

const hidden = "xxxxx"

// ShowURL is a URL fit for a message: without its user and password, without
// the values of its query, and not endless. It need not be a valid one: what
// stands before an @ may be a password that was not encoded, and is not shown.
func ShowURL(s string) string {
	scheme, rest, found := strings.Cut(s, "://")
	if !found {
		scheme, rest = "", s
	}
	rest = cutUser(rest)
	if path, query, ok := strings.Cut(rest, "?"); ok {
		pairs := strings.Split(query, "&")
		for i, pair := range pairs {
			if key, _, ok := strings.Cut(pair, "="); ok {
				pairs[i] = key + "=" + hidden
			} else if pair != "" {
				pairs[i] = hidden
			}
		}
		rest = path + "?" + strings.Join(pairs, "&")
	}
	if found {
		rest = scheme + "://" + rest
	}
	return shortened(rest, 200)
}

// shown is the server's URL, for messages.
func (c *Config) shown() string { return ShowURL(c.URL.String()) }

// cutUser puts hidden for the user and password of what follows ://.
func cutUser(s string) string {
	head := s
	if i := strings.IndexAny(s, "?#"); i >= 0 {
		head = s[:i]
	}
	authority, _, _ := strings.Cut(head, "/")
	user := strings.LastIndexByte(authority, '@')
	at := strings.LastIndexByte(head, '@') // in the path it may end a password with a /
	if user >= 0 && !strings.Contains(head[at:], "/") {
		at = user // or be a part of the name
	}
	if authority, _, _ := strings.Cut(head[at+1:], "/"); !isHost(authority) {
		at = max(at, strings.LastIndexByte(s, '@'))
	}
	if at < 0 {
		return s
	}
	return hidden + s[at:]
}

// isHost tells whether an authority can be HOST or HOST:PORT.
func isHost(authority string) bool {
	i := strings.LastIndexByte(authority, ':')
	if i < 0 || strings.HasSuffix(authority, "]") {
		return true
	}
	_, err := strconv.ParseUint(authority[i+1:], 10, 16)
	return err == nil
}

func shortened(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

// plain is what somebody else says in a form that is fit for a log: without
// control characters, and not endless.
func plain(s string) string {
	return shortened(strings.Map(func(r rune) rune {
		if r == unicode.ReplacementChar || !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, s), 200)
}
