// SPDX-License-Identifier: MIT
//
// Recordings, one below the other on one time axis.

import { complain, put, show } from "./dom.js";
import { recordings } from "./library.js";
import { Overview, drawAxis } from "./overview.js";
import { Playback } from "./playback.js";
import { clock } from "./text.js";
import { theme } from "./theme.js";
import { Track } from "./track.js";

const $ = (id) => document.getElementById(id);
const SHORTEST = 0.005; // seconds that can be shown
const DRAG = 5; // pixels from which on a click is a drag

export class Viewer {
    constructor(editFormat) {
        this.editFormat = editFormat;
        this.tracks = [];
        this.names = "";
        this.gain = 1;
        this.playback = new Playback(() => this.playing(false));
        this.overview = new Overview($("overview"), (a, b) => this.look(a, b));
        $("play").addEventListener("click", () => this.toggle());
        $("align").addEventListener("change", () => this.align());
        $("openGain").addEventListener("change", (e) => {
            this.gain = Number(e.target.value);
            this.draw();
        });
        $("zoomIn").addEventListener("click", () => this.zoom(0.5));
        $("zoomOut").addEventListener("click", () => this.zoom(2));
        $("zoomFit").addEventListener("click", () => this.look(0, this.length));
        document.addEventListener("keydown", (e) => this.key(e));
        $("stage").addEventListener("wheel", (e) => this.wheel(e), { passive: false });
        this.pointer($("tracks"));
        new ResizeObserver(() => this.look(this.a, this.b)).observe($("stage"));
        this.version = theme.version;
        requestAnimationFrame(() => this.frame());
    }

    async open(names) {
        if (this.names === names.join("\n") && this.tracks.length > 0) {
            this.look(this.a, this.b);
            return;
        }
        this.close();
        this.names = names.join("\n");
        const wanted = this.names;
        let list;
        try {
            ({ recordings: list } = await recordings());
        } catch (error) {
            complain(`The recordings can't be listed: ${error.message}`);
            return;
        }
        if (wanted !== this.names) return;
        const entries = names.map((n) => list.find((r) => r.name === n)).filter(Boolean);
        if (entries.length < names.length) complain("Not all of these recordings are there.");
        this.tracks = entries.map((e) => new Track(e, { heard: (t) => this.hear(t), format: (t) => this.reformat(t) }));
        $("tracks").replaceChildren(...this.tracks.map((t) => t.root));
        show($("alignChoice"), this.tracks.length > 1);
        for (const t of this.tracks) show(t.parts.heard, this.tracks.length > 1);
        if (this.tracks.length > 0) this.hear(this.tracks[0]);
        this.place(0);
        this.align();
    }

    close() {
        this.playback.stop();
        this.playing(false);
        this.tracks = [];
        this.names = "";
        $("tracks").replaceChildren();
    }

    async reformat(track) {
        if (!(await this.editFormat(track.entry.name, track.entry.format))) return;
        const { recordings: list } = await recordings();
        const entry = list.find((r) => r.name === track.entry.name);
        if (!entry) return;
        track.set(entry);
        this.align();
    }

    // align says where on the axis each recording begins, and shows all.
    align() {
        const started = this.tracks.map((t) => Date.parse(t.entry.started) / 1000);
        const earliest = Math.min(...started);
        this.tracks.forEach((t, i) => (t.offset = $("align").value === "clock" ? started[i] - earliest : 0));
        this.length = Math.max(SHORTEST, ...this.tracks.map((t) => t.end));
        this.overview.load(this.tracks, this.length);
        this.look(0, this.length);
    }

    // look shows the stretch from a to b.
    look(a, b) {
        if (this.tracks.length === 0 || !(b > a)) return;
        const span = Math.min(this.length, Math.max(SHORTEST, b - a));
        this.a = Math.min(Math.max(0, a), this.length - span);
        this.b = this.a + span;
        this.draw();
        clearTimeout(this.later);
        this.later = setTimeout(() => this.load(), 60);
    }

    async load() {
        const { a, b } = this;
        const turn = (this.turn = (this.turn ?? 0) + 1);
        try {
            await Promise.all(this.tracks.map((t) => t.load(a, b)));
        } catch (error) {
            complain(`A recording can't be shown: ${error.message}`);
        }
        if (turn === this.turn) this.draw();
    }

    draw() {
        if ($("open").hidden || this.tracks.length === 0) return;
        for (const t of this.tracks) t.draw(this.a, this.b, this.gain);
        drawAxis($("axis"), this.a, this.b);
        this.overview.draw(this.a, this.b, this.length);
        this.head();
    }

    zoom(factor, at = this.centre()) {
        this.look(at - (at - this.a) * factor, at + (this.b - at) * factor);
    }

    // centre is what a zoom keeps in its place: the playhead, if it is seen.
    centre() {
        return this.at > this.a && this.at < this.b ? this.at : (this.a + this.b) / 2;
    }

    place(at) {
        this.at = Math.min(Math.max(0, at), this.length ?? 0);
        if (this.playback.playing) this.startPlaying();
        this.head();
    }

