// SPDX-License-Identifier: MIT
//
// A Chromium with the receiver's page in it, and what the tests read from it.
import assert from "node:assert/strict";
import process from "node:process";
import { chromium } from "playwright-core";

// What must happen may take this long.
export const PATIENCE = 30_000;

const flags = [
    "--no-sandbox", // tests may run as root
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
];

// browse runs work with a page at url, and fails if the page had errors.
export async function browse(url, options, work) {
    const browser = await chromium.launch({ executablePath: process.env.MSPRECORD_CHROMIUM, args: flags });
    try {
        const context = await browser.newContext({
            viewport: { width: 1280, height: 900 },
            deviceScaleFactor: 2,
            colorScheme: "dark",
            acceptDownloads: true,
            ...options,
        });
        const page = await context.newPage();
        page.setDefaultTimeout(PATIENCE);
        const errors = [];
        page.on("pageerror", (error) => errors.push(error.stack));
        page.on("console", (message) => {
            if (message.type() === "error") errors.push(message.text());
        });
        await page.goto(url);
        await work(page, context);
        assert.deepEqual(errors, [], "the page had errors");
    } finally {
        await browser.close();
    }
}

// until waits for a condition and returns its value.
export async function until(what, condition) {
    const end = Date.now() + PATIENCE;
    for (;;) {
        const value = await condition();
        if (value) return value;
        assert.ok(Date.now() < end, `waited in vain: ${what}`);
        await new Promise((done) => setTimeout(done, 100));
    }
}

// loudest reads the pixels of a spectrogram: in its columns from a share of
// the width on, the row that stands out from the ground most, and so the
// frequency between 0 and top, and by how much that may be off: a pixel and a
// row of the spectrum.
export async function loudest(canvas, top, from = 0.9) {
    const share = await canvas.evaluate((c, from) => {
        const x = Math.floor(c.width * from);
        const { data, width, height } = c.getContext("2d").getImageData(x, 0, c.width - x, c.height);
        const sum = new Array(height).fill(0);
        for (let y = 0; y < height; y++) {
            for (let i = 0; i < width; i++) {
                const p = (y * width + i) * 4;
                sum[y] += data[p] + data[p + 1] + data[p + 2];
            }
        }
        // The ground is dark on a dark page and light on a light one.
        const middle = [...sum].sort((a, b) => a - b)[height >> 1];
        const off = sum.map((s) => Math.abs(s - middle));
        const most = Math.max(...off);
        if (most < 100 * width) return null; // nothing stands out
        return { row: (height - off.indexOf(most) - 0.5) / height, pixel: 1 / height };
    }, from);
    return share && { frequency: share.row * top, within: (share.pixel + 1 / 256) * top };
}

// number reads a figure of the page, which has a real minus.
export async function number(element) {
    return Number((await element.textContent()).replace("−", "-"));
}

export function near(got, want, by, what) {
    assert.ok(Math.abs(got - want) <= by, `${what}: ${got}, want ${want} within ${by}`);
}

// run runs a script's work with its arguments, which are JSON.
export async function run(work) {
    try {
        await work(JSON.parse(process.argv[2]));
    } catch (error) {
        console.error(error.stack);
        process.exit(1);
    }
}
