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

  /** Shows all of a box; not smaller than `least`, where the box's upper end is shown. */
  fit(box: Box, least = 0, time = 300): void {
    const room = [this.width - 2 * EDGE, this.height - 2 * EDGE] as const;
    const whole = Math.min(1.15, room[0] / Math.max(box.w, 1), room[1] / Math.max(box.h, 1));
    const k = Math.max(whole, least, LEAST);
    const y = k > whole && box.h * k > room[1] ? EDGE : (this.height - box.h * k) / 2;
    this.#to(this.width / 2 - (box.x + box.w / 2) * k, y - box.y * k, k, time);
  }

  /** Brings a box into view: by no more than needed, or to the middle where it is far. */
  reveal(box: Box, time = 220, least = 0): void {
    const k = Math.max(this.k, least);
    const view = this.view(-40);
    const beside = Math.max(view.x - box.x, box.x + box.w - view.x - view.w);
    const below = Math.max(view.y - box.y, box.y + box.h - view.y - view.h);
    if (k === this.k && beside <= 0 && below <= 0) return;
    this.#to(this.width / 2 - (box.x + box.w / 2) * k, this.height / 2 - (box.y + box.h / 2) * k, k, time);
  }

  /** Puts a point of the drawing into the middle. */
  centre(x: number, y: number): void {
    this.#to(this.width / 2 - x * this.k, this.height / 2 - y * this.k, this.k, 0);
  }

  #to(x: number, y: number, k: number, time: number): void {
    this.#move((svg) => this.#zoom.transform(svg, zoomIdentity.translate(x, y).scale(k)), time);
  }

  #move(move: (svg: Parameters<ZoomBehavior<SVGSVGElement, unknown>["transform"]>[0]) => void, time: number): void {
    if (!this.#svg) return;
    this.#svg.interrupt();
    move(time && !still() ? this.#svg.transition().duration(time) : this.#svg);
  }
}
