/** How an item looks where the graph shows a quantity of two in place of numbers. */

export interface Tone {
  /** 0: equal, to 4: the strongest; null: nothing to compare. */
  level: number | null;
  /** Which of both has it alone. */
  only: "A" | "B" | null;
  /** Which have some of its nodes alone: "+A", "+B", "+A+B"; or empty. */
  some: string;
  /** The line in the box. */
  text: string;
}

/** The tone of the nodes of an item. */
export type Tones = (nodes: readonly number[]) => Tone;

/** The longest line, in characters. */
export const TONE_WIDTH = 16;