    head() {
        const x = ((this.at - this.a) / (this.b - this.a)) * 100;
        for (const t of this.tracks) {
            t.parts.playhead.style.left = `${x}%`;
            show(t.parts.playhead, x >= 0 && x <= 100);
        }
        put($("position"), clock(this.at, 3));
    }

    hear(track) {
        this.heard = track;
        track.parts.heard.checked = true;
        if (this.playback.playing) this.startPlaying();
    }

    toggle() {
        if (this.playback.playing) {
            this.playback.stop();
            this.playing(false);
        } else if (this.heard && this.tracks.length > 0) {
            if (this.at >= this.heard.end - 0.01) this.at = this.heard.offset;
            this.startPlaying();
        }
    }

    startPlaying() {
        const from = this.at - this.heard.offset;
        try {
            this.playback.start(this.heard.entry, Math.max(0, from));
            this.playing(true);
        } catch (error) {
            complain(`This browser plays no sound: ${error.message}`);
        }
    }

    playing(on) {
        put($("play"), on ? "Pause" : "Play");
        $("play").setAttribute("aria-pressed", String(on));
    }

    frame() {
        requestAnimationFrame(() => this.frame());
        if ($("open").hidden || this.tracks.length === 0) return;
        if (this.version !== theme.version) {
            this.version = theme.version;
            this.draw();
        }
        if (!this.playback.playing) return;
        this.at = this.playback.position + this.heard.offset;
        $("play").dataset.level = this.playback.player.level.toFixed(4);
        if (this.at > this.b && this.b < this.length) this.look(this.at, this.at + this.b - this.a);
        this.head();
    }

    key(e) {
        if ($("open").hidden || e.ctrlKey || e.metaKey || e.altKey || e.target.closest("dialog, input, select")) return;
        const span = this.b - this.a;
        const moves = {
            " ": () => this.toggle(),
            "+": () => this.zoom(0.5),
            "=": () => this.zoom(0.5),
            "-": () => this.zoom(2),
            0: () => this.look(0, this.length),
            ArrowLeft: () => this.step(-span / 20),
            ArrowRight: () => this.step(span / 20),
            PageUp: () => this.look(this.a - span, this.b - span),
            PageDown: () => this.look(this.a + span, this.b + span),
            Home: () => this.step(-Infinity),
            End: () => this.step(Infinity),
        };
        if (!moves[e.key] || (e.key === " " && e.target.closest("button, a"))) return;
        e.preventDefault();
        moves[e.key]();
    }

    step(by) {
        this.place(Math.min(this.length, Math.max(0, this.at + by)));
        const span = this.b - this.a;
        if (this.at < this.a) this.look(this.at, this.at + span);
        if (this.at > this.b) this.look(this.at - span, this.at);
    }

    time(event) {
        const box = this.tracks[0].parts.wave.getBoundingClientRect();
        return this.a + ((event.clientX - box.left) / box.width) * (this.b - this.a);
    }

    wheel(e) {
        if (this.tracks.length === 0) return;
        const sideways = Math.abs(e.deltaX) > Math.abs(e.deltaY) ? e.deltaX : e.shiftKey ? e.deltaY : 0;
        if (e.ctrlKey || e.metaKey) this.zoom(Math.exp(e.deltaY / 300), this.time(e));
        else if (sideways !== 0) {
            const by = (sideways / this.tracks[0].parts.wave.clientWidth) * (this.b - this.a);
            this.look(this.a + by, this.b + by);
        } else return; // the page scrolls
        e.preventDefault();
    }

    // pointer: a click sets the playhead, a drag zooms in; a finger moves.
    pointer(area) {
        let from = null;
        area.addEventListener("pointerdown", (e) => {
            if (!e.target.closest(".lanes") || e.button !== 0) return;
            from = { x: e.clientX, time: this.time(e), a: this.a, b: this.b, touch: e.pointerType === "touch" };
            if (!from.touch) area.setPointerCapture(e.pointerId);
        });
        area.addEventListener("pointermove", (e) => {
            if (!from || Math.abs(e.clientX - from.x) < DRAG) return;
            from.moved = true;
            if (from.touch) {
                const by = ((from.x - e.clientX) / this.tracks[0].parts.wave.clientWidth) * (from.b - from.a);
                this.look(from.a + by, from.b + by);
            } else this.select(from.time, this.time(e));
        });
        const end = (e) => {
            if (!from) return;
            const { moved, touch, time } = from;
            from = null;
            this.select(0, 0);
            if (e.type === "pointercancel") return;
            if (!moved) this.place(time);
            else if (!touch) this.look(Math.min(time, this.time(e)), Math.max(time, this.time(e)));
        };
        area.addEventListener("pointerup", end);
        area.addEventListener("pointercancel", end);
    }

    select(a, b) {
        const share = (t) => Math.min(1, Math.max(0, (t - this.a) / (this.b - this.a))) * 100;
        const [left, right] = [share(Math.min(a, b)), share(Math.max(a, b))];
        for (const t of this.tracks) {
            show(t.parts.selection, a !== b);
            t.parts.selection.style.left = `${left}%`;
            t.parts.selection.style.width = `${right - left}%`;
        }
    }
}
