// <map-view name="response">: a grid of numbers as a picture. Pointing at a cell, or moving with the arrow keys, sends
// the event "inspect" {row, column}; `mark` draws frames around cells.
import { brief, grey, signed } from "./colours.js";

const SVG = "http://www.w3.org/2000/svg";

// {height, width, values} with the values as the server packs them, or the pixels of a picture.
export function unpack(map) {
  const bytes = Uint8Array.from(atob(map.values ?? map.pixels), (c) => c.charCodeAt(0));
  return map.values
    ? { ...map, values: new Float32Array(bytes.buffer) }
    : { ...map, values: Float32Array.from(bytes, (b) => b / 255), lowest: 0, highest: 1 };
}

export class MapView extends HTMLElement {
  connectedCallback() {
    if (this.map !== undefined) return;
    this.map = null;
    this.innerHTML = `
      <figure>
        <div class="frame"><canvas width="1" height="1"></canvas><svg aria-hidden="true"></svg></div>
        <figcaption><b></b> <span class="size"></span><br><i class="bar"></i> <span class="range"></span></figcaption>
      </figure>`;
    this.frame = this.querySelector(".frame");
    this.canvas = this.querySelector("canvas");
    this.svg = this.querySelector("svg");
    this.querySelector("b").textContent = this.getAttribute("name");
    this.canvas.setAttribute("role", "img");
    if (this.hasAttribute("inspect")) this.listen();
  }

  listen() {
    this.frame.tabIndex = 0;
    this.frame.setAttribute("role", "application");
    this.frame.setAttribute("aria-label", `${this.getAttribute("name")}: the arrow keys choose a pixel`);
    this.cell = null;
    const point = (event) => {
      const cell = this.cellAt(event);
      if (cell) this.inspect(cell);
    };
    this.frame.addEventListener("pointermove", point);
    this.frame.addEventListener("pointerdown", point);
    this.frame.addEventListener("keydown", (event) => {
      const step = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] }[event.key];
      if (!step || !this.map) return;
      event.preventDefault();
      const by = event.shiftKey ? 10 : 1;
      const from = this.cell ?? { row: this.map.height >> 1, column: this.map.width >> 1 };
      this.inspect({
        row: Math.max(0, Math.min(this.map.height - 1, from.row + by * step[0])),
        column: Math.max(0, Math.min(this.map.width - 1, from.column + by * step[1])),
      });
    });
  }

  inspect(cell) {
    if (this.cell && this.cell.row === cell.row && this.cell.column === cell.column) return;
    this.cell = cell;
    this.dispatchEvent(new CustomEvent("inspect", { detail: cell, bubbles: true }));
  }

  // The picture keeps its proportions inside of the square frame.
  cellAt(event) {
    if (!this.map) return null;
    const { height, width } = this.map;
    const box = this.frame.getBoundingClientRect();
    const scale = Math.min(box.width / width, box.height / height);
    const row = Math.floor((event.clientY - box.top - (box.height - height * scale) / 2) / scale);
    const column = Math.floor((event.clientX - box.left - (box.width - width * scale) / 2) / scale);
    return row >= 0 && row < height && column >= 0 && column < width ? { row, column } : null;
  }

  show(map) {
    this.map = map;
    const { height, width, values, lowest, highest } = map;
    const bothSigns = lowest < 0;
    const limit = Math.max(-lowest, highest);
    const top = this.getAttribute("scale") === "unit" ? 1 : highest;
    this.canvas.width = width;
    this.canvas.height = height;
    const context = this.canvas.getContext("2d");
    const image = context.createImageData(width, height);
    for (let i = 0; i < values.length; i++) {
      const [red, green, blue] = bothSigns ? signed(values[i], limit) : grey(values[i], 0, top);
      image.data.set([red, green, blue, 255], 4 * i);
    }
    context.putImageData(image, 0, 0);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    this.querySelector(".bar").className = `bar ${bothSigns ? "signed" : "grey"}`;
    this.querySelector(".size").textContent = `${height} × ${width}`;
    this.querySelector(".range").textContent = `${brief(lowest)} to ${brief(highest)}`;
    this.canvas.setAttribute("aria-label", `${this.getAttribute("name")}, ${height} by ${width}, from ${brief(lowest)} to ${brief(highest)}`);
    if (this.cell && (this.cell.row >= height || this.cell.column >= width)) this.cell = null;
  }

  // Frames around cells, given by their rows and columns; they may lie outside, on the padding.
  mark(rows, columns) {
    this.svg.replaceChildren();
    for (const row of rows) {
      for (const column of columns) this.svg.append(rectangle(row, column, 1, 1, "cell"));
    }
    const [top, left] = [Math.min(...rows), Math.min(...columns)];
    const [bottom, right] = [Math.max(...rows) + 1, Math.max(...columns) + 1];
    this.svg.append(rectangle(top, left, bottom - top, right - left, "window"));
  }
}

function rectangle(row, column, height, width, kind) {
  const node = document.createElementNS(SVG, "rect");
  for (const [name, value] of Object.entries({ x: column, y: row, width, height, class: kind })) {
    node.setAttribute(name, value);
  }
  return node;
}

customElements.define("map-view", MapView);
