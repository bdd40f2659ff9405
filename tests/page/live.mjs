// SPDX-License-Identifier: MIT
//
// node live.mjs '{"url", "names", "frequency", "peak", "rms", "odd"}'
//
// The live page shows what is sent: the tone at its frequency, its level, and
// plays it. odd is the name of a stream that would be HTML.
import assert from "node:assert/strict";
import { browse, loudest, near, number, run, until } from "./browser.mjs";

await run(async ({ url, names, frequency, peak, rms, odd }) => {
    for (const colorScheme of ["dark", "light"]) {
        await browse(url, { colorScheme }, async (page) => {
            for (const name of names) {
                const card = page.locator(`#liveCards .card[data-name="${name}"]`);
                const canvas = card.locator("canvas.spectrum");
                await canvas.scrollIntoViewIfNeeded();
                const tone = await until(`a tone of ${name}`, () => loudest(canvas, 8000));
                near(tone.frequency, frequency, tone.within, `${name}: the frequency in the ${colorScheme} spectrogram`);
                await until("a level", async () => (await number(card.locator("[data-part=rms]"))) > -90);
                near(await number(card.locator("[data-part=peak]")), peak, 0.5, `${name}: peak`);
                near(await number(card.locator("[data-part=rms]")), rms, 0.5, `${name}: RMS`);
                const bar = Number(await card.getByRole("meter").getAttribute("aria-valuenow"));
                near(bar, rms, 0.5, `${name}: the meter for those who hear it`);
                console.log(`${colorScheme}, ${name}: ${tone.frequency.toFixed(0)} Hz, RMS ${bar} dBFS`);
            }
        });
    }
    await browse(url, {}, async (page) => {
        const listen = page.getByRole("button", { name: `Listen to ${names[0]}` });
        await listen.click();
        const level = await until("sound", async () => {
            const level = Number(await listen.getAttribute("data-level"));
            return level > 0.001 && level;
        });
        await until("the sound at its level", async () => {
            const db = 20 * Math.log10(Number(await listen.getAttribute("data-level")));
            return Math.abs(db - rms) < 1;
        });
        console.log(`heard, at first ${(20 * Math.log10(level)).toFixed(1)} dBFS`);
        assert.equal(await listen.getAttribute("aria-pressed"), "true");
        await listen.click();
        assert.equal(await listen.getAttribute("aria-pressed"), "false");

        // The same from the keyboard.
        await listen.focus();
        await page.keyboard.press("Enter");
        assert.equal(await listen.getAttribute("aria-pressed"), "true");
        await page.keyboard.press("Space");
        assert.equal(await listen.getAttribute("aria-pressed"), "false");

        // What a peer sends is text.
        const card = page.locator(`.card[data-id]`, { has: page.getByRole("heading", { name: odd, exact: true }) });
        assert.equal(await card.count(), 1);
        assert.equal(await page.locator("img, .card script, .card b").count(), 0);
        assert.equal(await page.evaluate(() => globalThis.broken), undefined);

        // A pixel of the screen is a pixel of the picture, and nothing else
        // than this server was asked for.
        const origins = await page.evaluate(() => performance.getEntriesByType("resource").map((e) => new URL(e.name).origin));
        assert.deepEqual([...new Set(origins)], [new URL(url).origin]);
    });
    await browse(url, { viewport: { width: 390, height: 844 }, deviceScaleFactor: 3 }, async (page) => {
        await page.locator(".card").first().waitFor();
        await page.locator("#liveCards canvas").first().scrollIntoViewIfNeeded();
        await until("pixels for each of the screen", () =>
            page.evaluate(() => {
                const c = document.querySelector("#liveCards canvas");
                return c.width === c.clientWidth * 3 && c.height === c.clientHeight * 3;
            }),
        );
        const wide = await page.evaluate(() => document.documentElement.scrollWidth);
        assert.ok(wide <= 390, `a phone has to scroll sideways: ${wide}`);
    });
});
