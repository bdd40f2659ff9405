// SPDX-License-Identifier: MIT
//
// One live stream on the page.

import { from, put, show } from "./dom.js";
import { COLUMN_RATE, History } from "./history.js";
import { Meter } from "./meter.js";
import { Scope } from "./scope.js";
import { byteRate, bytes, clock, count, format, hertz, thin } from "./text.js";
import { fetchView } from "./track.js";

const WIDEST = 1600; // columns before the present that are worth fetching
const STALE = 1500; // milliseconds without data, of a stream that should have some

export class Card {
    constructor(figures, actions) {
        const { root, parts } = from("card");
        this.root = root;
        this.parts = parts;
        this.id = figures.id;
        this.history = new History();
        this.visible = false;
        root.dataset.name = figures.name;
        root.dataset.id = figures.id;
        parts.name.id = `stream-${figures.id}`;
        root.setAttribute("aria-labelledby", parts.name.id);
        this.wave = new Scope(parts.wave, "wave");
        this.spectrum = new Scope(parts.spectrum, "spectrum");
        this.meter = new Meter(parts.meter, figures.name);
        parts.listen.addEventListener("click", () => actions.listen(this));
        parts.format.addEventListener("click", () => actions.format(this.figures));
        this.update(figures, 0);
    }

    update(f, skew) {
        this.figures = f;
        const p = this.parts;
        const time = ((f.ended || Date.now() + skew) - f.started) / 1000;
        this.root.dataset.state = f.state;
        this.root.dataset.name = f.name;
        put(p.name, f.name);
        p.name.title = f.name;
        put(p.kind, format(f.format));
        put(p.peer, f.peer);
        put(p.state, this.condition(f));
        p.state.title = f.how ?? "";
        put(p.bytes, bytes(f.bytes));
        put(p.time, clock(Math.max(0, time)));
        const full = byteRate(f.format);
        put(p.rate, f.state === "live" ? `${bytes(Math.round(f.rate))}/s` : "–");
        put(p.pace, f.state === "live" ? `×${(f.rate / full).toFixed(2)}` : "");
        const pace = f.rate / full;
        p.pace.classList.toggle("warn", f.state === "live" && time > 3 && (pace < 0.95 || pace > 1.05));
        put(p.jitter, `${f.jitter.toFixed(1)}${thin}ms`);
        put(p.gaps, f.gaps === 0 ? "none" : `${f.gaps} (${bytes(f.missing)})`);
        p.gaps.classList.toggle("warn", f.gaps > 0);
        put(p.reconnects, String(f.reconnects));
        p.reconnects.classList.toggle("warn", f.reconnects > 0);
        put(p.resent, f.reconnects > 0 ? `from ${bytes(f.resumed)} on` : "none");
        put(p.high, hertz(f.format.rate / 2));
        this.meter.setClips(f.clips);
        p.wave.setAttribute("aria-label", `Waveform of ${f.name}`);
        p.spectrum.setAttribute("aria-label", `Spectrogram of ${f.name}, 0 to ${hertz(f.format.rate / 2)}`);
        show(p.listen, f.state !== "ended");
        show(p.format, f.state !== "ended");
        show(p.open, f.state === "ended");
        p.open.href = "#/open?" + new URLSearchParams({ f: f.name });
        p.listen.setAttribute("aria-label", `Listen to ${f.name}`);
        p.format.setAttribute("aria-label", `Format of ${f.name}`);
    }

    condition(f) {
        if (f.state === "away") return "away, waited for";
        if (f.state === "ended") return f.how || "ended";
        if (f.quiet > STALE) return `quiet for ${count(Math.round(f.quiet / 1000), "second")}`;
        return "live";
    }

    // columns takes what has come. Spectra begin when someone looks; for what
    // lies before, the server has the file.
    columns(m, spectra) {
        const begin = this.history.add(m);
        if (begin) this.fetch(m.first);
        else if (spectra && m.rows === 0 && this.figures.state !== "live") this.fetch(m.first + m.count);
    }

    async fetch(end) {
        const { origin, format: f, name } = this.figures;
        const start = Math.max(this.history.first, origin.column, end - WIDEST);
        const count = end - start;
        if (count < 1) return;
        const frames = f.rate / COLUMN_RATE;
        const first = origin.frame + Math.floor((start - origin.column) * frames);
        const view = await fetchView(name, first, Math.round(count * frames), count, true).catch(() => null);
        if (view) this.history.fill(start, count, view.rows, view.spectra);
    }

    // frame draws; seconds have passed since the last one.
    frame(seconds, gain, spectra) {
        this.history.advance(seconds);
        if (!this.visible) return;
        this.wave.draw(this.history, gain);
        if (spectra) this.spectrum.draw(this.history, gain);
    }

    see(visible) {
        this.visible = visible;
        if (!visible) {
            this.wave.release();
            this.spectrum.release();
        }
    }

    playing(on, level) {
        const b = this.parts.listen;
        b.setAttribute("aria-pressed", String(on));
        put(this.parts.listenText, on ? "Pause" : "Listen");
        b.style.setProperty("--level", on ? Math.min(1, level * 4).toFixed(2) : "0");
        b.dataset.level = on ? level.toFixed(4) : "";
    }
}
