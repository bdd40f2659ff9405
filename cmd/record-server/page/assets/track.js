// SPDX-License-Identifier: MIT
//
// One recording in the viewer. Pictures come from the server for the stretch
// that is shown; until a new one is there, the old one is stretched.

import { from, put } from "./dom.js";
import { download, facts } from "./library.js";
import { fit, spectrum, wave } from "./paint.js";
import { byteRate, bytes, clock, format } from "./text.js";
import { theme } from "./theme.js";

export async function fetchView(name, fromFrame, frames, columns, spectra) {
    const q = new URLSearchParams({ name, from: fromFrame, count: frames, columns, spectra: spectra ? 1 : 0 });
    const answer = await fetch(".page/view?" + q);
    if (!answer.ok) throw new Error(await answer.text());
    const buffer = await answer.arrayBuffer();
    const [n, channels, rows] = new Uint32Array(buffer, 0, 4);
    return {
        columns: n,
        channels,
        rows,
        levels: new Int16Array(buffer, 16, n * channels * 3),
        spectra: new Uint8Array(buffer, 16 + n * channels * 6),
    };
}

export class Track {
    constructor(entry, actions) {
        const { root, parts } = from("track");
        this.root = root;
        this.parts = parts;
        this.offset = 0; // seconds on the axis at which it begins
        this.picture = null;
        root.dataset.name = entry.name;
        put(parts.name, entry.name);
        parts.name.title = entry.name;
        parts.wav.href = download(entry.name, "wav");
        parts.raw.href = download(entry.name, "raw");
        parts.heard.setAttribute("aria-label", `Play ${entry.name}`);
        parts.heard.addEventListener("change", () => actions.heard(this));
        parts.format.addEventListener("click", () => actions.format(this));
        parts.wave.setAttribute("aria-label", `Waveform of ${entry.name}`);
        parts.spectrum.setAttribute("aria-label", `Spectrogram of ${entry.name}`);
        this.set(entry);
    }

    set(entry) {
        this.entry = entry;
        const notes = facts(entry);
        put(this.parts.info, [format(entry.format), clock(entry.seconds, 1), bytes(entry.bytes), notes].filter(Boolean).join(" · "));
        this.parts.format.disabled = entry.fixed;
        this.parts.format.title = entry.fixed ? "The sender's own header says what the samples are" : "";
        const lanes = String(Math.min(8, entry.format.channels));
        this.root.style.setProperty("--lanes", lanes);
        this.picture = null;
    }

    get end() {
        return this.offset + this.entry.seconds;
    }

    // load fetches the picture of the stretch from a to b.
    async load(a, b) {
        const rate = this.entry.format.rate;
        const frames = Math.round(this.entry.seconds * rate);
        const first = Math.max(0, Math.floor((a - this.offset) * rate));
        const last = Math.min(frames, Math.ceil((b - this.offset) * rate));
        if (last <= first || !fit(this.parts.wave) || !fit(this.parts.spectrum)) {
            this.picture = null;
            return;
        }
        const column = Math.max(1, Math.round(devicePixelRatio || 1));
        const share = (last - first) / rate / (b - a);
        const columns = Math.max(1, Math.min(4096, last - first, Math.round((this.parts.wave.width * share) / column)));
        const view = await fetchView(this.entry.name, first, last - first, columns, true);
        this.picture = { a: this.offset + first / rate, b: this.offset + last / rate, view, key: "" };
    }

    // draw shows what there is of a to b.
    draw(a, b, gain) {
        if (!fit(this.parts.wave) || !fit(this.parts.spectrum)) return;
        for (const kind of ["wave", "spectrum"]) {
            const canvas = this.parts[kind];
            const g = canvas.getContext("2d", { alpha: false });
            g.fillStyle = theme.ground;
            g.fillRect(0, 0, canvas.width, canvas.height);
            if (!this.picture) continue;
            const from = this.painted(kind, canvas.height, gain);
            const scale = canvas.width / (b - a);
            g.imageSmoothingEnabled = false;
            const x = (this.picture.a - a) * scale;
            g.drawImage(from, 0, 0, from.width, from.height, x, 0, (this.picture.b - this.picture.a) * scale, canvas.height);
            g.fillStyle = theme.gap;
            for (const t of this.breaks) g.fillRect(Math.round((this.offset + t - a) * scale), 0, Math.max(1, Math.round(devicePixelRatio || 1)), canvas.height);
        }
    }

    // breaks is where something is missing: seconds in the file, which has what
    // came after a gap right behind what came before.
    get breaks() {
        let missing = 0;
        return (this.entry.gaps ?? []).map((gap) => {
            const at = gap.offset - missing;
            missing += gap.length;
            return at / byteRate(this.entry.format);
        });
    }

    painted(kind, height, gain) {
        const p = this.picture;
        const key = [height, gain, theme.version].join();
        if (p.key !== key) {
            p.key = key;
            p.wave = p.spectrum = null;
        }
        if (p[kind]) return p[kind];
        const { columns: count, channels, rows, levels, spectra } = p.view;
        // As many pixels a column as the screen has, for sharp edges.
        const width = Math.max(1, Math.round(devicePixelRatio || 1));
        const canvas = document.createElement("canvas");
        canvas.width = count * width;
        canvas.height = height;
        const g = canvas.getContext("2d", { alpha: false });
        g.fillStyle = theme.ground;
        g.fillRect(0, 0, canvas.width, height);
        const lane = Math.floor(height / channels);
        for (let c = 0; c < channels; c++) {
            const top = c * lane;
            const tall = lane - (c < channels - 1 ? 1 : 0);
            if (kind === "wave") {
                wave(g, { data: levels, at: (i) => (i * channels + c) * 3, count, x: (i) => i * width, width, top, height: tall, gain });
            } else if (rows > 0) {
                spectrum(g, { data: spectra, at: (i) => (i * channels + c) * rows, rows, count, left: 0, width, top, height: tall });
            }
        }
        p[kind] = canvas;
        return canvas;
    }
}
