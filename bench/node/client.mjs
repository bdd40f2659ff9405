// SPDX-License-Identifier: MIT
//
// What a user of Node's ws would write.
//
//     node client.mjs URL backlog SIZE SECONDS
import process from "node:process";
import { WebSocket } from "ws";

const [url, , size, seconds] = process.argv.slice(2);
const message = Buffer.alloc(Number(size));
const socket = new WebSocket(url, { perMessageDeflate: false });
const mostBuffered = 1 << 20;

socket.on("open", () => {
    const began = performance.now();
    const before = process.resourceUsage();
    const end = began + 1000 * Number(seconds);
    function more() {
        // In groups, so that asking for the time costs little.
        while (socket.bufferedAmount < mostBuffered && performance.now() < end)
            for (let i = 0; i < 16; i++) socket.send(message);
        if (performance.now() < end) setImmediate(more);
        else socket.send("", { binary: true }, done);
    }
    function done() {
        const used = process.resourceUsage();
        const micros = used.userCPUTime + used.systemCPUTime;
        const report = {
            cpu_s: (micros - before.userCPUTime - before.systemCPUTime) / 1e6,
            wall_s: (performance.now() - began) / 1e3,
            waits: used.voluntaryContextSwitches - before.voluntaryContextSwitches,
            preempted: used.involuntaryContextSwitches - before.involuntaryContextSwitches,
        };
        process.stdout.write(JSON.stringify(report) + "\n", () => process.exit(0));
    }
    more();
});
