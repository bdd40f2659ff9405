// SPDX-License-Identifier: MIT
//
// A scrolling picture of a stream. Each column is drawn once, onto a hidden
// canvas that is used round and round; a frame copies from it.

import { KEPT } from "./history.js";
import { fit, spectrum, wave } from "./paint.js";
import { theme } from "./theme.js";

export class Scope {
    // kind is "wave" or "spectrum".
    constructor(canvas, kind) {
        this.canvas = canvas;
        this.kind = kind;
        this.g = canvas.getContext("2d", { alpha: false });
        this.ring = document.createElement("canvas");
        this.drawn = 0;
        this.key = "";
    }

    // release gives the memory back while the picture is out of sight.
    release() {
        this.canvas.width = this.canvas.height = this.ring.width = this.ring.height = 0;
        this.key = "";
    }

    draw(history, gain) {
        if (!fit(this.canvas)) return;
        const { width, height } = this.canvas;
        const column = Math.max(1, Math.round(devicePixelRatio || 1));
        const shown = Math.ceil(width / column) + 1;
        const size = Math.min(KEPT, shown + 128);
        const key = [width, height, column, history.generation, theme.version, gain].join();
        if (key !== this.key) {
            this.key = key;
            this.ring.width = size * column;
            this.ring.height = height;
            this.pen = this.ring.getContext("2d", { alpha: false });
            this.pen.fillStyle = theme.ground;
            this.pen.fillRect(0, 0, this.ring.width, height);
            this.drawn = 0;
        }
        this.fill(history, size, column, gain);

        // The edge is a place between two columns.
        const g = this.g;
        g.fillStyle = theme.ground;
        g.fillRect(0, 0, width, height);
        const oldest = Math.max(history.first, this.drawn - size);
        const from = Math.max(oldest, Math.floor(history.edge) - shown);
        const to = Math.min(this.drawn, Math.ceil(history.edge));
        const offset = width - Math.round(history.edge * column);
        for (let n = from; n < to; ) {
            const slot = n % size;
            const count = Math.min(to - n, size - slot);
            g.drawImage(this.ring, slot * column, 0, count * column, height, n * column + offset, 0, count * column, height);
            n += count;
        }
    }

    // fill draws the columns that have come since the last frame.
    fill(history, size, column, gain) {
        const { channels, rows } = history;
        let n = Math.max(this.drawn, history.first, history.next - size);
        const height = channels > 0 ? Math.floor(this.canvas.height / channels) : 0;
        while (n < history.next && channels > 0) {
            const slot = n % size;
            const count = Math.min(history.next - n, size - slot, KEPT - (n % KEPT));
            const base = n % KEPT;
            const left = slot * column;
            this.pen.fillStyle = theme.ground;
            this.pen.fillRect(left, 0, count * column, this.canvas.height);
            for (let c = 0; c < channels; c++) {
                const top = c * height;
                const tall = height - (c < channels - 1 ? 1 : 0); // a line between two channels
                if (this.kind === "wave") {
                    const at = (i) => ((base + i) * channels + c) * 3;
                    const x = (i) => left + i * column;
                    wave(this.pen, { data: history.levels, at, count, x, width: column, top, height: tall, gain });
                } else if (rows > 0) {
                    const at = (i) => ((base + i) * channels + c) * rows;
                    spectrum(this.pen, { data: history.spectra, at, rows, count, left, width: column, top, height: tall });
                }
            }
            n += count;
        }
        this.drawn = Math.max(this.drawn, history.next);
    }
}
