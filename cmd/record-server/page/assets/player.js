// SPDX-License-Identifier: MIT
//
// Sound from pieces that come one after the other, without a seam.

const LEAD = 0.15; // seconds that a live stream is behind
const MOST = 0.8; // seconds that it may be behind

export class Player {
    constructor() {
        this.context = null;
        this.sources = new Set();
    }

    // start must be called from a click or a key, or browsers stay silent. A
    // context of the sound's own rate spares each piece a conversion.
    start(rate) {
        this.stop();
        try {
            this.context = new AudioContext({ sampleRate: rate, latencyHint: "interactive" });
        } catch {
            this.context = new AudioContext();
        }
        this.analyser = this.context.createAnalyser();
        this.analyser.fftSize = 1024;
        this.analyser.connect(this.context.destination);
        this.wave = new Float32Array(this.analyser.fftSize);
        this.next = 0;
        this.played = 0; // frames that were handed over
    }

    stop() {
        for (const s of this.sources) s.stop();
        this.sources.clear();
        this.context?.close();
        this.context = null;
    }

    // add plays frames behind those before. Live pieces that would come too
    // late for that are left out.
    add(samples, channels, rate, live) {
        const context = this.context;
        const frames = Math.floor(samples.length / channels);
        if (!context || frames === 0) return;
        const now = context.currentTime;
        if (this.next < now) this.next = now + (live ? LEAD : 0.02);
        if (live && this.next - now > MOST) return;
        // Two channels are left and right; more are heard together.
        const out = channels === 2 ? 2 : 1;
        const buffer = context.createBuffer(out, frames, rate);
        for (let c = 0; c < out; c++) {
            const to = buffer.getChannelData(c);
            for (let i = 0; i < frames; i++) {
                if (channels <= 2) {
                    to[i] = samples[i * channels + c];
                } else {
                    let sum = 0;
                    for (let k = 0; k < channels; k++) sum += samples[i * channels + k];
                    to[i] = sum / channels;
                }
            }
        }
        const source = context.createBufferSource();
        source.buffer = buffer;
        source.connect(this.analyser);
        source.onended = () => this.sources.delete(source);
        source.start(this.next);
        this.sources.add(source);
        this.next += frames / rate;
        this.played += frames;
    }

    // waiting is how many seconds are still to be played.
    get waiting() {
        return this.context ? Math.max(0, this.next - this.context.currentTime) : 0;
    }

    // level is the loudness of what comes out just now.
    get level() {
        if (!this.context) return 0;
        this.analyser.getFloatTimeDomainData(this.wave);
        let sum = 0;
        for (const x of this.wave) sum += x * x;
        return Math.sqrt(sum / this.wave.length);
    }
}
