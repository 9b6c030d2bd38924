// Lines over batches in an SVG, from 0 to `right` and from 0 to `top`, with four marked levels.
const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT, LEFT, ABOVE, BELOW] = [600, 200, 76, 18, 28];

function shape(kind, attributes, text = "") {
  const node = document.createElementNS(SVG, kind);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return node;
}

export function drawLines(svg, lines, right, top, format) {
  const x = (value) => LEFT + ((WIDTH - LEFT - 10) * value) / right;
  const y = (value) => ABOVE + (HEIGHT - BELOW - ABOVE) * (1 - value / top);
  svg.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
  svg.classList.add("chart");
  const levels = [0, 0.25, 0.5, 0.75, 1].flatMap((share) => [
    shape("line", { x1: LEFT, x2: WIDTH - 10, y1: y(share * top), y2: y(share * top) }),
    shape("text", { x: LEFT - 6, y: y(share * top) + 4, "text-anchor": "end" }, format(share * top)),
  ]);
  const ends = [
    shape("text", { x: LEFT, y: HEIGHT - 4 }, "0"),
    shape("text", { x: WIDTH - 10, y: HEIGHT - 4, "text-anchor": "end" }, right > 1 ? `${right} batches` : "batches"),
  ];
  const drawn = lines.map(({ points, colour }) =>
    shape("polyline", { class: colour, points: points.map(([a, b]) => `${x(a).toFixed(1)},${y(b).toFixed(1)}`).join(" ") }),
  );
  svg.replaceChildren(...levels, ...ends, ...drawn);
}
