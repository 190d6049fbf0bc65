/** The views of a page: a tab for each that the document has something for. */
import type { Component } from "svelte";
import type { InspectionDocument } from "./document";
import CompareView from "./compare/CompareView.svelte";
import LearningView from "./learning/LearningView.svelte";
import Machine from "./machine/Machine.svelte";
import CheckMe from "./panels/CheckMe.svelte";
import Encoders from "./panels/Encoders.svelte";
import StepThrough from "./panels/StepThrough.svelte";
import type { Session } from "./session.svelte";

export interface View {
  /** In the address, and of the tab. */
  name: string;
  title: string;
  component: Component<{ session: Session }>;
  /** Whether the graph stands beside it. */
  graph: boolean;
  /** Whether the view needs more room than a formula. */
  broad?: boolean;
  /** Whether it shows A and B together. */
  both?: boolean;
  /** Whether the document has something for it. */
  has: (document: InspectionDocument) => boolean;
}

/** In the order of the tabs: a further view is a further line. */
export const VIEWS: readonly View[] = [
  { name: "compare", title: "Compare", component: CompareView, graph: false, both: true, has: (d) => d.comparison !== undefined },
  { name: "steps", title: "Step through", component: StepThrough, graph: true, has: () => true },
  { name: "check", title: "Check me", component: CheckMe, graph: true, has: (d) => d.rows.length > 0 || Object.keys(d.graph.values).length > 0 },
  { name: "encoders", title: "What the encoders did", component: Encoders, graph: true, broad: true, has: (d) => d.encoders.length > 0 },
  { name: "learning", title: "Learning", component: LearningView, graph: false, has: (d) => d.learning !== undefined },
  { name: "machine", title: "Machine code", component: Machine, graph: true, has: (d) => d.machine !== undefined },
];
