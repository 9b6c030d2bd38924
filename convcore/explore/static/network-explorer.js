// <network-explorer network="digit_cnn" layer="features.2">: a picture, a trained network's classes for it, the feature
// maps, and the pixels that are evidence for a class.
import { attempt, choices, newestOnly, post } from "./api.js";
import { brief } from "./colours.js";
import { paint, unpack, unpackAll } from "./map-view.js";
import "./picture-source.js";

const MARKUP = `
  <div class="controls">
    <section class="panel">
      <label>Network <select class="network"></select></label>
      <div class="source"></div>
    </section>
    <section class="panel answer">
      <h2>What it says: <output class="verdict"></output></h2>
      <ol class="chances"></ol>
    </section>
  </div>
  <div class="results">
    <section class="panel why">
      <h2>Why</h2>
      <div class="maps three">
        <map-view name="what it gets" class="input" scale="unit"></map-view>
        <map-view name="saliency" class="saliency"></map-view>
        <map-view name="Grad-CAM" class="cam"></map-view>
      </div>
      <p class="hint">Evidence for <b class="target"></b>. Saliency: how much its score changes with each pixel. Grad-CAM:
        where the last feature maps are evidence for it; grey: nowhere. <span class="empty"></span> Choose another class under “What it says”.
        <span class="preparation"></span></p>
    </section>
    <section class="panel">
      <h2>Feature maps</h2>
      <div class="settings"><label>Layer <select class="layer"></select></label> <span class="about"></span></div>
      <div class="channels" role="group" aria-label="Channels of the layer"></div>
      <div class="maps two unit">
        <map-view name="channel" class="channel" inspect></map-view>
        <div>
          <p class="unit-text" aria-live="polite"></p>
          <p class="filter-text"></p>
          <div class="slices"></div>
        </div>
      </div>
    </section>
  </div>`;

class NetworkExplorer extends HTMLElement {
  async connectedCallback() {
    if (this.querySelector(".controls")) return;
    this.innerHTML = MARKUP;
    this.find = (name) => this.querySelector(`.${name}`);
    this.channel = 0;
    this.place = null; // the selected unit: {row, column}
    this.target = null; // the class that is explained; null for the most likely
    this.look = newestOnly(() => this.compute());
    this.explain = newestOnly(() => this.attribute());
    this.showUnit = newestOnly(() => this.takeApart());
    this.addEventListener("picture", (event) => {
      this.picture = event.detail;
      this.look();
    });
    this.find("layer").addEventListener("change", () => {
      this.channel = 0;
      this.place = null;
      this.look();
    });
    this.find("network").addEventListener("change", () => attempt(() => this.turnTo(this.find("network").value)));
    this.find("channel").addEventListener("inspect", ({ detail }) => {
      this.place = detail;
      this.showUnit();
    });
    await attempt(() => this.offer());
  }

  async offer() {
    const { networks } = await choices();
    this.networks = new Map(networks.map((network) => [network.name, network]));
    for (const { name, title } of networks) this.find("network").add(new Option(title, name));
    await this.turnTo(this.getAttribute("network") ?? networks[0].name);
  }

  async turnTo(name) {
    const { layers } = await post("network", { network: name });
    const { samples, kind } = this.networks.get(name);
    this.layers = new Map(layers.map((layer) => [layer.name, layer]));
    this.network = this.find("network").value = name;
    [this.picture, this.target, this.channel, this.place] = [null, null, 0, null];
    const options = layers.map((layer) => new Option(`${layer.name}  ${layer.kind}`, layer.name));
    this.find("layer").replaceChildren(...options);
    this.find("layer").value = this.getAttribute("layer") ?? layers[Math.min(2, layers.length - 1)].name;
    if (!this.find("layer").value) this.find("layer").value = layers[0].name;
    const source = document.createElement("picture-source");
    for (const [key, value] of Object.entries({ samples, kind, pen: 3 })) source.setAttribute(key, value);
    if (samples === "digits") source.setAttribute("picture", "digit-3");
    this.find("source").replaceChildren(source);
    this.find("preparation").textContent =
      samples === "digits" ? "The network gets the drawing scaled and centred like its training digits." : "";
  }

  request() {
    return { network: this.network, picture: this.picture, layer: this.find("layer").value };
  }

  async compute() {
    if (!this.picture) return;
    const answer = await post("look", this.request());
    this.input = unpack(answer.input);
    this.find("input").show(this.input);
    this.showChances(answer);
    const layer = this.layers.get(this.find("layer").value);
    const shown = answer.maps.count < answer.channels ? `, the first ${answer.maps.count} are shown` : "";
    this.find("about").textContent =
      `${answer.channels} channels of ${layer.height} × ${layer.width}${shown}. A unit sees ${layer.field[0]} × ` +
      `${layer.field[1]} pixels of the picture; what its neighbour sees lies ${layer.stride[0]} further.`;
    this.maps = unpackAll(answer.maps);
    this.showChannels();
    this.explain();
  }

