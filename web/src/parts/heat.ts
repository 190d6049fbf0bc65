/** The diverging colours of numbers: orange below 0, blue above. */

/** The colour of a cell with text in it: faint enough to read on. */
export function tint(x: number, most: number): string {
  if (Number.isNaN(x)) return "var(--wrong-soft)";
  const share = Math.min(1, Math.abs(x) / most) * 55;
  return share < 0.5 ? "transparent"
    : `color-mix(in srgb, var(--${x < 0 ? "negative" : "positive"}) ${share.toFixed(1)}%, transparent)`;
}

type Colour = readonly [number, number, number];

/** The three colours of the scale and that of NaN, and of what is chosen, as the scheme has them. */
export interface Scale {
  negative: Colour;
  zero: Colour;
  positive: Colour;
  missing: Colour;
  ink: Colour;
}

const scales = new Map<string, Scale>();

/** The scale, from the tokens of the style sheet: read once for a scheme, as that makes the browser
 * compute the style of all that has changed. */
export function scaleOf(element: Element): Scale {
  const scheme = `${matchMedia("(prefers-color-scheme: dark)").matches}`;
  const known = scales.get(scheme);
  if (known) return known;
  const probe = document.createElement("i");
  element.append(probe);
  const read = (name: string): Colour => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g)!.map(Number);
    return [r!, g!, b!];
  };
  const scale = {
    negative: read("negative"), zero: read("zero"), positive: read("positive"), missing: read("wrong"), ink: read("ink"),
  };
  probe.remove();
  scales.set(scheme, scale);
  return scale;
}

/** The colour of a cell without text. */
export function colour(x: number, most: number, scale: Scale): string {
  const pixel = new Uint8ClampedArray(4);
  paint(pixel, 0, x, most, scale);
  return `rgb(${pixel[0]} ${pixel[1]} ${pixel[2]})`;
}

/** Writes the colour of a number into an image's bytes. */
export function paint(pixels: Uint8ClampedArray, at: number, x: number, most: number, scale: Scale): void {
  const share = Number.isNaN(x) ? 1 : Math.min(1, Math.abs(x) / most);
  const end = Number.isNaN(x) ? scale.missing : x < 0 ? scale.negative : scale.positive;
  for (let k = 0; k < 3; k++) pixels[at + k] = Math.round(scale.zero[k]! + (end[k]! - scale.zero[k]!) * share);
  pixels[at + 3] = 255;
}
