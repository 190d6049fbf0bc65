/** The page's entry: shows the document that the HTML file holds, a live run, or what a host gives. */
import { mount, unmount } from "svelte";
import "uplot/dist/uPlot.min.css";
import App from "./App.svelte";
import type { InspectionDocument } from "./document";
import LiveApp from "./play/LiveApp.svelte";
import "./style/base.css";

/** Shows a document in an element of any page. Returns what takes it away.
 *
 * @param alone whether the page is for this alone: then it takes keys and keeps its state in the
 *   address.
 */
export function show(
  document: InspectionDocument, target: Element, alone = false,
): () => Promise<void> {
  target.textContent = "";
  const app = mount(App, { target, props: { document, alone } });
  return () => unmount(app);
}

/** Shows a run as a server tells of it, in an element of its page.
 *
 * @param events the address of its events.
 */
export function follow(events: string, target: Element): () => Promise<void> {
  target.textContent = "";
  const app = mount(LiveApp, { target, props: { events } });
  return () => unmount(app);
}

const holder = document.getElementById("chainrule-document");
const target = document.getElementById("chainrule");
if (holder?.textContent && target) {
  const content = JSON.parse(holder.textContent) as InspectionDocument | { live: string };
  if ("live" in content) follow(content.live, target);
  else show(content, target, true);
}
