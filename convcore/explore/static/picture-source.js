// <picture-source picture="cat" kind="grey" samples="pictures" way="samples">: a sample (of "pictures" or "digits"), the
// user's own file, or a drawing. Sends the event "picture" with {height, width, channels, pixels}, "grey" or in "colour".
import { attempt, choices, get, upload } from "./api.js";
import "./drawing-pad.js";

const WAYS = { samples: "Samples", upload: "Upload", draw: "Draw" };

class PictureSource extends HTMLElement {
  async connectedCallback() {
    if (this.querySelector(".ways")) return;
    this.kind = this.getAttribute("kind") ?? "grey";
    const group = `way-${Math.random().toString(36).slice(2)}`;
    this.innerHTML = `
      <fieldset class="ways"><legend>Picture</legend>
        ${Object.entries(WAYS)
          .map(([way, title]) => `<label><input type="radio" name="${group}" value="${way}"> ${title}</label>`)
          .join("")}
      </fieldset>
      <div class="way samples"></div>
      <div class="way upload"><label class="drop">Choose a picture or drop one here
        <input type="file" accept="image/*"></label></div>
      <div class="way draw"><drawing-pad size="32" pen="${this.getAttribute("pen") ?? 2}"></drawing-pad></div>`;
    this.addEventListener("change", (event) => {
      if (event.target.name === group) this.turnTo(event.target.value);
    });
    this.querySelector("drawing-pad").addEventListener("draw", (event) => this.send(event.detail));
    this.listenForFiles();
    this.turnTo(this.getAttribute("way") ?? "samples");
    await attempt(() => this.offerSamples());
  }

  turnTo(way) {
    this.querySelector(`input[value=${way}]`).checked = true;
    for (const part of this.querySelectorAll(".way")) part.hidden = !part.classList.contains(way);
    if (way === "draw") this.send(this.querySelector("drawing-pad").picture());
  }

  async offerSamples() {
    const pictures = (await choices())[this.getAttribute("samples") ?? "pictures"];
    const place = this.querySelector(".samples");
    for (const { name, title } of pictures) {
      const button = document.createElement("button");
      button.type = "button";
      button.value = name;
      button.title = title;
      button.setAttribute("aria-label", title);
      const image = document.createElement("img");
      image.src = `/pictures/${name}.png`;
      image.alt = "";
      image.width = image.height = 56;
      button.append(image);
      button.addEventListener("click", () => attempt(() => this.choose(name)));
      place.append(button);
    }
    if (!this.querySelector(".samples").hidden) await this.choose(this.getAttribute("picture") ?? pictures[0].name);
  }

  async choose(name) {
    for (const button of this.querySelectorAll(".samples button")) {
      button.setAttribute("aria-pressed", button.value === name);
    }
    this.send(await get(`/api/pictures/${name}?kind=${this.kind}`));
  }

  listenForFiles() {
    const field = this.querySelector("input[type=file]");
    const zone = this.querySelector(".drop");
    const take = (file) => file && attempt(async () => this.send(await upload(file, this.kind)));
    field.addEventListener("change", () => take(field.files[0]));
    zone.addEventListener("dragover", (event) => event.preventDefault());
    zone.addEventListener("drop", (event) => {
      event.preventDefault();
      take(event.dataTransfer.files[0]);
    });
  }

  send(picture) {
    this.dispatchEvent(new CustomEvent("picture", { detail: picture, bubbles: true }));
  }
}

customElements.define("picture-source", PictureSource);
