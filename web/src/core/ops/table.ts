/** The kernels of all ops by name: those of Chainrule's registry. */
import type { Kernel } from "../call";
import { CONTRACTIONS } from "./contract";
import { INDEXING } from "./indexing";
import { LOGIC } from "./logic";
import { MAPS } from "./maps";
import { PRODUCTS } from "./product";
import { RANDOM } from "./random";
import { REDUCTIONS } from "./reduce";
import { ROWS } from "./rows";
import { VIEWS } from "./views";
import { WINDOWS } from "./windows";

export const KERNELS: ReadonlyMap<string, Kernel> = new Map(Object.entries({
  ...MAPS, ...LOGIC, ...REDUCTIONS, ...PRODUCTS, ...CONTRACTIONS, ...VIEWS, ...INDEXING, ...RANDOM,
  ...ROWS, ...WINDOWS,
}));
