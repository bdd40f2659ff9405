// SPDX-License-Identifier: MIT
//
// node library.mjs '{"url", "names", "frequency", "sha256", "seconds"}'
//
// The recordings are listed, can be taken away as they were sent, compared on
// one time axis, zoomed, heard, and read in another format.
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import { browse, loudest, near, run, until } from "./browser.mjs";

const HEADER = 80;
const sum = (data) => createHash("sha256").update(data).digest("hex");

async function download(page, link) {
    const [file] = await Promise.all([page.waitForEvent("download"), link.click()]);
    return { name: file.suggestedFilename(), data: await readFile(await file.path()) };
}

await run(async ({ url, names, frequency, sha256, seconds }) => {
    await browse(url + "#/recordings", {}, async (page) => {
        const row = (name) => page.locator(`.row[data-name="${name}"]`);
        for (const name of names) await row(name).waitFor();
        const wav = await download(page, row(names[0]).getByRole("link", { name: /as WAV/ }));
        assert.equal(sum(wav.data.subarray(HEADER)), sha256, "the samples of the WAV");
        const raw = await download(page, row(names[0]).getByRole("link", { name: /as it was sent/ }));
        assert.equal(sum(raw.data), sha256, "the raw download");
        console.log(`downloaded ${wav.name} and ${raw.name}, ${raw.data.length} bytes as sent`);

        for (const name of names) await row(name).getByRole("checkbox").check();
        await page.getByRole("button", { name: `Compare ${names.length}` }).click();
        const tracks = page.locator(".track");
        await until("a track each", async () => (await tracks.count()) === names.length);
        for (let i = 0; i < names.length; i++) {
            const canvas = tracks.nth(i).locator("canvas.spectrum");
            await canvas.scrollIntoViewIfNeeded();
            const tone = await until("its tone", () => loudest(canvas, 8000, 0.2));
            near(tone.frequency, frequency, tone.within, "the frequency in the viewer");
        }

        // Zoomed until waves can be told apart: at most a sixth of the pixels
        // of a wave at its middle have it in them.
        const drawn = () =>
            tracks.first().locator("canvas.wave").evaluate((c) => {
                const { data } = c.getContext("2d").getImageData(0, 0, c.width, c.height);
                let n = 0;
                for (let i = 0; i < data.length; i += 4) if (data[i + 1] > 150) n++;
                return n / (data.length / 4);
            });
        const whole = await until("a waveform", drawn);
        await page.locator("#zoomFit").focus();
        for (let i = 0; i < 9; i++) await page.keyboard.press("+");
        await until("single waves", async () => (await drawn()) < whole / 2);
        await page.keyboard.press("0");

        // A click sets the playhead, Play goes on from there to the end.
        const lane = tracks.first().locator("canvas.wave");
        const box = await lane.boundingBox();
        await page.mouse.click(box.x + box.width / 2, box.y + box.height / 2);
        const position = async () => {
            const [m, s] = (await page.locator("#position").textContent()).split(":");
            return Number(m) * 60 + Number(s);
        };
        near(await position(), seconds / 2, 0.05, "the playhead");
        const play = page.locator("#play");
        await play.click();
        await until("sound", async () => Number(await play.getAttribute("data-level")) > 0.01);
        await until("the playhead moves", async () => (await position()) > seconds / 2 + 0.3);
        await until("the end", async () => (await play.getAttribute("aria-pressed")) === "false");
        near(await position(), seconds, 0.2, "the playhead at the end");

        // Another format: twice the rate is half the time and twice the tone.
        const track = tracks.last();
        const name = await track.getAttribute("data-name");
        await track.getByRole("button", { name: "Format" }).click();
        await page.getByLabel("Sample rate").fill("32000");
        await page.getByRole("button", { name: "Apply" }).click();
        await until("the other rate", async () => (await track.textContent()).includes("32\u202fkHz"));
        const canvas = track.locator("canvas.spectrum");
        await until("the other tone", async () => {
            const tone = await loudest(canvas, 16000, 0.1);
            return tone === null ? false : Math.abs(tone.frequency - 2 * frequency) <= tone.within;
        });
        const again = await (await page.request.get(`${url}.page/download?` + new URLSearchParams({ name, as: "wav" }))).body();
        assert.equal(again.readUInt32LE(60), 32000, "the rate in the header");
        assert.equal(sum(again.subarray(HEADER)), sha256, "a format changes no sample");
    });
});
