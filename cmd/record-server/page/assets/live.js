// SPDX-License-Identifier: MIT
//
// The live view: a card for each stream, those that run first.

import { Card } from "./card.js";
import { announce, complain, put, show } from "./dom.js";
import { Feed } from "./feed.js";
import { COLUMN_RATE } from "./history.js";
import { drawAxis } from "./overview.js";
import { Player } from "./player.js";
import { bytes, count } from "./text.js";
import { theme } from "./theme.js";

const METERS_EVERY = 66; // milliseconds
const STEADY_EVERY = 250; // between frames, for those who asked for less motion
const CROWD = 8; // streams from which on the page is compact by itself

const $ = (id) => document.getElementById(id);
const still = matchMedia("(prefers-reduced-motion: reduce)");

export class Live {
    constructor(editFormat, changed) {
        this.cards = new Map();
        this.player = new Player();
        this.heard = null;
        this.gain = 1;
        this.spectra = true;
        this.compact = null; // until someone chooses
        this.editFormat = editFormat;
        this.changed = changed; // something began or ended
        this.skew = 0;
        this.watcher = new IntersectionObserver((seen) => this.seen(seen), { rootMargin: "200px 0px" });
        this.feed = new Feed({
            opened: () => this.connected(true),
            lost: () => this.connected(false),
            figures: (m) => this.figures(m),
            columns: (m) => this.cards.get(m.id)?.columns(m, this.spectra && !this.isCompact()),
            sound: (m) => {
                if (this.heard?.id === m.id) this.player.add(m.samples, m.channels, m.rate, true);
            },
        });
        $("gain").addEventListener("change", (e) => (this.gain = Number(e.target.value)));
        $("filter").addEventListener("input", () => this.filter());
        $("spectra").addEventListener("click", () => {
            this.spectra = !this.spectra;
            this.layout();
        });
        $("compact").addEventListener("click", () => {
            this.compact = !this.isCompact();
            this.layout();
        });
        $("address").textContent = document.baseURI.replace(/^http/, "ws").replace(/[#?].*$/, "") + "NAME.wav";
        this.last = performance.now();
        requestAnimationFrame((now) => this.frame(now));
    }

    connected(on) {
        // Numbers of streams mean nothing to a server that has restarted.
        for (const id of [...this.cards.keys()]) this.drop(id);
        this.ready = false;
        this.silence();
        $("link").dataset.state = on ? "on" : "off";
        put($("linkText"), on ? "connected" : "reconnecting");
        if (!on) announce("The connection to the server is lost; trying again.");
    }

    figures({ streams, now }) {
        this.skew = now - Date.now();
        const ids = new Set(streams.map((f) => f.id));
        for (const id of this.cards.keys()) if (!ids.has(id)) this.drop(id);
        let changed = false;
        for (const f of streams) {
            let card = this.cards.get(f.id);
            if (!card) {
                card = new Card(f, { listen: (c) => this.toggle(c), format: (fig) => this.editFormat(fig.name, fig.format) });
                this.cards.set(f.id, card);
                this.watcher.observe(card.root);
                this.place(card);
                changed = true;
                if (this.ready && f.state === "live") announce(`${f.name} started`);
            } else if (card.figures.state !== f.state) {
                changed = true;
                const was = card.figures.state;
                card.update(f, this.skew);
                if ((was === "ended") !== (f.state === "ended")) this.place(card);
                announce(`${f.name}: ${card.condition(f)}`);
                if (f.state === "ended" && this.heard === card) this.silence();
            }
            card.update(f, this.skew);
        }
        this.ready = true;
        this.total(streams);
        if (changed) {
            this.filter();
            this.layout();
            this.changed();
        }
    }

    place(card) {
        const ended = card.figures.state === "ended";
        if (ended) $("endedCards").prepend(card.root);
        else {
            // By their names, so that each keeps its place among the others.
            const name = card.figures.name;
            const after = [...$("liveCards").children].find((e) => e.dataset.name.localeCompare(name, undefined, { numeric: true }) > 0);
            $("liveCards").insertBefore(card.root, after ?? null);
        }
    }

    total(streams) {
        const live = streams.filter((f) => f.state !== "ended");
        const rate = live.reduce((sum, f) => sum + f.rate, 0);
        put($("liveCount"), String(live.length));
        put($("sum"), live.length === 0 ? "no stream" : `${count(live.length, "stream")}, ${bytes(Math.round(rate))}/s`);
        show($("none"), live.length === 0);
        show($("endedPart"), streams.length > live.length);
        document.title = live.length > 0 ? `(${live.length}) record-server` : "record-server";
    }

    drop(id) {
        const card = this.cards.get(id);
        if (this.heard === card) this.silence();
        this.watcher.unobserve(card.root);
        card.see(false);
        card.root.remove();
        this.cards.delete(id);
    }

    isCompact() {
        return this.compact ?? $("liveCards").childElementCount > CROWD;
    }

    layout() {
        const root = $("live");
        root.classList.toggle("compact", this.isCompact());
        root.classList.toggle("plain", !this.spectra);
        $("compact").setAttribute("aria-pressed", String(this.isCompact()));
        $("spectra").setAttribute("aria-pressed", String(this.spectra));
        $("spectra").disabled = this.isCompact();
        this.ask();
    }

    filter() {
        const words = $("filter").value.toLowerCase();
        for (const card of this.cards.values()) show(card.root, card.figures.name.toLowerCase().includes(words));
    }

    // seen asks for the columns of what can be seen, and of nothing else.
    seen(entries) {
        for (const e of entries) this.cards.get(Number(e.target.dataset.id))?.see(e.isIntersecting);
        this.ask();
    }

    ask() {
        const ids = [...this.cards.values()].filter((c) => c.visible).map((c) => c.id);
        this.feed.watch(ids, this.spectra && !this.isCompact());
    }

    toggle(card) {
        if (this.heard === card) {
            this.silence();
            return;
        }
        this.silence();
        this.heard = card;
        try {
            this.player.start(card.figures.format.rate);
        } catch (error) {
            this.heard = null;
            complain(`This browser plays no sound: ${error.message}`);
            return;
        }
        this.feed.listen(card.id);
        card.playing(true, 0);
    }

    silence() {
        if (!this.heard) return;
        this.heard.playing(false, 0);
        this.heard = null;
        this.player.stop();
        this.feed.listen(0);
    }

    // axis says how long ago what is drawn was, for all cards together.
    axis() {
        const canvas = $("liveAxis");
        const scale = devicePixelRatio || 1;
        const key = [canvas.clientWidth, scale, theme.version].join();
        if (key === this.axisKey || canvas.clientWidth === 0) return;
        this.axisKey = key;
        const seconds = (canvas.clientWidth * scale) / Math.max(1, Math.round(scale)) / COLUMN_RATE;
        drawAxis(canvas, -seconds, 0);
    }

    frame(now) {
        requestAnimationFrame((t) => this.frame(t));
        if (still.matches && now - this.last < STEADY_EVERY) return;
        const seconds = Math.min(1, (now - this.last) / 1000);
        this.last = now;
        if ($("live").hidden) return;
        for (const card of this.cards.values()) {
            if (card.figures.state !== "ended" || card.visible) card.frame(seconds, this.gain, this.spectra);
        }
        if (now - (this.metered ?? 0) >= METERS_EVERY) {
            this.metered = now;
            for (const card of this.cards.values()) if (card.visible) card.meter.update(card.history, now);
            this.axis();
            if (this.heard) this.heard.playing(true, this.player.level);
        }
    }
}
