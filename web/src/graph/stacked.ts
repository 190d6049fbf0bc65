/** Layout without an engine: rows by the longest path, frame by frame, from the inside out. */
import { entries, INSET, TITLE, type Box, type Layout, type Size } from "./layout";
import type { Item, Scene } from "./scene";

const BESIDE = 26, BELOW = 46;

/** Returns a layout of a scene: every box below all that it reads, save in cycles of folded layers. */
export function stacked(scene: Scene, sizes: ReadonlyMap<string, Size>): Layout {
  const inside = new Map<string | null, string[]>();
  const order = [...scene.items.map((x) => ({ id: x.id, frame: x.frame, at: x.node })),
    ...scene.frames.map((x) => ({ id: x.id, frame: x.frame, at: x.nodes.at(-1) ?? 0 }))];
  for (const { id, frame } of order.sort((a, b) => a.at - b.at)) {
    const home = inside.get(frame);
    if (home) home.push(id);
    else inside.set(frame, [id]);
  }
  const reads = readsWithin(scene);
  const made = new Map<string, Size>(sizes);
  const places = new Map<string, Box>();
  // inner frames come after outer ones
  for (const frame of [...scene.frames.map((x) => x.id).reverse(), null]) {
    const rows = inRows(inside.get(frame) ?? [], reads);
    const size = place(rows, made, reads, places);
    if (frame !== null) made.set(frame, { w: size.w + 2 * INSET, h: size.h + TITLE + 2 * INSET + 12 });
  }
  const boxes = new Map<string, Box>();
  for (const { id, frame } of [...scene.frames, ...scene.items]) {
    const box = places.get(id)!;
    const home = frame === null ? null : boxes.get(frame)!;
    boxes.set(id, home ? { ...box, x: home.x + INSET + box.x, y: home.y + TITLE + INSET + box.y } : box);
  }
  const routes = new Map(scene.links.map((link) => {
    const to = boxes.get(link.to)!;
    const place = entries(scene, scene.by.get(link.to) as Item, to.w)[scene.ins.get(link.to)!.indexOf(link)]!;
    return [link.id, route(boxes.get(link.from)!, to, place)];
  }));
  return { boxes, routes };
}

/** For each item or frame, those beside it in the same frame that it reads. */
function readsWithin(scene: Scene): Map<string, Set<string>> {
  const reads = new Map<string, Set<string>>();
  const chain = (id: string) => {
    const ids = [id];
    for (let at = scene.by.get(id)?.frame ?? null; at !== null; at = scene.by.get(at)?.frame ?? null) ids.push(at);
    return ids.reverse();
  };
  for (const { from, to } of scene.links) {
    const [a, b] = [chain(from), chain(to)];
    let k = 0;
    while (a[k] === b[k]) k++;
    const home = reads.get(b[k]!) ?? new Set();
    reads.set(b[k]!, home.add(a[k]!));
  }
  return reads;
}

function inRows(members: readonly string[], reads: ReadonlyMap<string, Set<string>>): string[][] {
  const depth = new Map<string, number>();
  for (const id of members) {
    depth.set(id, 1 + Math.max(-1, ...[...(reads.get(id) ?? [])].map((x) => depth.get(x) ?? -1)));
  }
  const readers = new Map<string, number>();
  for (const id of members) {
    for (const x of reads.get(id) ?? []) readers.set(x, Math.min(readers.get(x) ?? Infinity, depth.get(id)!));
  }
  // what reads nothing stands right above its first reader
  for (const id of members) {
    if (!reads.get(id)?.size && readers.has(id)) depth.set(id, Math.max(0, readers.get(id)! - 1));
  }
  const rows: string[][] = [];
  for (const id of members) (rows[depth.get(id)!] ??= []).push(id);
  return rows.filter((row) => row.length);
}

function place(
  rows: readonly string[][], sizes: ReadonlyMap<string, Size>, reads: ReadonlyMap<string, Set<string>>,
  places: Map<string, Box>,
): Size {
  const widths = rows.map((row) => row.reduce((sum, id) => sum + sizes.get(id)!.w + BESIDE, -BESIDE));
  const w = Math.max(0, ...widths);
  const centre = new Map<string, number>();
  let y = 0;
  rows.forEach((row, k) => {
    const wish = (id: string) => {
      const xs = [...(reads.get(id) ?? [])].flatMap((x) => centre.get(x) ?? []);
      return xs.length ? xs.reduce((a, b) => a + b, 0) / xs.length : w / 2;
    };
    const wishes = new Map(row.map((id) => [id, wish(id)]));
    row.sort((a, b) => wishes.get(a)! - wishes.get(b)!);
    const h = Math.max(...row.map((id) => sizes.get(id)!.h));
    let x = (w - widths[k]!) / 2;
    for (const id of row) {
      const size = sizes.get(id)!;
      places.set(id, { x, y: y + h - size.h, ...size });
      centre.set(id, x + size.w / 2);
      x += size.w + BESIDE;
    }
    y += h + BELOW;
  });
  return { w, h: Math.max(0, y - BELOW) };
}

/** From the lower edge of one box to the upper edge of another, with two corners. */
function route(from: Box, to: Box, place: number): number[] {
  const [x1, y1, x2, y2] = [from.x + from.w / 2, from.y + from.h, to.x + place, to.y];
  const middle = y2 > y1 ? y2 - Math.min(BELOW, y2 - y1) / 2 : (y1 + y2) / 2;
  return [x1, y1, x1, middle, x2, middle, x2, y2];
}
