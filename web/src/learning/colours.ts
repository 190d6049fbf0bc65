/** Colours of classes and of runs: of Okabe and Ito, told apart by colour-blind people. */

export type Rgb = readonly [number, number, number];

const LIGHT: readonly Rgb[] = [
  [0, 114, 178], [217, 95, 2], [0, 140, 104], [170, 68, 153], [140, 110, 0], [60, 60, 60],
  [51, 160, 220], [180, 40, 60],
];
const DARK: readonly Rgb[] = [
  [86, 166, 240], [255, 150, 70], [50, 205, 160], [225, 135, 205], [235, 205, 80], [200, 200, 200],
  [130, 215, 255], [255, 120, 130],
];

/** The colour of a class; after eight they begin anew, and shapes tell them apart. */
export function classColour(k: number, dark: boolean): Rgb {
  const colours = dark ? DARK : LIGHT;
  return colours[((k % colours.length) + colours.length) % colours.length]!;
}

/** The colour of a number between a lowest and a highest one: orange, grey, blue. */
export function numberColour(x: number, low: number, high: number, dark: boolean): Rgb {
  const share = high > low ? Math.min(1, Math.max(0, (x - low) / (high - low))) : 0.5;
  const [a, b]: readonly Rgb[] = [classColour(1, dark), classColour(0, dark)];
  const mid: Rgb = dark ? [70, 76, 84] : [225, 228, 232];
  return share < 0.5 ? mixed(a!, mid, share * 2) : mixed(mid, b!, share * 2 - 1);
}

/** A colour between two. */
export function mixed(a: Rgb, b: Rgb, share: number): Rgb {
  const at = (k: number) => Math.round(a[k]! + (b[k]! - a[k]!) * share);
  return [at(0), at(1), at(2)];
}

export function css(colour: Rgb, alpha = 1): string {
  return `rgb(${colour.join(" ")} / ${alpha})`;
}

/** The share of a class's colour at a probability: none at that of a guess, strong at 1. */
export function shade(sure: number, classes: number): number {
  const guess = 1 / Math.max(classes, 2);
  return 0.06 + 0.5 * Math.min(1, Math.max(0, (sure - guess) / (1 - guess)));
}

/** Draws the mark of a class: a circle, square, triangle or diamond, filled or hollow. */
export function mark(
  context: CanvasRenderingContext2D, kind: number, x: number, y: number, r: number, hollow: boolean,
): void {
  context.beginPath();
  const sides = [0, 4, 3, 4][((kind % 4) + 4) % 4]!;
  if (!sides) context.arc(x, y, r, 0, 2 * Math.PI);
  else {
    const turn = kind % 4 === 1 ? Math.PI / 4 : -Math.PI / 2;
    const wide = r * (sides === 3 ? 1.35 : 1.22);
    for (let k = 0; k < sides; k++) {
      const angle = turn + (2 * Math.PI * k) / sides;
      const [px, py] = [x + wide * Math.cos(angle), y + wide * Math.sin(angle)];
      if (k) context.lineTo(px, py);
      else context.moveTo(px, py);
    }
    context.closePath();
  }
  if (!hollow) context.fill();
  context.stroke();
}
