// <algorithm-times>: the cost of a layer by each algorithm: counted multiplications, and time measured on request.
import { attempt, choices, post } from "./api.js";

const TITLES = {
  im2col: "im2col",
  direct: "direct",
  winograd2x2: "Winograd F(2×2, 3×3)",
  winograd: "Winograd F(4×4, 3×3)",
};

class AlgorithmTimes extends HTMLElement {
  async connectedCallback() {
    if (this.querySelector("table")) return;
    this.innerHTML = `
      <section class="panel">
        <h2>On this machine</h2>
        <div class="row player">
          <label>Layer <select class="case"></select></label>
          <button type="button" class="measure">Measure</button>
        </div>
        <table class="costs">
          <thead><tr><th>Algorithm<th>Multiplications<th colspan="2">Time</tr></thead>
          <tbody>${Object.entries(TITLES)
            .map(([name, title]) => `<tr class="${name}"><th>${title}</th><td class="count"></td><td class="time"></td><td><meter aria-label="of the slowest time"></meter></td></tr>`)
            .join("")}</tbody>
        </table>
        <p class="hint">Forward, one image, 3×3 filters. The median of seven interleaved rounds, <span class="threads">on all threads</span>.</p>
      </section>`;
    this.querySelector(".measure").addEventListener("click", () => attempt(() => this.measure()));
    await attempt(async () => {
      for (const { name, title } of (await choices()).cases) this.querySelector(".case").add(new Option(title, name));
    });
  }

  async measure() {
    const button = this.querySelector(".measure");
    button.disabled = true;
    try {
      const { threads, costs } = await post("measure", { case: this.querySelector(".case").value });
      const slowest = Math.max(...costs.map(({ seconds }) => seconds));
      for (const { algorithm, multiplications, seconds } of costs) {
        const row = this.querySelector(`tr.${algorithm}`);
        row.querySelector(".count").textContent = multiplications.toLocaleString("en");
        row.querySelector(".time").textContent = `${(1000 * seconds).toPrecision(3)} ms`;
        row.querySelector("meter").value = seconds / slowest;
      }
      this.querySelector(".threads").textContent = `on ${threads} thread${threads > 1 ? "s" : ""}`;
    } finally {
      button.disabled = false;
      if (document.activeElement === document.body) button.focus(); // a disabled button loses the focus
    }
  }
}

customElements.define("algorithm-times", AlgorithmTimes);
