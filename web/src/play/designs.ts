/** Designs as text: in the link, in a file, in a line; and pairs that are worth comparing. */
import type { Design } from "../sections";

const NAMES = ["a", "b"] as const;

/** The epoch of each design that is looked at; null where none is chosen. */
export type Epochs = readonly (number | null)[];

/** The designs as the part of a link after "#", each with its epoch where one is chosen. */
export function written(designs: readonly Design[], others: Record<string, string> = {}, epochs: Epochs = []): string {
  const held = new URLSearchParams();
  designs.forEach((design, k) => {
    for (const [key, value] of Object.entries(design)) {
      const name = `${NAMES[k]}.${key}`;
      if (key === "ignore") for (const column of value as string[]) held.append(name, column);
      else held.set(name, Array.isArray(value) ? value.join(",") : String(value));
    }
    if (epochs[k]) held.set(`${NAMES[k]}.epoch`, String(epochs[k]));
  });
  for (const [key, value] of Object.entries(others)) held.set(key, value);
  return held.toString();
}

/** The designs of a link, as far as it has them; the server checks them. */
export function read(hash: string): Partial<Design>[] {
  const held = new URLSearchParams(hash.replace(/^#/, ""));
  return NAMES.map((name) => {
    const found: Record<string, unknown> = {};
    for (const [key, text] of held) {
      const setting = key.startsWith(`${name}.`) ? key.slice(2) : "";
      if (!setting || setting === "epoch") continue;
      if (setting === "ignore") found.ignore = held.getAll(key);
      else if (setting === "hidden") found.hidden = text.split(",").filter(Boolean).map(Number);
      else found[setting] = TEXTS.has(setting) ? text : Number(text);
    }
    return found as Partial<Design>;
  }).filter((design, k) => k === 0 || Object.keys(design).length > 0)
    .filter((design) => Object.keys(design).length > 0);
}

/** The epochs of a link. */
export function readEpochs(hash: string): Epochs {
  const held = new URLSearchParams(hash.replace(/^#/, ""));
  return NAMES.map((name) => asEpoch(held.has(`${name}.epoch`) ? Number(held.get(`${name}.epoch`)) : null));
}

function asEpoch(value: unknown): number | null {
  return typeof value === "number" && Number.isSafeInteger(value) && value >= 0 ? value : null;
}

const TEXTS = new Set(["activation", "init", "norm", "optimizer"]);

/** The text of a file of designs, with their epochs. */
export function asFile(designs: readonly Design[], epochs: Epochs): string {
  return JSON.stringify({ designs, epochs: designs.map((_, k) => epochs[k] ?? 0) }, null, 2);
}

/** The designs of a saved file, and their epochs. Raises an Error that says what is wrong. */
export function fromFile(text: string): { designs: Partial<Design>[]; epochs: Epochs } {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw new Error("this file is not JSON: choose one that this page saved");
  }
  const designs = (content as { designs?: unknown } | null)?.designs;
  const fits = Array.isArray(designs) && (designs.length === 1 || designs.length === 2)
    && designs.every((x) => typeof x === "object" && x !== null && !Array.isArray(x));
  if (!fits) throw new Error('this file holds no designs: {"designs": [...]} with one or two is expected');
  const epochs: unknown = (content as { epochs?: unknown }).epochs ?? [];
  if (!Array.isArray(epochs) || epochs.some((x) => asEpoch(x) === null))
    throw new Error('the epochs of this file are not numbers from 0 on: {"epochs": [...]}, one for each design');
  return { designs: designs as Partial<Design>[], epochs: epochs as number[] };
}

/** Whether two designs are the same. */
export function same(a: Design, b: Design): boolean {
  return written([a]) === written([b]);
}

/** A design in a line: "8-4 tanh, sgd 0.03, 16 rows a step". */
export function line(design: Design): string {
  const net = design.hidden.length ? `${design.hidden.join("-")} ${design.activation}` : "no hidden layer";
  const parts = [net, `${design.optimizer} ${design.rate}`, `${design.batch_size} rows a step`];
  if (design.norm !== "none") parts.push(`${design.norm} norm`);
  if (design.dropout) parts.push(`dropout ${design.dropout}`);
  if (design.decay) parts.push(`decay ${design.decay}`);
  if (design.init !== "auto") parts.push(design.init);
  return parts.join(", ");
}

/** What one design has and the other has not, in words. */
export function difference(a: Design, b: Design): string {
  const keys = Object.keys(a) as (keyof Design)[];
  const told = keys.filter((key) => String(a[key]) !== String(b[key]))
    .map((key) => `${TITLES[key]} ${text(a[key])} / ${text(b[key])}`);
  return told.length ? told.join(", ") : "the same design";
}

function text(value: Design[keyof Design]): string {
  return Array.isArray(value) ? value.join("-") || "none" : String(value);
}

export const TITLES: Record<keyof Design, string> = {
  hidden: "layers", activation: "activation", init: "initialisation", norm: "normalisation",
  dropout: "dropout", optimizer: "optimizer", rate: "rate", decay: "weight decay",
  batch_size: "batch", seed: "seed", ignore: "left out",
};

export interface Pair {
  name: string;
  /** What it shows, in a sentence. */
  told: string;
  a: Partial<Design>;
  b: Partial<Design>;
}

const DEEP = [8, 8, 8, 8, 8, 8];

/** What teachers compare: each takes the present design and changes what is named. */
export const PAIRS: readonly Pair[] = [
  {
    name: "Sigmoid or ReLU in six layers",
    told: "Vanishing gradients: with sigmoid, each layer back receives a smaller gradient, and the first ones hardly learn.",
    a: { hidden: DEEP, activation: "sigmoid", norm: "none", optimizer: "sgd", rate: 0.1 },
    b: { hidden: DEEP, activation: "relu", norm: "none", optimizer: "sgd", rate: 0.1 },
  },
  {
    name: "A small rate or a large one",
    told: "The same network with two rates: one creeps, one leaps.",
    a: { rate: 0.003, optimizer: "sgd" }, b: { rate: 0.3, optimizer: "sgd" },
  },
  {
    name: "Without or with dropout",
    told: "A wide network learns its rows by heart; dropout holds the validation loss down.",
    a: { hidden: [64, 64], activation: "relu", dropout: 0, optimizer: "adam", rate: 0.01 },
    b: { hidden: [64, 64], activation: "relu", dropout: 0.5, optimizer: "adam", rate: 0.01 },
  },
  {
    name: "SGD or Adam",
    told: "Adam gives each weight a step of its own size.",
    a: { optimizer: "sgd", rate: 0.01 }, b: { optimizer: "adam", rate: 0.01 },
  },
  {
    name: "One layer or none",
    told: "Without a hidden layer, the borders between classes are straight lines.",
    a: { hidden: [] }, b: { hidden: [8], activation: "tanh" },
  },
  {
    name: "Without or with batch normalisation",
    told: "Normalised layers keep gradients of a like size through a deep sigmoid network.",
    a: { hidden: DEEP, activation: "sigmoid", norm: "none", rate: 0.1 },
    b: { hidden: DEEP, activation: "sigmoid", norm: "batch", rate: 0.1 },
  },
  {
    name: "All weights zero, or drawn",
    told: "With equal weights, all units of a layer stay equal: symmetry is broken by chance alone.",
    a: { hidden: [8, 4], init: "zeros" }, b: { hidden: [8, 4], init: "auto" },
  },
];
