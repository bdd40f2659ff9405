// SPDX-License-Identifier: MIT
//
// A level meter: a bar for each channel, the highest peak held for a while,
// and a mark that stays once a channel has touched full scale.

import { put } from "./dom.js";
import { COLUMN_RATE } from "./history.js";
import { decibels } from "./text.js";

const FLOOR = -60; // dBFS at the foot of the bar
const WINDOW = Math.round(0.3 * COLUMN_RATE); // columns that the level is taken over
const HOLD = 2000; // milliseconds
const FALL = 20; // dB a second, after that

const db = (x) => Math.max(FLOOR - 40, 20 * Math.log10(x));
const share = (level) => Math.min(1, Math.max(0, (level - FLOOR) / -FLOOR));

export class Meter {
    constructor(root, name) {
        this.root = root;
        this.name = name;
        this.channels = [];
        this.clips = [];
        this.seen = []; // clips that were reset
        this.clip = root.querySelector("[data-part=clip]");
        this.clip.addEventListener("click", () => {
            this.seen = [...this.clips];
            this.mark();
        });
        this.peak = root.querySelector("[data-part=peak]");
        this.rms = root.querySelector("[data-part=rms]");
        this.bars = root.querySelector("[data-part=bars]");
    }

    resize(channels) {
        this.bars.replaceChildren();
        this.channels = Array.from({ length: channels }, (_, c) => {
            const bar = document.createElement("div");
            bar.className = "bar";
            bar.setAttribute("role", "meter");
            bar.setAttribute("aria-label", `Level of ${this.name}${channels > 1 ? `, channel ${c + 1}` : ""} in dBFS`);
            bar.setAttribute("aria-valuemin", FLOOR);
            bar.setAttribute("aria-valuemax", 0);
            const fill = document.createElement("div");
            fill.className = "fill";
            const hold = document.createElement("div");
            hold.className = "hold";
            bar.append(fill, hold);
            this.bars.append(bar);
            return { bar, hold, held: -Infinity, since: 0 };
        });
    }

    // update is called some ten times a second.
    update(history, now) {
        if (history.channels !== this.channels.length) this.resize(history.channels);
        let peak = 0;
        let rms = 0;
        this.channels.forEach((c, i) => {
            const level = history.level(i, WINDOW);
            peak = Math.max(peak, level.peak);
            rms = Math.max(rms, level.rms);
            const top = db(level.peak);
            if (top >= c.held) {
                c.held = top;
                c.since = now;
            } else if (now - c.since > HOLD) {
                c.held = Math.max(top, c.held - (FALL * (now - (c.last ?? now))) / 1000);
            }
            c.last = now;
            c.bar.style.setProperty("--level", share(db(level.rms)).toFixed(3));
            c.bar.style.setProperty("--held", share(c.held).toFixed(3));
            c.hold.classList.toggle("hot", c.held > -1);
            c.bar.setAttribute("aria-valuenow", Math.max(FLOOR, db(level.rms)).toFixed(1));
        });
        put(this.peak, decibels(peak));
        put(this.rms, decibels(rms));
    }

    setClips(clips) {
        this.clips = clips;
        if (this.seen.length !== clips.length) this.seen = clips.map(() => 0);
        this.mark();
    }

    mark() {
        const hot = this.clips.some((n, i) => n > (this.seen[i] ?? 0));
        this.clip.classList.toggle("hot", hot);
        this.clip.disabled = !hot;
        this.clip.title = hot ? "Has touched full scale; click to reset" : "Has not touched full scale";
    }
}
