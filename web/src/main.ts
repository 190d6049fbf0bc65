/** The page's entry: shows the document that the HTML file holds, a live run, or what a host gives. */
import { mount, unmount } from "svelte";
import "uplot/dist/uPlot.min.css";
import App from "./App.svelte";
import type { InspectionDocument } from "./document";
import type { Channel } from "./play/live.svelte";
import LiveApp from "./play/LiveApp.svelte";
import type { LiveEvent } from "./sections";
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
 * @param events the address of its events, or what hands them on.
 */
export function follow(events: string | Channel, target: Element): () => Promise<void> {
  target.textContent = "";
  const app = mount(LiveApp, { target, props: { events } });
  return () => unmount(app);
}

/** What a notebook gives to a widget: https://anywidget.dev/en/afm/. */
interface WidgetModel {
  get(name: string): unknown;
  on(name: string, callback: () => void): void;
  off(name: string, callback: () => void): void;
}

/** Shows the run of a notebook in its cell: its beginning and what it learned so far are traits. */
export function render({ model, el }: { model: WidgetModel; el: HTMLElement }): () => void {
  if (!document.getElementById("chainrule-layout")) {
    const layout = document.createElement("script");
    layout.type = "text/plain";
    layout.id = "chainrule-layout";
    layout.textContent = String(model.get("packed"));
    document.body.append(layout);
  }
  const channel: Channel = {
    listen(take) {
      const hand = (name: string) => () => (model.get(name) as LiveEvent[]).forEach(take);
      const told = ["begun", "learned"].map((name) => [`change:${name}`, hand(name)] as const);
      for (const [name, callback] of told) {
        callback();
        model.on(name, callback);
      }
      return () => told.forEach(([name, callback]) => model.off(name, callback));
    },
  };
  const close = follow(channel, el);
  return () => void close();
}

const holder = document.getElementById("chainrule-document");
const target = document.getElementById("chainrule");
if (holder?.textContent && target) {
  const content = JSON.parse(holder.textContent) as InspectionDocument | { live: string };
  if ("live" in content) follow(content.live, target);
  else show(content, target, true);
}
