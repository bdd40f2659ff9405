// SPDX-License-Identifier: MIT
//
// Figures as people read them.

const minus = "\u2212";
export const thin = "\u202f";

export function bytes(n) {
    const units = ["B", "kB", "MB", "GB", "TB"];
    let u = 0;
    while (n >= 1000 && u < units.length - 1) {
        n /= 1000;
        u++;
    }
    return `${u === 0 ? n : n.toFixed(n < 10 ? 2 : n < 100 ? 1 : 0)}${thin}${units[u]}`;
}

// clock is a time in seconds: 0:07.25, 1:02:03.
export function clock(seconds, digits = 0) {
    const sign = seconds < 0 ? minus : "";
    const unit = 10 ** digits;
    let whole = Math.round(Math.abs(seconds) * unit);
    const part = whole % unit;
    whole = Math.floor(whole / unit);
    const two = (n) => String(n).padStart(2, "0");
    const h = Math.floor(whole / 3600);
    const m = Math.floor(whole / 60) % 60;
    const text = h > 0 ? `${h}:${two(m)}:${two(whole % 60)}` : `${m}:${two(whole % 60)}`;
    return sign + text + (digits > 0 ? "." + String(part).padStart(digits, "0") : "");
}

export function hertz(n) {
    return n >= 1000 ? `${+(n / 1000).toFixed(3)}${thin}kHz` : `${Math.round(n)}${thin}Hz`;
}

export function format(f) {
    const channels = f.channels === 1 ? "mono" : f.channels === 2 ? "stereo" : `${f.channels} channels`;
    return `${hertz(f.rate)} · ${channels} · ${f.kind}`;
}

export function byteRate(f) {
    return f.rate * f.channels * (Number(f.kind.slice(1)) / 8);
}

// decibels is an amplitude, 1 being full scale.
export function decibels(amplitude) {
    const db = 20 * Math.log10(amplitude);
    if (!(db > -100)) return `${minus}∞`;
    return (db < -0.05 ? minus : "") + Math.abs(db).toFixed(1);
}

export function count(n, noun) {
    return `${n} ${noun}${n === 1 ? "" : "s"}`;
}

export function when(date) {
    const d = new Date(date);
    const today = new Date().toDateString() === d.toDateString();
    const time = d.toLocaleTimeString([], { hour: "2-digit", minute: "2-digit", second: "2-digit" });
    return today ? `today, ${time}` : `${d.toLocaleDateString([], { day: "numeric", month: "short", year: "numeric" })}, ${time}`;
}
