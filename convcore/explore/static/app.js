// The custom elements of pages and lessons.
import "./algorithm-steps.js";
import "./algorithm-times.js";
import "./network-explorer.js";
import "./live-training.js";
import "./playground.js";
import { closeMessage } from "./message.js";

document.querySelector("#message button").addEventListener("click", closeMessage);
document.addEventListener("keydown", ({ key }) => key === "Escape" && closeMessage());
