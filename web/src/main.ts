/** The page's entry: shows the document that the HTML file holds, or one that a host gives. */
import { mount, unmount } from "svelte";
import App from "./App.svelte";
import type { InspectionDocument } from "./document";
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

const holder = document.getElementById("chainrule-document");
const target = document.getElementById("chainrule");
if (holder?.textContent && target)
  show(JSON.parse(holder.textContent) as InspectionDocument, target, true);
