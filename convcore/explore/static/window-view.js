// <window-view>: the sum behind one pixel: the patch, times the filter, gives products; their sum is the output.
import { brief, css, grey, signed, textOn } from "./colours.js";

function table(title, rows, colour) {
  const node = document.createElement("table");
  node.createCaption().textContent = title;
  for (const row of rows) {
    const line = node.insertRow();
    for (const value of row) {
      const cell = line.insertCell();
      const shade = colour(value);
      cell.textContent = brief(value);
      cell.style.background = css(shade);
      cell.style.color = textOn(shade);
    }
  }
  return node;
}

// Things that stay on one line.
function together(...parts) {
  const node = document.createElement("div");
  node.append(...parts);
  return node;
}

const sign = (text) => Object.assign(document.createElement("span"), { className: "sign", textContent: text });

class WindowView extends HTMLElement {
  show({ patch, kernel, products, total, row, column }) {
    const largest = (rows) => Math.max(...rows.flat().map(Math.abs));
    const [ofKernel, ofProducts] = [largest(kernel), largest(products)];
    const sum = document.createElement("p");
    sum.className = "sum";
    sum.innerHTML = `sum of the products: <output></output><small></small>`;
    sum.querySelector("output").textContent = brief(total);
    sum.querySelector("small").textContent = ` is the response at row ${row}, column ${column}`;
    const shown = document.createElement("div");
    shown.className = `tables k${kernel.length}`;
    shown.append(
      table("patch", patch, (value) => grey(value, 0, 1)),
      together(sign("×"), table("filter", kernel, (value) => signed(value, ofKernel))),
      together(sign("="), table("products", products, (value) => signed(value, ofProducts))),
    );
    this.replaceChildren(shown, sum);
  }
}

customElements.define("window-view", WindowView);
