// SPDX-License-Identifier: MIT
//
// Which view is shown: #/ the live streams, #/recordings what is stored,
// #/open?f=NAME one recording, or several one below the other.

import { complain } from "./dom.js";
import { askFormat } from "./format.js";
import { Library } from "./library.js";
import { Live } from "./live.js";
import { Viewer } from "./viewer.js";

const $ = (id) => document.getElementById(id);

async function editFormat(name, current) {
    const f = await askFormat(name, current);
    if (!f) return false;
    const answer = await fetch(".page/format?" + new URLSearchParams({ name }), {
        method: "POST",
        body: JSON.stringify(f),
    }).catch((error) => ({ ok: false, text: () => error.message }));
    if (!answer.ok) complain(`The format of ${name} stays as it was: ${await answer.text()}`);
    return answer.ok;
}

const library = new Library();
const viewer = new Viewer(editFormat);
new Live(editFormat, () => library.refresh());

function route() {
    const [path, query] = location.hash.slice(1).split("?");
    const view = path === "/recordings" ? "recordings" : path === "/open" ? "open" : "live";
    for (const id of ["live", "recordings", "open"]) $(id).hidden = id !== view;
    for (const [id, of] of [["toLive", "live"], ["toRecordings", "recordings"]]) {
        if (of === view) $(id).setAttribute("aria-current", "page");
        else $(id).removeAttribute("aria-current");
    }
    if (view === "open") viewer.open(new URLSearchParams(query).getAll("f"));
    else viewer.close();
    library.refresh();
}

// The page's own anchors are views; the one that skips the header is not.
document.querySelector(".skip").addEventListener("click", (event) => {
    event.preventDefault();
    $("main").focus();
});
addEventListener("hashchange", route);
route();
