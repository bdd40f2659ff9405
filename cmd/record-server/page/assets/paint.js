// SPDX-License-Identifier: MIT
//
// Columns to pixels, for live streams and finished recordings alike.

import { clipped } from "./history.js";
import { theme } from "./theme.js";

// wave draws the columns of one channel. levels(i) is where the three values
// of column i begin in data; x(i) is its left edge, width its width.
export function wave(g, { data, at, count, x, width, top, height, gain }) {
    const middle = top + height / 2;
    const half = height / 2 - 1;
    const y = (v) => middle - Math.max(-1, Math.min(1, (v / 32768) * gain)) * half;
    g.fillStyle = theme.middle;
    g.fillRect(x(0), Math.floor(middle), count * width, 1);
    const bars = (style, part) => {
        g.fillStyle = style;
        for (let i = 0; i < count; i++) {
            const k = at(i);
            const [low, high] = part(data[k], data[k + 1], data[k + 2] & 0xffff);
            const from = Math.round(y(high));
            g.fillRect(x(i), from, width, Math.max(1, Math.round(y(low)) - from));
        }
    };
    bars(theme.range, (min, max) => [min, max]);
    bars(theme.body, (min, max, rms) => [Math.max(min, -rms), Math.min(max, rms)]);
    g.fillStyle = theme.clip;
    const mark = Math.max(2, Math.round(height / 18));
    for (let i = 0; i < count; i++) {
        const k = at(i);
        if (clipped(data[k], data[k + 1])) {
            g.fillRect(x(i), top, width, mark);
            g.fillRect(x(i), top + height - mark, width, mark);
        }
    }
}

// spectrum draws columns of one channel, low frequencies below. All columns
// lie side by side from left on.
export function spectrum(g, { data, at, rows, count, left, width, top, height }) {
    const image = g.createImageData(count * width, height);
    const pixels = new Uint32Array(image.data.buffer);
    const stride = count * width;
    for (let py = 0; py < height; py++) {
        // A pixel shows the loudest of its rows.
        const from = Math.floor(((height - 1 - py) * rows) / height);
        const to = Math.max(from + 1, Math.floor(((height - py) * rows) / height));
        for (let i = 0; i < count; i++) {
            const k = at(i);
            let v = 0;
            for (let r = from; r < to; r++) if (data[k + r] > v) v = data[k + r];
            const colour = theme.heat[v];
            const p = py * stride + i * width;
            for (let j = 0; j < width; j++) pixels[p + j] = colour;
        }
    }
    g.putImageData(image, left, top);
}

// fit gives a canvas as many pixels as the screen has for it. It returns
// false while the canvas is not shown.
export function fit(canvas) {
    const scale = devicePixelRatio || 1;
    const width = Math.round(canvas.clientWidth * scale);
    const height = Math.round(canvas.clientHeight * scale);
    if (canvas.width !== width) canvas.width = width;
    if (canvas.height !== height) canvas.height = height;
    return width > 0 && height > 0;
}
