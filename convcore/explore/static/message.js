// Errors and reasons for delays, in a bar over the page's lower edge, so that nothing moves.
const bar = () => document.querySelector("#message");

function show(text, kind) {
  bar().querySelector("span").textContent = text;
  bar().className = kind;
  bar().hidden = false;
}

export const showMessage = (text) => show(text, "error");

export const showNote = (text) => show(text, "note");

export function closeMessage() {
  bar().hidden = true;
}
