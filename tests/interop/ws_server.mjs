// A WebSocket server that we did not write: Node's ws.
//
//     node ws_server.mjs DIR
//
// Stores the binary messages of each connection in DIR, under the last part of
// the URL's path. Prints "listening on ws://127.0.0.1:PORT/" when it is ready
// and "stream NAME BYTES" when a connection has ended. `npm ci` in this folder
// gets ws.
import { closeSync, mkdirSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import process from "node:process";
import { WebSocketServer } from "ws";

const dir = process.argv[2];
if (dir === undefined) {
    console.error("usage: ws_server.mjs DIR");
    process.exit(2);
}
mkdirSync(dir, { recursive: true });

function nameOf(url) {
    const name = url.split("?")[0].split("/").pop();
    return /^\w[\w.-]*$/.test(name) ? name : "unnamed.bin";
}

const server = new WebSocketServer({ host: "127.0.0.1", port: 0, maxPayload: 0 });

server.on("listening", () => {
    console.log(`listening on ws://127.0.0.1:${server.address().port}/`);
});
server.on("connection", (socket, request) => {
    const name = nameOf(request.url);
    const file = openSync(join(dir, name), "w");
    let size = 0;
    socket.on("message", (data, isBinary) => {
        if (!isBinary) return;
        writeSync(file, data);
        size += data.length;
    });
    socket.on("error", () => {}); // the close event follows
    socket.on("close", () => {
        closeSync(file);
        console.log(`stream ${name} ${size}`);
    });
});
for (const signal of ["SIGINT", "SIGTERM"]) process.on(signal, () => process.exit(0));
