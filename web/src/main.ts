/** The page's entry: shows the document that the HTML file holds. */
import { mount } from "svelte";
import App from "./App.svelte";
import type { InspectionDocument } from "./document";
import "./style/base.css";

const holder = document.getElementById("chainrule-document");
const target = document.getElementById("chainrule");
if (holder?.textContent && target) {
  target.textContent = "";
  const shown = JSON.parse(holder.textContent) as InspectionDocument;
  mount(App, { target, props: { document: shown } });
}
