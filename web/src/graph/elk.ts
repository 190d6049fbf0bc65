/** Layout by the engine that the page holds: ELK's "layered" in a worker, made from packed text. */
import { entries, INSET, TITLE, type Box, type Engine, type Layout, type Size } from "./layout";
import type { Scene } from "./scene";

/** What is used of ELK's JSON. */
export interface ElkNode {
  id: string;
  x?: number;
  y?: number;
  width?: number;
  height?: number;
  children?: ElkNode[];
  ports?: { id: string; x: number; y: number; layoutOptions: Record<string, string> }[];
  edges?: ElkEdge[];
  layoutOptions?: Record<string, string>;
}

interface Point { x: number; y: number }

interface ElkEdge {
  id: string;
  sources: string[];
  targets: string[];
  sections?: { startPoint: Point; endPoint: Point; bendPoints?: Point[] }[];
}

const OPTIONS: Record<string, string> = {
  "elk.algorithm": "layered",
  "elk.direction": "DOWN",
  "elk.hierarchyHandling": "INCLUDE_CHILDREN",
  "elk.edgeRouting": "ORTHOGONAL",
  "elk.json.shapeCoords": "ROOT",
  "elk.json.edgeCoords": "ROOT",
  "elk.spacing.nodeNode": "26",
  "elk.spacing.edgeNode": "16",
  "elk.spacing.edgeEdge": "10",
  "elk.spacing.componentComponent": "40",
  "elk.layered.spacing.nodeNodeBetweenLayers": "42",
  "elk.layered.spacing.edgeNodeBetweenLayers": "20",
  "elk.layered.spacing.edgeEdgeBetweenLayers": "9",
  "elk.layered.nodePlacement.strategy": "NETWORK_SIMPLEX",
  "elk.layered.nodePlacement.favorStraightEdges": "true",
  "elk.randomSeed": "1",
};

/** Of the outermost graph alone: ELK fails on frames that have it too. It lets folding move little. */
const ORDERED = { "elk.layered.considerModelOrder.strategy": "NODES_AND_EDGES" };

/** A scene with more items is placed by a faster strategy. */
const MANY = 150;
const FASTER = { "elk.layered.nodePlacement.strategy": "BRANDES_KOEPF" };

/** Returns a scene as ELK's JSON: operands enter at the top in order, results leave below. */
export function toElk(scene: Scene, sizes: ReadonlyMap<string, Size>): ElkNode {
  const options = scene.items.length > MANY ? { ...OPTIONS, ...FASTER } : OPTIONS;
  const inside = new Map<string | null, ElkNode[]>([[null, []]]);
  for (const frame of scene.frames) inside.set(frame.id, []);
  const padding = `[top=${TITLE + INSET},left=${INSET},bottom=${INSET + 12},right=${INSET}]`;
  for (const frame of scene.frames) {
    inside.get(frame.frame)!.push({
      id: frame.id, children: inside.get(frame.id)!, layoutOptions: { ...options, "elk.padding": padding },
    });
  }
  for (const item of scene.items) {
    const { w, h } = sizes.get(item.id)!;
    const places = entries(scene, item, w);
    const ports = (scene.ins.get(item.id) ?? []).map((link, k) => port(link.id, "NORTH", places[k]!, 0));
    if (scene.outs.has(item.id)) ports.push(port(`${item.id}.out`, "SOUTH", w / 2, h));
    inside.get(item.frame)!.push({
      id: item.id, width: w, height: h, ports, layoutOptions: { "elk.portConstraints": "FIXED_POS" },
    });
  }
  const edges = scene.links.map((link) => ({
    id: `e${link.id}`, sources: [`${link.from}.out`], targets: [link.id],
  }));
  return { id: "root", layoutOptions: { ...options, ...ORDERED }, children: inside.get(null)!, edges };
}

function port(id: string, side: string, x: number, y: number) {
  return { id, x, y, layoutOptions: { "elk.port.side": side } };
}

/** Returns ELK's result as a layout. */
export function fromElk(root: ElkNode): Layout {
  const boxes = new Map<string, Box>();
  const routes = new Map<string, number[]>();
  const stack = [root];
  for (let at = stack.pop(); at; at = stack.pop()) {
    if (at !== root) boxes.set(at.id, { x: at.x ?? 0, y: at.y ?? 0, w: at.width ?? 0, h: at.height ?? 0 });
    stack.push(...(at.children ?? []));
    for (const edge of at.edges ?? []) {
      const points = (edge.sections ?? []).flatMap((s) => [s.startPoint, ...(s.bendPoints ?? []), s.endPoint]);
      routes.set(edge.id.slice(1), points.flatMap((p) => [p.x, p.y]));
    }
  }
  return { boxes, routes };
}

type Answer = { id: number; data?: ElkNode; error?: unknown };

/** Returns an engine that runs the packed worker; it is started when first asked. */
export function elkEngine(packed: string): Engine {
  let worker: Promise<Worker> | undefined;
  let asked = 0;
  const waiting = new Map<number, { resolve: (root: ElkNode) => void; reject: (why: unknown) => void }>();
  const start = async (): Promise<Worker> => {
    const made = new Worker(URL.createObjectURL(new Blob([await unpacked(packed)], { type: "text/javascript" })));
    made.onmessage = ({ data }: MessageEvent<Answer>) => {
      const asker = waiting.get(data.id);
      waiting.delete(data.id);
      if (data.data) asker?.resolve(data.data);
      else asker?.reject(data.error);
    };
    made.onerror = (event) => {
      event.preventDefault();
      for (const asker of waiting.values()) asker.reject(event);
      waiting.clear();
    };
    made.postMessage({ id: 0, cmd: "register", algorithms: ["layered"] });
    return made;
  };
  const ask = async (graph: ElkNode): Promise<Layout> => {
    const running = await (worker ??= start());
    const id = ++asked;
    const answer = new Promise<ElkNode>((resolve, reject) => waiting.set(id, { resolve, reject }));
    running.postMessage({ id, cmd: "layout", graph, layoutOptions: {}, options: {} });
    return fromElk(await answer);
  };
  return (scene, sizes) => ask(toElk(scene, sizes));
}

/** The text of base64 of gzip. */
async function unpacked(packed: string): Promise<string> {
  if (!packed.trim()) throw new Error("the page holds no layout engine");
  const bytes = Uint8Array.from(atob(packed.trim()), (c) => c.charCodeAt(0));
  const stream = new Blob([bytes]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Response(stream).text();
}
