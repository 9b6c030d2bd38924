// <algorithm-steps algorithm="winograd">: a small convolution, step by step, by one of three algorithms.
import { newestOnly, post } from "./api.js";
import { brief } from "./colours.js";

const ALGORITHMS = { direct: "direct", im2col: "im2col", winograd: "Winograd F(2×2, 3×3)" };
const TITLES = { x: "image", w: "filter", out: "output", columns: "matrix of windows", u: "U: filter", v: "V: inputs", m: "M = U * V" };
const PAUSE = 900; // milliseconds for a step

const MARKUP = `
  <section class="panel">
    <h2>Step by step</h2>
    <fieldset class="ways"><legend>Algorithm</legend></fieldset>
    <div class="row player">
      <button type="button" class="back" aria-label="Step back">&#8592;</button>
      <button type="button" class="play">Play</button>
      <button type="button" class="forward" aria-label="Step forward">&#8594;</button>
      <input type="range" class="step" min="0" value="0" aria-label="Step">
    </div>
    <p class="step-text" aria-live="polite"></p>
    <div class="grids"></div>
    <p class="count"><output class="so-far"></output> of <output class="all"></output> multiplications</p>
  </section>`;

class AlgorithmSteps extends HTMLElement {
  async connectedCallback() {
    if (this.querySelector(".player")) return;
    this.innerHTML = MARKUP;
    this.find = (name) => this.querySelector(`.${name}`);
    const group = `algorithm-${Math.random().toString(36).slice(2)}`;
    this.find("ways").insertAdjacentHTML(
      "beforeend",
      Object.entries(ALGORITHMS)
        .map(([name, title]) => `<label><input type="radio" name="${group}" value="${name}"> ${title}</label>`)
        .join(""),
    );
    this.choose = newestOnly((name) => this.load(name));
    this.find("ways").addEventListener("change", ({ target }) => this.choose(target.value));
    this.find("back").addEventListener("click", () => this.turnTo(this.at - 1));
    this.find("forward").addEventListener("click", () => this.turnTo(this.at + 1));
    this.find("step").addEventListener("input", ({ target }) => this.turnTo(Number(target.value)));
    this.find("play").addEventListener("click", () => (this.timer ? this.pause() : this.play()));
    await this.choose(this.getAttribute("algorithm") ?? "direct");
  }

  disconnectedCallback() {
    this.pause();
  }

  async load(name) {
    this.pause();
    this.querySelector(`input[value=${name}]`).checked = true;
    this.trace = await post("steps", { algorithm: name });
    this.find("grids").className = `grids ${name}`;
    this.cells = new Map();
    this.find("grids").replaceChildren(...this.trace.grids.map((grid) => this.table(grid)));
    this.find("step").max = this.trace.steps.length;
    this.find("all").textContent = this.trace.multiplications;
    this.turnTo(0);
  }

  table({ name, rows, columns }) {
    const table = document.createElement("table");
    table.className = name;
    table.createCaption().textContent = TITLES[name];
    for (let r = 0; r < rows; r++) {
      const line = table.insertRow();
      for (let c = 0; c < columns; c++) this.cells.set(`${name} ${r} ${c}`, line.insertCell());
    }
    return table;
  }

  // The state after `at` steps; the page describes the last of them.
  turnTo(at) {
    const { steps, given } = this.trace;
    this.at = Math.max(0, Math.min(at, steps.length));
    if (this.at === steps.length) this.pause();
    for (const cell of this.cells.values()) [cell.textContent, cell.className] = ["", ""];
    for (const [name, rows] of Object.entries(given)) {
      rows.forEach((row, r) => row.forEach((value, c) => (this.cells.get(`${name} ${r} ${c}`).textContent = brief(value))));
    }
    const done = steps.slice(0, this.at);
    for (const { writes } of done) {
      for (const [name, r, c, value] of writes) this.cells.get(`${name} ${r} ${c}`).textContent = brief(value);
    }
    const step = done.at(-1);
    for (const place of step?.reads ?? []) this.cells.get(place.join(" ")).className = "read";
    for (const place of step?.writes ?? []) this.cells.get(place.slice(0, 3).join(" ")).className = "written";
    this.find("step").value = this.at;
    this.find("step-text").textContent = step
      ? `${this.at} of ${steps.length}: ${step.text}`
      : `${steps.length} steps. Orange: what a step reads; blue: what it writes.`;
    this.find("so-far").textContent = done.reduce((sum, { multiplications }) => sum + multiplications, 0);
  }

  play() {
    if (this.at === this.trace.steps.length) this.turnTo(0);
    this.find("play").textContent = "Pause";
    this.timer = setInterval(() => this.turnTo(this.at + 1), PAUSE);
    this.turnTo(this.at + 1);
  }

  pause() {
    clearInterval(this.timer);
    this.timer = null;
    if (this.find) this.find("play").textContent = "Play";
  }
}

customElements.define("algorithm-steps", AlgorithmSteps);
