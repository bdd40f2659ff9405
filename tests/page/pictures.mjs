// SPDX-License-Identifier: MIT
//
// node pictures.mjs '{"url", "dir", "names", "view"}'
//
// Pictures of the page, light and dark.
import { join } from "node:path";
import { browse, run, until } from "./browser.mjs";

await run(async ({ url, dir, names, view }) => {
    for (const colorScheme of ["dark", "light"]) {
        await browse(url, { colorScheme, viewport: { width: 1240, height: 1040 }, deviceScaleFactor: 1 }, async (page) => {
            if (view === "live") {
                await until("streams", async () => (await page.locator("#liveCards .card").count()) >= names.length);
            } else {
                await page.goto(url + "#/open?" + new URLSearchParams(names.map((n) => ["f", n])));
                await until("tracks", async () => (await page.locator(".track").count()) === names.length);
            }
            // A picture is there when it has many colours near its left edge.
            const canvas = page.locator("canvas.spectrum:visible").first();
            await until("a picture that is full", () =>
                canvas.evaluate((c) => {
                    if (!c.width) return false;
                    const { data } = c.getContext("2d").getImageData(Math.floor(c.width * 0.05), 0, 10, c.height);
                    return new Set(new Uint32Array(data.buffer)).size > 20;
                }),
            );
            await page.screenshot({ path: join(dir, `${view}-${colorScheme}.png`) });
        });
    }
});
