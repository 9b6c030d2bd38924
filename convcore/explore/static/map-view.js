// <map-view name="response">: a grid of values as a picture. Pointing at a cell, or moving with the arrow keys, sends
// the event "inspect" {row, column}; `mark` draws frames around cells.
import { brief, grey, heat, signed } from "./colours.js";

const SVG = "http://www.w3.org/2000/svg";

// {height, width, values} with the values in the server's format, or the pixels of a picture.
export function unpack(map) {
  const bytes = Uint8Array.from(atob(map.values ?? map.pixels), (c) => c.charCodeAt(0));
  return map.values
    ? { ...map, values: new Float32Array(bytes.buffer) }
    : { ...map, values: Float32Array.from(bytes, (b) => b / 255), lowest: 0, highest: 1, colour: map.channels === 3 };
}

// Several maps, {count, height, width, values}, as a list; each has its own lowest and highest value.
export function unpackAll(maps) {
  const { count, height, width, values } = unpack(maps);
  return Array.from({ length: count }, (_, i) => {
    const own = values.subarray(i * height * width, (i + 1) * height * width);
    return { height, width, values: own, lowest: own.reduce((a, b) => Math.min(a, b)), highest: own.reduce((a, b) => Math.max(a, b)) };
  });
}

// Draw a map into a canvas of its size: grey, blue to red if there are negative values, a picture in colour, or
// heat over a picture `under`.
export function paint(canvas, map, { top = map.highest, limit = Math.max(-map.lowest, map.highest), bothSigns = map.lowest < 0, under = null } = {}) {
  const { height, width, values } = map;
  canvas.width = width;
  canvas.height = height;
  const context = canvas.getContext("2d");
  const image = context.createImageData(width, height);
  const pixel = (of, i) => (of.colour ? [0, 1, 2].map((c) => 255 * of.values[3 * i + c]) : grey(of.values[i], 0, 1));
  for (let i = 0; i < height * width; i++) {
    let colour;
    if (map.colour) colour = pixel(map, i);
    else if (under) colour = heat(pixel(under, i), values[i], top);
    else colour = bothSigns ? signed(values[i], limit) : grey(values[i], 0, top);
    image.data.set([...colour, 255], 4 * i);
  }
  context.putImageData(image, 0, 0);
}

export class MapView extends HTMLElement {
  connectedCallback() {
    if (this.map !== undefined) return;
    this.map = null;
    this.innerHTML = `
      <figure>
        <div class="frame"><canvas width="1" height="1"></canvas><svg aria-hidden="true"></svg></div>
        <figcaption><b></b> <span class="size"></span><div><i class="bar"></i> <span class="range"></span></div></figcaption>
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

  // The picture keeps its aspect ratio inside the square frame.
  cellAt(event) {
    if (!this.map) return null;
    const { height, width } = this.map;
    const box = this.frame.getBoundingClientRect();
    const scale = Math.min(box.width / width, box.height / height);
    const row = Math.floor((event.clientY - box.top - (box.height - height * scale) / 2) / scale);
    const column = Math.floor((event.clientX - box.left - (box.width - width * scale) / 2) / scale);
    return row >= 0 && row < height && column >= 0 && column < width ? { row, column } : null;
  }

  // `under`: a picture of the same size under the map, drawn as heat. A few outliers would leave the rest without heat.
  show(map, under = null) {
    this.map = map;
    const { height, width, lowest, highest } = map;
    const bothSigns = lowest < 0;
    const most = under ? map.values.toSorted()[Math.floor(0.99 * (map.values.length - 1))] : highest;
    paint(this.canvas, map, { top: this.getAttribute("scale") === "unit" ? 1 : most, under });
    this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
    this.svg.replaceChildren();
    this.querySelector(".bar").className = `bar ${under ? "heat" : bothSigns ? "signed" : "grey"}`;
    this.querySelector(".size").textContent = `${height} × ${width}`;
    this.querySelector(".range").textContent = `${brief(lowest)} to ${brief(highest)}`;
    this.canvas.setAttribute("aria-label", `${this.getAttribute("name")}, ${height} by ${width}, from ${brief(lowest)} to ${brief(highest)}`);
    if (this.cell && (this.cell.row >= height || this.cell.column >= width)) this.cell = null;
  }

  // A frame around a part of the picture; positions outside are padding.
  markBox({ top, left, height, width }) {
    this.svg.replaceChildren(rectangle(top, left, height, width, "window"));
  }

  // Frames around cells, given by rows and columns; cells may lie outside, on the padding.
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
