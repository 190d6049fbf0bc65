/** The page's core: values, formulas and steps of a graph. It needs no page: it runs in a worker. */
export { decode, size, type Value, zeros } from "../arrays";
export * from "./evaluate";
export * from "./formula";
export * from "./pythontext";
export * from "./steps";
export * from "./updates";
