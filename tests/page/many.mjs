// SPDX-License-Identifier: MIT
//
// node many.mjs '{"url", "streams"}'
//
// Shows many live streams and prints how evenly the page draws, in both ways
// to show them.
import { browse, run, until } from "./browser.mjs";

await run(async ({ url, streams }) => {
    await browse(url, {}, async (page) => {
        await until("all streams", async () => (await page.locator("#liveCards .card").count()) === streams);
        for (const view of ["compact", "with spectrograms"]) {
            if (view !== "compact") await page.getByRole("button", { name: "Compact" }).click();
            const times = await page.evaluate(
                () =>
                    new Promise((done) => {
                        const times = [];
                        let last = performance.now();
                        requestAnimationFrame(function frame(now) {
                            times.push(now - last);
                            last = now;
                            if (times.length < 200) requestAnimationFrame(frame);
                            else done(times);
                        });
                    }),
            );
            times.sort((a, b) => a - b);
            const at = (share) => times[Math.floor(share * (times.length - 1))].toFixed(1);
            console.log(`${view}: ${times.length} frames, median ${at(0.5)} ms, 95 % within ${at(0.95)} ms, longest ${at(1)} ms`);
        }
    });
});
