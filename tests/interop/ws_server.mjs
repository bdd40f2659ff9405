// A WebSocket server that we did not write: Node's ws.
//
//     node ws_server.mjs DIR [ping PAYLOAD | close CODE REASON | cut CODE REASON |
//                             deaf | pieces PORT]
//
// Stores the binary messages of each connection in DIR, under the last part of
// the URL's path. `npm ci` in this folder gets ws. Prints:
//
//     listening on ws://127.0.0.1:PORT/     when it is ready
//     stream NAME BYTES MESSAGES LARGEST CODE
//                                           when a connection has ended: what
//                                           came, and the client's close code
//     pong PAYLOAD                          when a pong has come
//
// ping: pings each connection once, as it opens. close: closes it when its
// first message has come, and waits for the client's answer, as RFC 6455 says.
// cut: the same, without the wait. deaf: answers no ping. pieces: listens on
// PORT, and stores each connection in a file of its own, NAME.0, NAME.1, … in
// their order, also after a restart.
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { WebSocketServer } from "ws";

const [dir, mode, ...rest] = process.argv.slice(2);
if (dir === undefined || ![undefined, "ping", "close", "cut", "deaf", "pieces"].includes(mode)) {
    console.error("usage: ws_server.mjs DIR [ping PAYLOAD | close CODE REASON | cut CODE REASON | deaf | pieces PORT]");
    process.exit(2);
}
mkdirSync(dir, { recursive: true });

function nameOf(url) {
    const name = url.split("?")[0].split("/").pop();
    return /^\w[\w.-]*$/.test(name) ? name : "unnamed.bin";
}

function open(name) {
    if (mode !== "pieces") return openSync(join(dir, name), "w");
    for (let n = 0; ; n++) {
        try {
            return openSync(join(dir, `${name}.${n}`), "wx");
        } catch (error) {
            if (error.code !== "EEXIST") throw error;
        }
    }
}

const server = new WebSocketServer({
    host: "127.0.0.1",
    port: mode === "pieces" ? Number(rest[0]) : 0,
    maxPayload: 0,
    autoPong: mode !== "deaf",
});

server.on("listening", () => {
    console.log(`listening on ws://127.0.0.1:${server.address().port}/`);
});
server.on("connection", (socket, request) => {
    const name = nameOf(request.url);
    const file = open(name);
    let [size, count, largest] = [0, 0, 0];
    socket.on("message", (data, isBinary) => {
        if (!isBinary) return;
        writeSync(file, data);
        size += data.length;
        count += 1;
        largest = Math.max(largest, data.length);
        if (count === 1 && (mode === "close" || mode === "cut")) {
            socket.close(Number(rest[0]), rest[1]);
            if (mode === "cut") setImmediate(() => socket.terminate());
        }
    });
    socket.on("pong", (payload) => console.log(`pong ${payload}`));
    socket.on("error", () => {}); // the close event follows
    socket.on("close", (code) => {
        closeSync(file);
        console.log(`stream ${name} ${size} ${count} ${largest} ${code}`);
    });
    if (mode === "ping") socket.ping(rest[0]);
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
