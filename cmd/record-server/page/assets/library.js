// SPDX-License-Identifier: MIT
//
// The list of recordings.

import { complain, from, put, show } from "./dom.js";
import { bytes, clock, count, format, when } from "./text.js";

const $ = (id) => document.getElementById(id);

export function download(name, as) {
    return ".page/download?" + new URLSearchParams({ name, as });
}

// facts is what is worth knowing of a recording besides its size.
export function facts(r) {
    const list = [];
    if (r.open) list.push("being recorded");
    else if (r.how && r.how !== "closed") list.push(r.how);
    if (r.gaps) list.push(`${count(r.gaps.length, "gap")} of ${bytes(r.gaps.reduce((n, g) => n + g.length, 0))}`);
    if (r.resumed) list.push(count(r.resumed.length, "reconnect"));
    return list.join(", ");
}

export async function recordings() {
    const answer = await fetch(".page/recordings");
    if (!answer.ok) throw new Error(await answer.text());
    return answer.json();
}

export class Library {
    constructor() {
        this.picked = new Set();
        this.rows = new Map();
        $("filterRecordings").addEventListener("input", () => this.filter());
        $("compare").addEventListener("click", () => {
            const q = new URLSearchParams();
            // In the order of the list.
            for (const name of this.rows.keys()) if (this.picked.has(name)) q.append("f", name);
            location.hash = "#/open?" + q;
        });
    }

    // refresh asks for the list, once for calls that come close together.
    refresh() {
        if (this.asked) return;
        this.asked = setTimeout(async () => {
            try {
                this.draw(await recordings());
            } catch (error) {
                if (!$("recordings").hidden) complain(`The recordings can't be listed: ${error.message}`);
            }
            this.asked = null;
        }, 150);
    }

    draw({ recordings: list, total }) {
        put($("recordingCount"), String(total));
        show($("noRecordings"), total === 0);
        put($("more"), total > list.length ? `the newest ${list.length} of ${total}` : "");
        const old = this.rows;
        this.rows = new Map();
        for (const r of list) {
            const row = old.get(r.name) ?? this.row(r.name);
            old.delete(r.name);
            this.rows.set(r.name, row);
            put(row.parts.format, format(r.format));
            put(row.parts.time, clock(r.seconds, 1));
            put(row.parts.size, bytes(r.bytes));
            put(row.parts.date, when(r.started));
            row.parts.date.title = new Date(r.started).toISOString();
            put(row.parts.notes, facts(r));
            row.parts.notes.title = facts(r);
        }
        for (const [name, row] of old) {
            row.root.remove();
            this.picked.delete(name);
        }
        const rows = [...this.rows.values()].map((r) => r.root);
        const present = [...$("recordingList").children];
        if (rows.some((r, i) => r !== present[i])) $("recordingList").replaceChildren(...rows);
        this.filter();
        this.count();
    }

    row(name) {
        const row = from("row");
        const p = row.parts;
        row.root.dataset.name = name;
        put(p.name, name);
        p.name.title = name;
        p.name.href = "#/open?" + new URLSearchParams({ f: name });
        p.wav.href = download(name, "wav");
        p.raw.href = download(name, "raw");
        p.wav.setAttribute("aria-label", `Download ${name} as WAV`);
        p.raw.setAttribute("aria-label", `Download ${name} as it was sent`);
        p.pick.setAttribute("aria-label", `Compare ${name}`);
        p.pick.addEventListener("change", () => {
            if (p.pick.checked) this.picked.add(name);
            else this.picked.delete(name);
            this.count();
        });
        return row;
    }

    count() {
        $("compare").disabled = this.picked.size < 2;
        put($("compare"), this.picked.size > 1 ? `Compare ${this.picked.size}` : "Compare");
    }

    filter() {
        const words = $("filterRecordings").value.toLowerCase();
        for (const [name, row] of this.rows) show(row.root, name.toLowerCase().includes(words));
    }
}
