/** The diverging colours of numbers: orange below 0, blue above. */

/** The colour of a cell with text in it: faint enough to read on. */
export function tint(x: number, most: number): string {
  if (Number.isNaN(x)) return "var(--wrong-soft)";
  const share = Math.min(1, Math.abs(x) / most) * 55;
  return share < 0.5 ? "transparent"
    : `color-mix(in srgb, var(--${x < 0 ? "negative" : "positive"}) ${share.toFixed(1)}%, transparent)`;
}

type Colour = readonly [number, number, number];

/** The three colours of the scale and that of NaN, as the element's scheme has them. */
export interface Scale {
  negative: Colour;
  zero: Colour;
  positive: Colour;
  missing: Colour;
}

/** Reads the scale from the tokens of the style sheet. */
export function scaleOf(element: Element): Scale {
  const probe = document.createElement("i");
  element.append(probe);
  const read = (name: string): Colour => {
    probe.style.color = `var(--${name})`;
    const [r, g, b] = getComputedStyle(probe).color.match(/[\d.]+/g)!.map(Number);
    return [r!, g!, b!];
  };
  const scale = { negative: read("negative"), zero: read("zero"), positive: read("positive"), missing: read("wrong") };
  probe.remove();
  return scale;
}

/** The colour of a cell without text. */
export function colour(x: number, most: number, scale: Scale): string {
  if (Number.isNaN(x)) return `rgb(${scale.missing.join(" ")})`;
  const share = Math.min(1, Math.abs(x) / most);
  const end = x < 0 ? scale.negative : scale.positive;
  return `rgb(${scale.zero.map((z, k) => Math.round(z + (end[k]! - z) * share)).join(" ")})`;
}
