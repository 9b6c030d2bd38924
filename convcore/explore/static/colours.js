// From values to colours: grey for 0 to 1, blue - white - red around 0 for values of both signs.
const BLUE = [33, 102, 172];
const WHITE = [247, 247, 247];
const RED = [178, 24, 43];

const mix = (a, b, share) => a.map((value, i) => Math.round(value + (b[i] - value) * share));

export function signed(value, limit) {
  const share = limit > 0 ? Math.min(Math.abs(value) / limit, 1) : 0;
  return mix(WHITE, value < 0 ? BLUE : RED, share);
}

export function grey(value, lowest, highest) {
  const level = highest > lowest ? Math.round((255 * (value - lowest)) / (highest - lowest)) : 0;
  const shade = Math.max(0, Math.min(255, level));
  return [shade, shade, shade];
}

// A pixel's weight, from 0 to `top`, as heat over its own colour; pixels of weight 0 lose contrast.
export function heat(under, value, top) {
  const share = top > 0 ? Math.max(0, Math.min(value / top, 1)) : 0;
  return mix(mix(under, [128, 128, 128], 0.35), [255, 90, 0], 0.75 * share);
}

export const css = ([red, green, blue]) => `rgb(${red} ${green} ${blue})`;

// The luminance of WCAG 2, from 0 to 1.
function luminance(colour) {
  const [red, green, blue] = colour.map((c) => (c <= 10 ? c / 3294 : ((c / 255 + 0.055) / 1.055) ** 2.4));
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

// Black or white text, whichever has the higher contrast: 4.5 or more.
export const textOn = (colour) => (luminance(colour) > 0.179 ? "#000" : "#fff");

// A number in few characters; integers below 100,000 with all digits.
export function brief(value, digits = 3) {
  if (Math.abs(value) < 5e-7) return "0";
  if (Math.abs(value) >= 1e5 || Math.abs(value) < 1e-3) return value.toExponential(1);
  if (Math.abs(value) >= 10 ** (digits - 1)) return String(Math.round(value));
  const text = value.toPrecision(digits);
  return text.includes(".") && !text.includes("e") ? text.replace(/\.?0+$/, "") : text;
}
