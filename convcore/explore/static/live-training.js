// <live-training>: start a training, watch loss, accuracy, filters and the confusion matrix change, stop it.
import { attempt, post } from "./api.js";
import { css, signed, textOn } from "./colours.js";
import { drawLines } from "./line-chart.js";
import { paint, unpackAll } from "./map-view.js";

const PAUSE = 400; // milliseconds between questions how far it is
const STATUS = { idle: "Not started.", running: "Training ..", finished: "Finished.", stopped: "Stopped.", failed: "Failed:" };
const DIGITS = [...Array(10).keys()];

const MARKUP = `
  <div class="controls"><section class="panel">
    <h2>Training</h2>
    <div class="settings">
      <label>Learning rate <input class="rate" type="number" min="0.000001" max="10" step="any" value="0.002"></label>
      <label>Epochs <input class="epochs" type="number" min="1" max="5" value="2"></label>
    </div>
    <div class="row"><button type="button" class="start">Start</button>
      <button type="button" class="stop" disabled>Stop</button></div>
    <p class="status" aria-live="polite"></p>
    <progress value="0" aria-label="Progress"></progress>
    <h2>Filters of the first layer</h2>
    <div class="slices filters"></div>
  </section></div>
  <div class="results">
    <section class="panel"><h2>Loss</h2><svg class="loss" role="img" aria-label="Loss over the batches"></svg></section>
    <section class="panel"><h2>Accuracy</h2><svg class="accuracy" role="img" aria-label="Accuracy over the batches"></svg>
      <p class="hint">Orange: the batches that it learns from. Blue: 500 digits that it never learns from, now
        <output class="held-out">-</output>.</p></section>
    <section class="panel"><h2>Which digit is taken for which</h2>
      <table class="confusion">
        <caption>rows: the digit; columns: the answer</caption>
        <tr><td></td>${DIGITS.map((d) => `<th scope="col">${d}</th>`).join("")}</tr>
        ${DIGITS.map((d) => `<tr><th scope="row">${d}</th>${"<td></td>".repeat(10)}</tr>`).join("")}
      </table></section>
  </div>`;

class LiveTraining extends HTMLElement {
  async connectedCallback() {
    if (this.querySelector(".start")) return;
    this.innerHTML = MARKUP;
    this.find = (name) => this.querySelector(`.${name}`);
    this.points = [];
    this.find("start").addEventListener("click", () => attempt(() => this.start()));
    this.find("stop").addEventListener("click", () => attempt(() => this.stop()));
    this.drawCharts();
    await attempt(() => this.follow());
  }

  disconnectedCallback() {
    clearTimeout(this.timer);
  }

  async start() {
    const number = (name) => (this.find(name).value === "" ? null : Number(this.find(name).value));
    const answer = await post("training-start", { rate: number("rate"), epochs: number("epochs") });
    this.points = [];
    this.show(answer);
  }

  async stop() {
    clearTimeout(this.timer);
    this.show(await post("training-stop", { since: this.points.length }));
  }

  async follow() {
    this.show(await post("training", { since: this.points.length }));
  }

  show({ status, error, batches, points, count, confusion, filters }) {
    // Another page may have begun anew.
    this.points = this.points.length + points.length === count ? [...this.points, ...points] : [];
    const last = this.points.at(-1);
    const running = status === "running";
    this.find("start").disabled = running;
    this.find("stop").disabled = !running;
    this.find("status").textContent = `${STATUS[status]} ${error} ${last ? `${last.batch} of ${batches} batches.` : ""}`;
    this.querySelector("progress").max = batches || 1;
    this.querySelector("progress").value = last?.batch ?? 0;
    this.batches = batches;
    this.drawCharts();
    if (last) this.find("held-out").textContent = `${(100 * last.held_out).toFixed(1)} %`;
    if (filters) this.showFilters(unpackAll(filters));
    if (confusion) this.showConfusion(confusion);
    clearTimeout(this.timer);
    if (running && this.isConnected) this.timer = setTimeout(() => attempt(() => this.follow()), PAUSE);
  }

  drawCharts() {
    const line = (name, colour) => ({ colour, points: this.points.map((point) => [point.batch, point[name]]) });
    const right = Math.max(this.batches ?? 0, 1);
    const top = Math.max(2.5, ...this.points.map(({ loss }) => loss));
    drawLines(this.find("loss"), [line("loss", "orange")], right, top, (value) => value.toPrecision(2));
    drawLines(this.find("accuracy"), [line("accuracy", "orange"), line("held_out", "blue")], right, 1, (value) => `${100 * value} %`);
  }

  showFilters(filters) {
    const place = this.find("filters");
    if (place.children.length !== filters.length) {
      place.replaceChildren(...filters.map(() => document.createElement("canvas")));
    }
    const limit = Math.max(...filters.map(({ lowest, highest }) => Math.max(-lowest, highest)));
    filters.forEach((filter, i) => paint(place.children[i], filter, { limit, bothSigns: true }));
  }

  showConfusion(counts) {
    const rows = [...this.find("confusion").rows].slice(1);
    counts.forEach((row, r) => {
      const most = Math.max(1, row.reduce((a, b) => a + b));
      row.forEach((count, c) => {
        const cell = rows[r].cells[c + 1];
        const shade = signed(c === r ? -count : count, most);
        cell.textContent = count || "";
        cell.style.background = count ? css(shade) : "";
        cell.style.color = textOn(shade);
      });
    });
  }
}

customElements.define("live-training", LiveTraining);
