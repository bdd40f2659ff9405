// SPDX-License-Identifier: MIT
//
// The colours of the pictures. Text and lines have theirs in style.css.

const dark = matchMedia("(prefers-color-scheme: dark)");

const palettes = {
    light: {
        ground: "#f6f8f9",
        middle: "#dde4e8",
        range: "#9ccbc8",
        body: "#177e79",
        clip: "#cf3545",
        gap: "#b5690a",
        heat: [[0, 246, 248, 249], [0.3, 226, 239, 239], [0.55, 140, 196, 199], [0.8, 38, 108, 133], [1, 13, 32, 62]],
    },
    dark: {
        ground: "#10171b",
        middle: "#26323a",
        range: "#1f5f5f",
        body: "#54c7bb",
        clip: "#ff6b74",
        gap: "#f0b45a",
        heat: [[0, 16, 23, 27], [0.32, 17, 44, 51], [0.58, 27, 112, 116], [0.82, 102, 198, 168], [1, 250, 246, 206]],
    },
};

// heat turns a value of a spectrum (0 to 255 for -110 to 0 dB) into a pixel.
function heat(stops) {
    const table = new Uint32Array(256);
    const bytes = new Uint8Array(table.buffer);
    for (let v = 0; v < 256; v++) {
        // What lies under -95 dB is nothing, and -15 dB is as loud as it gets.
        const db = (v / 255 - 1) * 110;
        const x = Math.min(1, Math.max(0, (db + 95) / 80));
        let i = 1;
        while (i < stops.length - 1 && stops[i][0] < x) i++;
        const [a, ...from] = stops[i - 1];
        const [b, ...to] = stops[i];
        const t = (x - a) / (b - a);
        from.forEach((c, k) => (bytes[v * 4 + k] = Math.round(c + (to[k] - c) * t)));
        bytes[v * 4 + 3] = 255;
    }
    return table;
}

for (const p of Object.values(palettes)) p.heat = heat(p.heat);

export const theme = { ...palettes.light, version: 0 };

function choose() {
    Object.assign(theme, dark.matches ? palettes.dark : palettes.light);
    theme.version++;
}

choose();
dark.addEventListener("change", choose);
