// SPDX-License-Identifier: MIT
//
// Plays a recording from a place on, a few seconds ahead of what is heard.

import { Player } from "./player.js";

const PIECE = 3; // seconds asked for at once
const AHEAD = 4; // seconds

export class Playback {
    // over is called when the recording has been heard to its end.
    constructor(over) {
        this.player = new Player();
        this.over = over;
        this.turn = 0; // goes up with each start and stop
    }

    start(entry, seconds) {
        this.stop();
        const { rate } = entry.format;
        this.player.start(rate);
        this.from = seconds;
        this.began = null;
        this.fill(entry, Math.floor(seconds * rate), ++this.turn);
    }

    stop() {
        this.turn++;
        this.player.stop();
    }

    async fill(entry, frame, turn) {
        const { rate } = entry.format;
        const channels = entry.format.channels;
        const frames = Math.round(entry.seconds * rate);
        while (frame < frames) {
            // No more than the server gives at once.
            const count = Math.min(Math.ceil(rate * PIECE), frames - frame, Math.floor((1 << 20) / channels));
            const q = new URLSearchParams({ name: entry.name, from: frame, count });
            const answer = await fetch(".page/samples?" + q).catch(() => null);
            const samples = answer?.ok ? new Float32Array(await answer.arrayBuffer()) : null;
            if (turn !== this.turn) return;
            if (!samples || samples.length === 0) break;
            this.player.add(samples, channels, rate, false);
            this.began ??= this.player.next - samples.length / channels / rate;
            frame += samples.length / channels;
            while (turn === this.turn && this.player.waiting > AHEAD) await pause(200);
            if (turn !== this.turn) return;
        }
        while (turn === this.turn && this.player.waiting > 0) await pause(50);
        if (turn === this.turn) {
            this.stop();
            this.over();
        }
    }

    // position is the second of the recording that is heard now.
    get position() {
        if (!this.player.context || this.began === null) return this.from;
        return this.from + Math.max(0, this.player.context.currentTime - this.began);
    }

    get playing() {
        return this.player.context !== null;
    }
}

const pause = (ms) => new Promise((done) => setTimeout(done, ms));
