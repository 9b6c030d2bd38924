// <filter-playground picture="cat" filter="sobel_x">: a picture, a filter, the response; then ReLU and pooling.
import { newestOnly, post } from "./api.js";
import { unpack } from "./map-view.js";
import "./filter-editor.js";
import "./picture-source.js";
import "./window-view.js";

const MARKUP = `
  <div class="controls">
    <section class="panel"><picture-source></picture-source></section>
    <section class="panel">
      <filter-editor></filter-editor>
      <div class="settings">
        <label>Stride <input class="stride" type="number" min="1" max="8" value="1"></label>
        <label>Dilation <input class="dilation" type="number" min="1" max="8" value="1"></label>
        <label>Padding <select class="padding"><option>valid<option>same<option>number</select></label>
        <label>Zeros <input class="zeros" type="number" min="0" max="16" value="1"></label>
      </div>
    </section>
  </div>
  <div class="results">
    <section class="panel convolution">
      <h2>Convolution</h2>
      <div class="maps two">
        <map-view name="picture" scale="unit" class="input" inspect></map-view>
        <map-view name="response" class="response" inspect></map-view>
      </div>
    </section>
    <section class="panel">
      <h2>The size of the response</h2>
      <p class="hint">floor((pixels + zeros before + zeros after - dilation * (weights - 1) - 1) / stride) + 1</p>
      <p class="formula">
        <span>height = <output class="height"></output></span>
        <span>width = <output class="width"></output></span>
        <span><output class="multiplications"></output> multiplications</span>
      </p>
    </section>
    <section class="panel">
      <h2>The sum behind one pixel</h2>
      <window-view></window-view>
      <p class="hint">Point at another pixel of the picture or of the response, or tap it. By keyboard: Tab to one of them,
        then the arrow keys, with Shift ten pixels at a time.</p>
    </section>
    <section class="panel">
      <h2>ReLU and pooling</h2>
      <div class="settings">
        <label><input class="relu" type="checkbox" checked> ReLU: negative numbers become 0</label>
        <label>Pooling window <input class="pool" type="number" min="1" max="8" value="2"></label>
      </div>
      <div class="maps three">
        <map-view name="after ReLU" class="rectified"></map-view>
        <map-view name="max pooling" class="max"></map-view>
        <map-view name="average pooling" class="average"></map-view>
      </div>
    </section>
  </div>`;

class FilterPlayground extends HTMLElement {
  connectedCallback() {
    if (this.querySelector(".controls")) return;
    this.innerHTML = MARKUP;
    this.find = (name) => this.querySelector(`.${name}`);
    this.place = null; // the selected pixel: {of, row, column}; initially the response's centre
    this.convolve = newestOnly(() => this.compute());
    this.takeApart = newestOnly(() => this.look());
    for (const [selector, name] of [["picture-source", "picture"], ["filter-editor", "filter"]]) {
      if (this.hasAttribute(name)) this.querySelector(selector).setAttribute(name, this.getAttribute(name));
    }
    this.addEventListener("picture", (event) => {
      this.picture = event.detail;
      this.find("input").show(unpack(this.picture));
      this.convolve();
    });
    this.addEventListener("filter", (event) => {
      this.kernel = event.detail;
      this.convolve();
    });
    for (const field of this.querySelectorAll(".settings input, .settings select")) {
      field.addEventListener("input", () => this.settingsChanged());
    }
    for (const of of ["input", "response"]) {
      this.find(of).addEventListener("inspect", ({ detail }) => {
        this.place = { of, ...detail };
        this.takeApart();
      });
    }
    this.settingsChanged();
  }

  settingsChanged() {
    this.find("zeros").disabled = this.find("padding").value !== "number";
    this.convolve();
  }

  request() {
    const number = (name) => (this.find(name).value === "" ? null : Number(this.find(name).value));
    const padding = this.find("padding").value;
    return {
      picture: this.picture,
      kernel: this.kernel,
      stride: number("stride"),
      dilation: number("dilation"),
      padding: padding === "number" ? number("zeros") : padding,
    };
  }

  async compute() {
    if (!this.picture || !this.kernel) return;
    const request = { ...this.request(), relu: this.find("relu").checked, pool: Number(this.find("pool").value) };
    this.classList.add("busy");
    try {
      const answer = await post("convolve", request);
      for (const name of ["response", "rectified", "max", "average"]) this.find(name).show(unpack(answer[name]));
      for (const name of ["height", "width"]) this.find(name).textContent = answer[name];
      this.find("multiplications").textContent = answer.multiplications.toLocaleString("en");
    } finally {
      this.classList.remove("busy");
    }
    const { height, width } = this.find(this.place?.of ?? "response").map;
    this.place ??= { of: "response", row: height >> 1, column: width >> 1 };
    this.place.row = Math.min(this.place.row, height - 1);
    this.place.column = Math.min(this.place.column, width - 1);
    this.takeApart();
  }

  async look() {
    const found = await post("window", { ...this.request(), ...this.place });
    this.querySelector("window-view").show(found);
    this.find("input").mark(found.rows, found.columns);
    this.find("response").mark([found.row], [found.column]);
  }
}

customElements.define("filter-playground", FilterPlayground);
