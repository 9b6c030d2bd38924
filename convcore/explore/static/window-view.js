// <window-view>: the sum behind one pixel: the patch, times the filter, gives products; their sum is the output.
import { brief, css, grey, signed, textOn } from "./colours.js";

function table(title, rows, colour, digits) {
  const node = document.createElement("table");
  node.createCaption().textContent = title;
  for (const row of rows) {
    const line = node.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      const shade = colour(value);
      cell.textContent = brief(value, digits);
      cell.style.background = css(shade);
      cell.style.color = textOn(shade);
    }
  }
  return node;
}

// Items that stay on one line.
function together(...parts) {
  const node = document.createElement("div");
  node.append(...parts);
  return node;
}

const sign = (text) => Object.assign(document.createElement("span"), { className: "sign", textContent: text });

class WindowView extends HTMLElement {
  connectedCallback() {
    if (this.tables) return;
    this.innerHTML = `
      <div class="tables"></div>
      <p class="sum" aria-live="polite">sum of the products: <output></output><small></small></p>`;
    this.tables = this.firstElementChild;
  }

  show({ patch, kernel, products, total, row, column }) {
    const largest = (rows) => Math.max(...rows.flat().map(Math.abs));
    const [ofKernel, ofProducts] = [largest(kernel), largest(products)];
    const digits = kernel.length > 5 ? 2 : 3; // so that three large tables fit side by side
    this.querySelector("output").textContent = brief(total);
    this.querySelector("small").textContent = ` is the response at row ${row}, column ${column}`;
    this.tables.className = `tables k${kernel.length}`;
    this.tables.replaceChildren(
      table("patch", patch, (value) => grey(value, 0, 1), digits),
      together(sign("×"), table("filter", kernel, (value) => signed(value, ofKernel), digits)),
      together(sign("="), table("products", products, (value) => signed(value, ofProducts), digits)),
    );
  }
}

customElements.define("window-view", WindowView);
