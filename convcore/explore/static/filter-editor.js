// <filter-editor filter="sobel_x">: a named filter or the user's weights. Sends the event "filter" with the grid: numbers,
// or the text of a cell that is not a number, which the server refuses with a message.
import { attempt, choices } from "./api.js";

const OWN = "own";

class FilterEditor extends HTMLElement {
  async connectedCallback() {
    if (this.querySelector("select")) return;
    this.innerHTML = `
      <label>Filter <select class="name"></select></label>
      <p class="detects"></p>
      <div class="grid" role="group" aria-label="Weights of the filter"></div>
      <label>Size <select class="size">${[1, 3, 5, 7].map((k) => `<option value="${k}">${k} × ${k}`).join("")}</select></label>`;
    await attempt(() => this.offer());
  }

  async offer() {
    const { filters } = await choices();
    this.filters = new Map(filters.map((filter) => [filter.name, filter]));
    const select = this.querySelector(".name");
    for (const { name, title } of filters) select.add(new Option(title, name));
    select.add(new Option("your own", OWN));
    select.addEventListener("change", () => this.choose(select.value));
    this.querySelector(".size").addEventListener("change", (event) => this.resize(Number(event.target.value)));
    this.choose(this.getAttribute("filter") ?? filters[0].name);
  }

  choose(name) {
    this.querySelector(".name").value = name;
    const filter = this.filters.get(name);
    this.querySelector(".detects").textContent = filter ? `Detects ${filter.detects}.` : "Type weights into the cells.";
    if (filter) this.draw(filter.kernel);
    this.send();
  }

  draw(kernel) {
    const grid = this.querySelector(".grid");
    this.querySelector(".size").value = kernel.length;
    grid.className = `grid k${kernel.length}`;
    grid.replaceChildren(
      ...kernel.flatMap((row, r) =>
        row.map((weight, s) => {
          const field = document.createElement("input");
          field.value = weight;
          field.inputMode = "text"; // a phone's keyboard for decimals may lack the minus
          field.setAttribute("aria-label", `row ${r + 1}, column ${s + 1}`);
          field.addEventListener("input", () => {
            this.querySelector(".name").value = OWN;
            this.querySelector(".detects").textContent = "Your own weights.";
            this.send();
          });
          return field;
        }),
      ),
    );
  }

  // A larger grid keeps the weights in its centre; a smaller grid keeps the central weights.
  resize(size) {
    const old = this.kernel();
    const shift = (old.length - size) / 2;
    const at = (r, s) => old[r + shift]?.[s + shift] ?? 0;
    this.draw(Array.from({ length: size }, (_, r) => Array.from({ length: size }, (_, s) => at(r, s))));
    this.querySelector(".name").value = OWN;
    this.querySelector(".detects").textContent = "Your own weights.";
    this.send();
  }

  kernel() {
    const values = [...this.querySelectorAll(".grid input")].map(({ value }) => {
      const number = Number(value);
      return value.trim() === "" || !Number.isFinite(number) ? value : number;
    });
    const size = Math.sqrt(values.length);
    return Array.from({ length: size }, (_, r) => values.slice(r * size, (r + 1) * size));
  }

  send() {
    this.dispatchEvent(new CustomEvent("filter", { detail: this.kernel(), bubbles: true }));
  }
}

customElements.define("filter-editor", FilterEditor);
