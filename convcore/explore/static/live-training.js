// <live-training>: start a training, watch loss, accuracy, filters and the confusion matrix change, stop it.
import { attempt, post } from "./api.js";
import { css, signed, textOn } from "./colours.js";
import { drawLines } from "./line-chart.js";
import { paint, unpackAll } from "./map-view.js";

const PAUSE = 400; // milliseconds between requests for the state
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
    <div class="charts">
      <section class="panel"><h2>Loss</h2><svg class="loss" role="img" aria-label="Loss over the batches"></svg></section>
      <section class="panel"><h2>Accuracy</h2>
        <svg class="accuracy" role="img" aria-label="Accuracy over the batches"></svg></section>
      <p class="hint">Orange: the training batches. Blue: 500 held-out digits, of which <b class="held-out">..</b> are
        classified correctly.</p>
    </div>
    <section class="panel"><h2>Confusion matrix: true digit, predicted digit</h2>
      <table class="confusion">
        <caption>Of the 500 digits. Rows: the digit; columns: the answer. Blue: right; red: mistaken.</caption>
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
    await this.show(answer);
  }

  async stop() {
    clearTimeout(this.timer);
    await this.show(await post("training-stop", { since: this.points.length }));
  }

  async follow() {
    await this.show(await post("training", { since: this.points.length }));
  }

  show({ run, since, status, error, batches, points, confusion, filters }) {
    if (run !== this.run) {
      [this.run, this.points] = [run, []];
      if (since > 0) return this.follow(); // another page has started a new training
    }
    // Answers may arrive out of order; known snapshots are kept.
    if (since + points.length > this.points.length) this.points = [...this.points.slice(0, since), ...points];
    const last = this.points.at(-1);
    const running = status === "running";
    this.enable(running);
    this.find("status").textContent = `${STATUS[status]} ${error} ${batches ? `${last?.batch ?? 0} of ${batches} batches.` : ""}`;
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

  // Move the focus to the button that is enabled now.
  enable(running) {
    const [start, stop] = [this.find("start"), this.find("stop")];
    const pressed = [start, stop].includes(document.activeElement);
    [start.disabled, stop.disabled] = [running, !running];
    if (pressed) (running ? stop : start).focus();
  }

  drawCharts() {
    const line = (name, colour) => ({ colour, points: this.points.map((point) => [point.batch, point[name]]) });
    const right = Math.max(this.batches ?? 0, 1);
    const top = 0.4 * Math.ceil(Math.max(2.4, ...this.points.map(({ loss }) => loss)) / 0.4);
    drawLines(this.find("loss"), [line("loss", "orange")], right, top, (value) => value.toFixed(1));
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
