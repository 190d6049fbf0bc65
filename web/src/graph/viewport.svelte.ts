/** The part of the drawing in view: wheel, pinch, drag, and moves by the program. */
import { select, type Selection } from "d3-selection";
import { zoom, zoomIdentity, type ZoomBehavior, type ZoomTransform } from "d3-zoom";
import "d3-transition";
import type { Box } from "./layout";
import { still } from "./motion.svelte";

const LEAST = 0.01, MOST = 4, EDGE = 24;

export class Viewport {
  x = $state(0);
  y = $state(0);
  k = $state(1);
  width = $state(0);
  height = $state(0);
  /** The moves that the user made by hand. */
  hand = 0;
  readonly #zoom: ZoomBehavior<SVGSVGElement, unknown>;
  #svg: Selection<SVGSVGElement, unknown, null, undefined> | null = null;

  constructor() {
    this.#zoom = zoom<SVGSVGElement, unknown>()
      .scaleExtent([LEAST, MOST])
      .clickDistance(5)
      .extent(() => [[0, 0], [this.width, this.height]])
      .on("zoom", (event: { transform: ZoomTransform; sourceEvent: unknown }) => {
        ({ x: this.x, y: this.y, k: this.k } = event.transform);
        if (event.sourceEvent) this.hand++;
      });
  }

  /** Listens on an SVG element; returns what ends it. */
  attach(element: SVGSVGElement): () => void {
    this.#svg = select(element).call(this.#zoom).on("dblclick.zoom", null);
    const sized = new ResizeObserver(() => {
      this.width = element.clientWidth;
      this.height = element.clientHeight;
    });
    sized.observe(element);
    this.width = element.clientWidth;
    this.height = element.clientHeight;
    return () => {
      sized.disconnect();
      this.#svg?.interrupt().on(".zoom", null);
    };
  }

  /** The part of the drawing in view, in its own coordinates, and `margin` around it. */
  view(margin = 0): Box {
    const { x, y, k } = this;
    return {
      x: (-x - margin) / k, y: (-y - margin) / k,
      w: (this.width + 2 * margin) / k, h: (this.height + 2 * margin) / k,
    };
  }

  scaleBy(factor: number): void {
    this.#move((svg) => this.#zoom.scaleBy(svg, factor), 160);
  }

  panBy(dx: number, dy: number): void {
    this.#move((svg) => this.#zoom.translateBy(svg, dx / this.k, dy / this.k), 0);
  }

  /** Shows all of a box; not smaller than `least`, where its upper end is shown, with `first` in the middle. */
  fit(box: Box, least = 0, time = 300, first: Box = box): void {
    const room = [this.width - 2 * EDGE, this.height - 2 * EDGE] as const;
    const whole = Math.min(1.15, room[0] / Math.max(box.w, 1), room[1] / Math.max(box.h, 1));
    const k = Math.max(whole, least, LEAST);
    const y = k > whole && box.h * k > room[1] ? EDGE : (this.height - box.h * k) / 2;
    const middle = box.w * k > room[0] ? first.x + first.w / 2 : box.x + box.w / 2;
    this.#to(this.width / 2 - middle * k, y - box.y * k, k, time);
  }

  /** Brings a box into view, by no more than needed; not smaller than `least`. */
  reveal(box: Box, time = 220, least = 0): void {
    const k = Math.max(this.k, least);
    const x = shifted(k === this.k ? this.x : NaN, box.x * k, box.w * k, this.width);
    const y = shifted(k === this.k ? this.y : NaN, box.y * k, box.h * k, this.height);
    if (x !== this.x || y !== this.y) this.#to(x, y, k, time);
  }

  /** Puts a point of the drawing into the middle. */
  centre(x: number, y: number): void {
    this.#to(this.width / 2 - x * this.k, this.height / 2 - y * this.k, this.k, 0);
  }

  #to(x: number, y: number, k: number, time: number): void {
    this.#move((svg) => this.#zoom.transform(svg, zoomIdentity.translate(x, y).scale(k)), time);
  }

  #move(move: (svg: Parameters<ZoomBehavior<SVGSVGElement, unknown>["transform"]>[0]) => void, time: number): void {
    // hidden: there is nothing to move in
    if (!this.#svg || !this.width) return;
    this.#svg.interrupt();
    move(time && !still() ? this.#svg.transition().duration(time) : this.#svg);
  }
}

/** The shift of an axis that shows a span with room around it: the present one where it does; NaN: the middle. */
function shifted(shift: number, from: number, length: number, room: number): number {
  const middle = room / 2 - from - length / 2;
  if (shift + from >= 8 && shift + from + length <= room - 8) return shift;
  const around = Math.min(72, Math.max(0, (room - length) / 2));
  const least = around - from, most = room - around - length - from;
  if (Number.isNaN(shift) || shift < least - room || shift > most + room) return middle;
  return Math.min(Math.max(shift, Math.min(least, most)), Math.max(least, most));
}
