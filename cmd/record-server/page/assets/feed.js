// SPDX-License-Identifier: MIT
//
// The WebSocket of the page: figures of all streams, columns of those that are
// watched, sound of the one that is played. The layout of binary messages is
// written down in live/message.go.

const COLUMNS = 1;
const SOUND = 2;

export class Feed {
    // handlers: opened(), lost(), figures({streams, now}), columns(m), sound(m)
    constructor(handlers) {
        this.handlers = handlers;
        this.watched = [];
        this.spectra = true;
        this.listened = 0;
        this.delay = 500;
        this.open();
    }

    open() {
        const url = new URL(".page/live", document.baseURI);
        url.protocol = url.protocol === "https:" ? "wss:" : "ws:";
        const socket = new WebSocket(url);
        socket.binaryType = "arraybuffer";
        socket.onopen = () => {
            this.delay = 500;
            this.handlers.opened();
            this.ask();
        };
        socket.onmessage = (event) => {
            if (typeof event.data === "string") this.handlers.figures(JSON.parse(event.data));
            else this.take(event.data);
        };
        socket.onclose = () => {
            this.handlers.lost();
            setTimeout(() => this.open(), this.delay);
            this.delay = Math.min(this.delay * 2, 8000);
        };
        this.socket = socket;
    }

    // watch asks for the columns of streams, with or without their spectra.
    watch(ids, spectra) {
        this.watched = ids;
        this.spectra = spectra;
        this.ask();
    }

    // listen plays a stream; 0 plays none.
    listen(id) {
        this.listened = id;
        this.ask();
    }

    ask() {
        if (this.socket.readyState !== WebSocket.OPEN) return;
        this.socket.send(JSON.stringify({ watch: this.watched, spectra: this.spectra, listen: this.listened }));
    }

    take(buffer) {
        const words = new DataView(buffer);
        const word = (at) => words.getUint32(at, true);
        for (let at = 0; at < buffer.byteLength; ) {
            const kind = word(at);
            const id = word(at + 4);
            if (kind === COLUMNS) {
                const count = word(at + 12) >>> 16;
                const channels = word(at + 12) & 0xffff;
                const rows = word(at + 16);
                const levels = new Int16Array(buffer, at + 20, count * channels * 3);
                const spectra = new Uint8Array(buffer, at + 20 + levels.byteLength, count * channels * rows);
                this.handlers.columns({ id, first: word(at + 8), count, channels, rows, levels, spectra });
                at += (20 + levels.byteLength + spectra.byteLength + 3) & ~3;
            } else if (kind === SOUND) {
                const samples = new Float32Array(buffer, at + 20, word(at + 16));
                this.handlers.sound({ id, rate: word(at + 8), channels: word(at + 12), samples });
                at += 20 + samples.byteLength;
            } else {
                return; // of a newer server; a reload of the page brings its reader
            }
        }
    }
}
