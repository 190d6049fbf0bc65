/** Walking along edges by keys, and searching. */
import type { Net, Scene } from "./scene";

export type Direction = "up" | "down" | "left" | "right";

/** Where one came from: left and right go to what else that item reads, or is read by. */
export interface Via {
  item: string;
  direction: "up" | "down";
}

/** Returns the item that an arrow key leads to, or null: up to operands, down to consumers. */
export function step(scene: Scene, at: string, direction: Direction, via: Via | null): { to: string; via: Via | null } | null {
  if (direction === "up" || direction === "down") {
    const to = near(scene, at, direction)[0];
    return to === undefined ? null : { to, via: { item: at, direction } };
  }
  const from = via && near(scene, via.item, via.direction).includes(at) ? via : origin(scene, at);
  if (!from) return null;
  const siblings = near(scene, from.item, from.direction);
  const to = siblings[siblings.indexOf(at) + (direction === "right" ? 1 : -1)];
  return to === undefined ? null : { to, via: from };
}

/** The items that an item reads (up), or that read it (down), in order, each once. */
export function near(scene: Scene, at: string, direction: "up" | "down"): string[] {
  const found = direction === "up"
    ? (scene.ins.get(at) ?? []).map((link) => link.from)
    : (scene.outs.get(at) ?? []).map((link) => link.to);
  return [...new Set(found)];
}

function origin(scene: Scene, at: string): Via | null {
  const ways = [
    ...near(scene, at, "down").map((item) => ({ item, direction: "up" as const })),
    ...near(scene, at, "up").map((item) => ({ item, direction: "down" as const })),
  ];
  return ways.find((via) => near(scene, via.item, via.direction).length > 1) ?? ways[0] ?? null;
}

/** A result of a search: a node, in words. */
export interface Match {
  node: number;
  name: string;
  what: string;
  layer: string;
}

/** Returns the nodes whose name, op, or layer with its kind, has the text in it; the best first. */
export function search(net: Net, text: string): Match[] {
  const wanted = text.trim().toLowerCase();
  if (!wanted) return [];
  const found = net.forward.flatMap((node) => {
    const form = net.graph.nodes[node]!;
    const layer = net.layer(node);
    const match = { node, name: form.name, what: form.op ?? form.kind, layer: layer?.name ?? "" };
    const rank = ranked(match, layer?.what ?? "", wanted);
    return rank === null ? [] : [{ match, rank }];
  });
  return found.sort((a, b) => a.rank - b.rank || a.match.node - b.match.node).map((x) => x.match);
}

function ranked(match: Match, kind: string, wanted: string): number | null {
  const name = match.name.toLowerCase();
  if (name === wanted) return 0;
  if (name.startsWith(wanted)) return 1;
  if (name.includes(wanted)) return 2;
  if (match.what.toLowerCase().includes(wanted)) return 3;
  if (match.layer.toLowerCase().includes(wanted)) return 4;
  return kind.toLowerCase().includes(wanted) ? 5 : null;
}
