// SPDX-License-Identifier: MIT
//
// The last columns of a stream, and which of them is under the right edge of
// the picture. That edge moves evenly, though columns come in bursts.

export const COLUMN_RATE = 50; // columns a second
export const KEPT = 2048; // columns; a power of two

const DELAY = 6; // columns that the edge stays behind, so that it never waits
const FULL = 32767;

export class History {
    constructor() {
        this.reset(0, 0);
    }

    reset(channels, rows) {
        this.channels = channels;
        this.rows = rows;
        this.levels = new Int16Array(KEPT * channels * 3);
        this.spectra = new Uint8Array(KEPT * channels * rows);
        this.first = 0; // column that is kept
        this.next = 0; // column to come
        this.edge = 0;
        this.spectral = false; // the last column has a spectrum
        this.generation = (this.generation ?? 0) + 1; // what was drawn is void
    }

    // add takes a message of columns. It returns true if the spectra begin with
    // it, and those before are not known.
    add(m) {
        const bare = m.first > this.first && !this.spectral;
        if (m.channels !== this.channels || (m.rows > 0 && m.rows !== this.rows)) {
            const { levels, first, next, edge, channels } = this;
            this.reset(m.channels, m.rows || this.rows);
            if (channels === m.channels) {
                // Only the spectra are new.
                Object.assign(this, { levels, first, next, edge });
            }
        }
        if (this.next === 0 || m.first > this.next + KEPT) {
            this.first = m.first;
            this.next = m.first;
            this.edge = Math.max(m.first, m.first + m.count - DELAY);
        }
        const wide = this.channels * 3;
        const tall = this.channels * this.rows;
        for (; this.next < m.first; this.next++) {
            // The server had to leave these out.
            const at = this.next % KEPT;
            this.levels.fill(0, at * wide, (at + 1) * wide);
            this.spectra.fill(0, at * tall, (at + 1) * tall);
        }
        for (let i = this.next - m.first; i < m.count; i++) {
            const at = this.next % KEPT;
            this.levels.set(m.levels.subarray(i * wide, (i + 1) * wide), at * wide);
            if (m.rows > 0) this.spectra.set(m.spectra.subarray(i * tall, (i + 1) * tall), at * tall);
            else this.spectra.fill(0, at * tall, (at + 1) * tall);
            this.next++;
        }
        this.first = Math.max(this.first, this.next - KEPT);
        this.spectral = m.rows > 0;
        return bare && m.rows > 0;
    }

    // fill takes spectra of older columns.
    fill(from, count, rows, spectra) {
        if (this.rows === 0) {
            this.rows = rows;
            this.spectra = new Uint8Array(KEPT * this.channels * rows);
        }
        if (rows !== this.rows || spectra.length !== count * this.channels * rows) return;
        const tall = this.channels * rows;
        for (let i = Math.max(0, this.first - from); i < count; i++) {
            const at = (from + i) % KEPT;
            this.spectra.set(spectra.subarray(i * tall, (i + 1) * tall), at * tall);
        }
        this.generation++;
    }

    // advance moves the edge by so many seconds.
    advance(seconds) {
        const goal = this.next - DELAY;
        const off = goal - this.edge;
        if (Math.abs(off) > 2 * COLUMN_RATE) this.edge = goal;
        else this.edge += seconds * COLUMN_RATE + off * Math.min(1, seconds * 1.5);
        this.edge = Math.min(this.edge, this.next);
    }

    // level is the loudness of a channel over the last columns, full scale 1.
    level(channel, columns) {
        let peak = 0;
        let squares = 0;
        const from = Math.max(this.first, this.next - columns);
        for (let n = from; n < this.next; n++) {
            const at = ((n % KEPT) * this.channels + channel) * 3;
            peak = Math.max(peak, -this.levels[at], this.levels[at + 1]);
            const rms = this.levels[at + 2] & 0xffff;
            squares += rms * rms;
        }
        const count = Math.max(1, this.next - from);
        return { peak: peak / (FULL + 1), rms: Math.sqrt(squares / count) / (FULL + 1) };
    }
}

export function clipped(min, max) {
    return min <= -FULL || max >= FULL;
}
