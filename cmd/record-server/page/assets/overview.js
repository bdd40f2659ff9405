// SPDX-License-Identifier: MIT
//
// The whole of what is open in a strip, with the part that is shown marked;
// and the times along the axis.

import { fit, wave } from "./paint.js";
import { clock } from "./text.js";
import { theme } from "./theme.js";
import { fetchView } from "./track.js";

export class Overview {
    constructor(root, look) {
        this.canvas = root.querySelector("canvas");
        this.window = root.querySelector(".window");
        let grip = null;
        root.addEventListener("pointerdown", (e) => {
            root.setPointerCapture(e.pointerId);
            const at = this.time(e);
            // Beside the window, it comes to where the pointer is.
            const inside = at >= this.a && at <= this.b;
            grip = inside ? at - this.a : (this.b - this.a) / 2;
            look(at - grip, at - grip + this.b - this.a);
        });
        root.addEventListener("pointermove", (e) => {
            if (grip === null) return;
            const a = this.time(e) - grip;
            look(a, a + this.b - this.a);
        });
        for (const name of ["pointerup", "pointercancel"]) root.addEventListener(name, () => (grip = null));
    }

    time(e) {
        const box = this.canvas.getBoundingClientRect();
        return ((e.clientX - box.left) / box.width) * this.length;
    }

    async load(tracks, length) {
        this.length = length;
        this.views = [];
        const views = await Promise.all(
            tracks.map(async (t) => {
                const frames = Math.round(t.entry.seconds * t.entry.format.rate);
                const columns = Math.max(1, Math.min(frames, 1200));
                const view = await fetchView(t.entry.name, 0, frames, columns, false).catch(() => null);
                return { view, offset: t.offset, end: t.end };
            }),
        );
        this.views = views.filter((v) => v.view);
        if (this.length === length) this.draw(this.a, this.b, length);
    }

    draw(a, b, length) {
        Object.assign(this, { a, b, length });
        if (!fit(this.canvas)) return;
        const g = this.canvas.getContext("2d", { alpha: false });
        const { width, height } = this.canvas;
        g.fillStyle = theme.ground;
        g.fillRect(0, 0, width, height);
        const lane = height / Math.max(1, this.views.length);
        this.views.forEach(({ view, offset, end }, k) => {
            const from = (offset / length) * width;
            const column = ((end - offset) / length) * (width / view.columns);
            wave(g, {
                data: view.levels,
                at: (i) => i * view.channels * 3,
                count: view.columns,
                x: (i) => Math.round(from + i * column),
                width: Math.max(1, Math.ceil(column)),
                top: k * lane,
                height: lane,
                gain: 1,
            });
        });
        this.window.style.left = `${(a / length) * 100}%`;
        this.window.style.width = `${((b - a) / length) * 100}%`;
    }
}

const STEPS = [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 21600];

// drawAxis marks the times from a to b; what is before 0 counts up to now.
export function drawAxis(canvas, a, b) {
    if (!fit(canvas)) return;
    const scale = devicePixelRatio || 1;
    const g = canvas.getContext("2d");
    const style = getComputedStyle(canvas);
    g.clearRect(0, 0, canvas.width, canvas.height);
    g.font = `${parseFloat(style.fontSize) * scale}px ${style.fontFamily}`;
    g.fillStyle = style.color;
    g.textBaseline = "middle";
    const perSecond = canvas.width / (b - a);
    const step = STEPS.find((s) => s * perSecond >= 90 * scale) ?? STEPS.at(-1);
    const digits = step >= 1 ? 0 : step >= 0.1 ? 1 : step >= 0.01 ? 2 : 3;
    for (let n = Math.ceil(a / step); n * step <= b; n++) {
        const x = Math.round((n * step - a) * perSecond);
        if (x > canvas.width - 24 * scale) break; // no room for its text
        g.fillRect(x, canvas.height - 5 * scale, Math.max(1, Math.round(scale)), 5 * scale);
        g.fillText(clock(n * step, digits), x + 4 * scale, canvas.height / 2 - scale);
    }
}
