// SPDX-License-Identifier: MIT
//
// Elements, made without HTML: whatever comes from a peer stays text.

// from copies a template and returns its element and, by their data-part,
// the elements in it.
export function from(id) {
    const root = document.getElementById(id).content.firstElementChild.cloneNode(true);
    const parts = {};
    for (const e of root.querySelectorAll("[data-part]")) parts[e.dataset.part] = e;
    return { root, parts };
}

// put sets a text, if it is another one.
export function put(element, text) {
    if (element.textContent !== text) element.textContent = text;
}

export function show(element, shown) {
    if (element.hidden === shown) element.hidden = !shown;
}

// announce tells those who hear the page.
export function announce(text) {
    document.getElementById("news").textContent = text;
}

// complain shows an error for a while.
let timer;
export function complain(text) {
    const e = document.getElementById("trouble");
    e.textContent = text;
    e.hidden = false;
    clearTimeout(timer);
    timer = setTimeout(() => (e.hidden = true), 8000);
}
