// <drawing-pad size="32">: white on black, drawn with the pointer, or with arrow keys and space. Sends the event "draw"
// with {height, width, pixels}.
const DETAIL = 8; // factor between the drawing's and the picture's resolution, for smooth lines

export class DrawingPad extends HTMLElement {
  connectedCallback() {
    if (this.canvas) return;
    this.size = Number(this.getAttribute("size"));
    this.innerHTML = `
      <div class="pad"><canvas tabindex="0" role="application"
        aria-label="Drawing pad: arrow keys move the pen, space draws, Delete clears"></canvas><i hidden></i></div>
      <div class="row">
        <label><input type="checkbox" class="erase"> erase</label>
        <button type="button" class="clear">Clear</button>
      </div>`;
    this.canvas = this.querySelector("canvas");
    this.canvas.width = this.canvas.height = this.size * DETAIL;
    this.context = this.canvas.getContext("2d", { willReadFrequently: true });
    this.small = new OffscreenCanvas(this.size, this.size).getContext("2d", { willReadFrequently: true });
    this.small.imageSmoothingQuality = "high";
    this.pen = { x: this.canvas.width / 2, y: this.canvas.height / 2 };
    this.querySelector(".clear").addEventListener("click", () => this.clear());
    this.canvas.addEventListener("pointerdown", (event) => this.begin(event));
    this.canvas.addEventListener("pointermove", (event) => this.move(event));
    this.canvas.addEventListener("keydown", (event) => this.key(event));
    this.canvas.addEventListener("blur", () => (this.querySelector("i").hidden = true));
    this.blank();
  }

  place(event) {
    const box = this.canvas.getBoundingClientRect();
    const scale = this.canvas.width / box.width;
    return { x: (event.clientX - box.left) * scale, y: (event.clientY - box.top) * scale };
  }

  begin(event) {
    this.canvas.setPointerCapture(event.pointerId);
    this.pen = this.place(event);
    this.line(this.pen);
  }

  move(event) {
    if (event.buttons & 1) this.line(this.place(event));
  }

  line(to) {
    const context = this.context;
    const width = DETAIL * Number(this.getAttribute("pen") ?? 2);
    context.strokeStyle = context.fillStyle = this.querySelector(".erase").checked ? "black" : "white";
    context.lineWidth = width;
    context.lineCap = "round";
    context.beginPath();
    context.moveTo(this.pen.x, this.pen.y);
    context.lineTo(to.x, to.y);
    context.stroke();
    context.beginPath(); // a line without length draws nothing; a dot is visible
    context.arc(to.x, to.y, width / 2, 0, 2 * Math.PI);
    context.fill();
    this.pen = to;
    this.send();
  }

  key(event) {
    const step = { ArrowUp: [0, -1], ArrowDown: [0, 1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] }[event.key];
    if (!step && event.key !== " " && event.key !== "Delete") return;
    event.preventDefault();
    if (event.key === "Delete") this.clear();
    else if (event.key === " ") this.line({ ...this.pen });
    else {
      const inside = (value) => Math.max(0, Math.min(this.canvas.width, value));
      this.pen = { x: inside(this.pen.x + DETAIL * step[0]), y: inside(this.pen.y + DETAIL * step[1]) };
    }
    const cross = this.querySelector("i");
    cross.hidden = false;
    cross.style.left = `${(100 * this.pen.x) / this.canvas.width}%`;
    cross.style.top = `${(100 * this.pen.y) / this.canvas.height}%`;
  }

  blank() {
    this.context.fillStyle = "black";
    this.context.fillRect(0, 0, this.canvas.width, this.canvas.height);
  }

  clear() {
    this.blank();
    this.send();
  }

  picture() {
    const size = this.size;
    this.small.drawImage(this.canvas, 0, 0, size, size);
    const rgba = this.small.getImageData(0, 0, size, size).data;
    let text = "";
    for (let i = 0; i < rgba.length; i += 4) text += String.fromCharCode(rgba[i]);
    return { height: size, width: size, pixels: btoa(text) };
  }

  send() {
    this.dispatchEvent(new CustomEvent("draw", { detail: this.picture(), bubbles: true }));
  }
}

customElements.define("drawing-pad", DrawingPad);
