// Keys, and the start.

const page = () => Math.max(1, Math.floor(list.clientHeight / ROW_HEIGHT) - 1);
const move = (i) => { choose(i); rememberSoon(); };
const KEYS = {
  ArrowDown: () => move(state.chosen + 1),
  ArrowUp: () => move(state.chosen - 1),
  j: () => move(state.chosen + 1),
  k: () => move(state.chosen - 1),
  PageDown: () => move(state.chosen + page()),
  PageUp: () => move(state.chosen - page()),
  Home: () => move(0),
  End: () => move(state.shown.length - 1),
  Enter: () => byId("title")?.focus(),
  "/": () => byId("q").focus(),
  f: openFacets,
  t: () => state.shown.length && step(() => showColumn((state.column + 1) % state.shown[state.chosen].partners.length)),
  s: toggleStar,
  c: copyContexts,
  m: nextView,
  e: () => exportAs("csv"),
  E: () => exportAs("json"),
  d: nextColours,
};

function openFacets() {
  byId("facets").open = true;
  byId("group").focus();
}

function clearFilters() {
  byId("filters").reset();
  list.focus();
}

document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.altKey || event.metaKey) return;
  const typing = event.target.closest?.("input:not([type=checkbox]), select");
  const pressing = event.target.closest?.("button, summary, a"); // Enter presses these
  const reading = event.target.closest?.("main") && /^(Arrow|Page|Home$|End$)/.test(event.key); // these scroll there
  if (event.key === "Escape") {
    step(clearFilters);
  } else if (typing && event.key === "Enter") {
    list.focus();
    event.preventDefault(); // a form with one text field would be submitted
  } else if (!typing && !reading && Object.hasOwn(KEYS, event.key) && !(pressing && event.key === "Enter")) {
    event.preventDefault();
    KEYS[event.key]();
  }
});

let waiting = false;
list.addEventListener("scroll", () => {
  if (!waiting) requestAnimationFrame(() => { waiting = false; drawRows(); });
  waiting = true;
});
window.addEventListener("resize", drawRows);
window.addEventListener("popstate", visit);
byId("filters").addEventListener("input", () => { refresh(); rememberSoon(); });
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").addEventListener("reset", () => setTimeout(() => { refresh(); rememberSoon(); })); // once the fields are empty
byId("csv").addEventListener("click", () => exportAs("csv"));
byId("json").addEventListener("click", () => exportAs("json"));
byId("colours").addEventListener("click", nextColours);

setColours(kept(COLOURS));
fillOptions();
if (window.matchMedia("(max-width: 60rem)").matches) byId("facets").open = false;
visit();
if (!state.unknown) history.replaceState(null, "", addressNow());
