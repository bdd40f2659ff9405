// SPDX-License-Identifier: MIT
//
// The dialog that says what samples are.

const dialog = document.getElementById("formatDialog");
const form = dialog.querySelector("form");

dialog.querySelector("[value=cancel]").addEventListener("click", () => dialog.close("cancel"));

// askFormat returns the format that was chosen, or null.
export function askFormat(name, current) {
    document.getElementById("formatName").textContent = name;
    form.elements.rate.value = current.rate;
    form.elements.channels.value = current.channels;
    form.elements.kind.value = current.kind;
    dialog.returnValue = "";
    dialog.showModal();
    return new Promise((resolve) => {
        dialog.addEventListener(
            "close",
            () => {
                if (dialog.returnValue !== "apply") {
                    resolve(null);
                    return;
                }
                resolve({
                    rate: Number(form.elements.rate.value),
                    channels: Number(form.elements.channels.value),
                    kind: form.elements.kind.value,
                });
            },
            { once: true },
        );
    });
}
