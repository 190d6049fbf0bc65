/** The reader's scheme and the screen, for what is drawn on a canvas. */
const query = typeof matchMedia === "function" ? matchMedia("(prefers-color-scheme: dark)") : null;
let dark = $state(query?.matches ?? false);
query?.addEventListener("change", () => (dark = query.matches));

/** Whether the reader has a dark scheme; what reads it is drawn anew when that changes. */
export function isDark(): boolean {
  return dark;
}

/** The colour that a token of the style sheet has on an element. */
export function token(element: Element, name: string): string {
  const probe = document.createElement("i");
  probe.style.color = `var(--${name})`;
  element.append(probe);
  const colour = getComputedStyle(probe).color;
  probe.remove();
  return colour;
}

/** Gives a canvas the size of its element in the screen's dots. Returns the context, in CSS pixels. */
export function sized(canvas: HTMLCanvasElement, width: number, height: number): CanvasRenderingContext2D {
  const dots = devicePixelRatio || 1;
  const [w, h] = [Math.round(width * dots), Math.round(height * dots)];
  if (canvas.width !== w) canvas.width = w;
  if (canvas.height !== h) canvas.height = h;
  const context = canvas.getContext("2d")!;
  context.setTransform(dots, 0, 0, dots, 0, 0);
  context.clearRect(0, 0, width, height);
  return context;
}