  showChances({ classes, best }) {
    const list = this.find("chances");
    if (list.children.length !== classes.length) {
      list.replaceChildren(...classes.map(() => this.chanceRow()));
    }
    classes.forEach(({ index, label, chance }, i) => {
      const button = list.children[i].firstElementChild;
      button.value = index;
      button.querySelector(".label").textContent = button.title = label;
      button.querySelector("meter").value = chance;
      button.querySelector(".chance").textContent = `${(100 * chance).toFixed(1)} %`;
      button.setAttribute("aria-pressed", index === (this.target ?? best));
      button.classList.toggle("best", index === best);
      if (index === best) this.find("verdict").textContent = label;
    });
  }

  chanceRow() {
    const row = document.createElement("li");
    row.innerHTML = `<button type="button"><span class="label"></span><meter></meter><span class="chance"></span></button>`;
    row.firstElementChild.addEventListener("click", ({ currentTarget }) => {
      const chosen = Number(currentTarget.value);
      this.target = this.target === chosen ? null : chosen;
      for (const button of this.querySelectorAll(".chances button")) {
        const pressed = this.target === null ? button.classList.contains("best") : Number(button.value) === this.target;
        button.setAttribute("aria-pressed", pressed);
      }
      this.explain();
    });
    return row;
  }

  async attribute() {
    if (!this.picture) return;
    const answer = await post("explain", { ...this.request(), target: this.target });
    this.find("saliency").show(unpack(answer.saliency), this.input);
    this.find("cam").show(unpack(answer.cam), this.input);
    this.find("target").textContent = answer.label;
    this.find("empty").textContent = answer.empty ? "Grad-CAM is empty: every position is evidence against this class." : "";
    if (this.box) this.find("input").markBox(this.box);
  }

  showChannels() {
    const place = this.find("channels");
    if (place.children.length !== this.maps.length) {
      place.replaceChildren(...this.maps.map((_, i) => this.channelButton(i)));
    }
    this.maps.forEach((map, i) => paint(place.children[i].firstElementChild, map));
    this.choose(this.channel);
  }

  channelButton(i) {
    const button = document.createElement("button");
    button.type = "button";
    button.setAttribute("aria-label", `channel ${i}`);
    button.append(document.createElement("canvas"));
    button.addEventListener("click", () => this.choose(i));
    return button;
  }

  choose(channel) {
    this.channel = Math.min(channel, this.maps.length - 1);
    for (const [i, button] of [...this.find("channels").children].entries()) {
      button.setAttribute("aria-pressed", i === this.channel);
    }
    const map = this.maps[this.channel];
    this.find("channel").show(map);
    if (!this.place || this.place.row >= map.height || this.place.column >= map.width) {
      this.place = { row: map.height >> 1, column: map.width >> 1 };
    }
    this.showUnit();
  }

  async takeApart() {
    const { network, layer } = this.request();
    const { row, column } = this.place;
    const found = await post("unit", { network, layer, channel: this.channel, row, column });
    const map = this.maps[this.channel];
    if (row >= map.height || column >= map.width) return; // another layer has been chosen in the meantime
    this.box = found;
    this.find("input").markBox(found);
    this.find("channel").mark([row], [column]);
    const value = document.createElement("b");
    value.textContent = brief(map.values[row * map.width + column]);
    this.find("unit-text").replaceChildren(
      `Channel ${this.channel} at row ${row}, column ${column} is `,
      value,
      `. It sees the rows ${found.top} to ${found.top + found.height - 1} and the columns ${found.left} to ` +
        `${found.left + found.width - 1} of the picture: the frame on it.`,
    );
    this.showFilter(found);
  }

  showFilter({ convolution, inputs, filter }) {
    const slices = filter ? unpackAll(filter) : [];
    const limit = Math.max(...slices.map((slice) => Math.max(-slice.lowest, slice.highest)), 0);
    const less = slices.length < inputs ? `, the first ${slices.length} shown` : "";
    this.find("filter-text").textContent = filter
      ? `Its filter, in ${convolution}: one grid of ${filter.height} × ${filter.width} weights for each of ${inputs} ` +
        `input channel${inputs > 1 ? "s" : ""}${less}. Blue is negative, red positive, up to ${brief(limit)}.`
      : "";
    this.find("slices").replaceChildren(
      ...slices.map((slice) => {
        const canvas = document.createElement("canvas");
        paint(canvas, slice, { limit, bothSigns: true });
        return canvas;
      }),
    );
    this.find("slices").classList.toggle("few", slices.length <= 4);
  }
}

customElements.define("network-explorer", NetworkExplorer);
