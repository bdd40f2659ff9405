// SPDX-License-Identifier: MIT

package stream

import "context"

// first makes the first connection.
func (t *trunk) first() (*link, error) {
	r := t.redialling()
	if !t.dialer.cfg.Later {
		return t.dialer.dial(t.ctx, r.connecting)
	}
	r.run(t.dialer)
	return r.link, r.err
}

// headers are those of the stream that is on the trunk for the longest. Where
// that ends meanwhile, the next is asked.
func (t *trunk) headers(ctx context.Context) []string {
	for {
		by := t.eldest()
		if by == nil || by.headers == nil {
			return t.dialer.cfg.Access.Headers
		}
		within, cancel := context.WithCancel(ctx)
		stop := context.AfterFunc(by.ctx, cancel)
		lines := by.headers(within)
		stop()
		cancel()
		if by.ctx.Err() == nil || ctx.Err() != nil {
			return lines
		}
	}
}

// eldest is the lane of those whose streams go on that was the first to join.
func (t *trunk) eldest() (first *lane) {
	trunks.mu.Lock()
	defer trunks.mu.Unlock()
	for _, l := range t.lanes {
		if l.ctx.Err() == nil && (first == nil || l.joined < first.joined) {
			first = l
		}
	}
	return first
}
