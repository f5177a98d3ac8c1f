// The list: only the rows in view exist, so that it is fast whatever its length.

const ROW_HEIGHT = 44; // as in the style sheet
const SPARE_ROWS = 8; // drawn beyond both ends of the list's window
const [list, rows] = [byId("list"), byId("rows")];

function drawRows() {
  const first = Math.max(0, Math.floor(list.scrollTop / ROW_HEIGHT) - SPARE_ROWS);
  const last = Math.min(state.shown.length, Math.ceil((list.scrollTop + list.clientHeight) / ROW_HEIGHT) + SPARE_ROWS);
  const drawn = [];
  for (let i = first; i < last; i++) drawn.push(row(state.shown[i], i));
  rows.replaceChildren(...drawn);
  if (byId(`row-${state.chosen}`)) list.setAttribute("aria-activedescendant", `row-${state.chosen}`);
  else list.removeAttribute("aria-activedescendant");
}

function row(neuron, i) {
  const made = element("div", "row");
  made.id = `row-${i}`;
  made.setAttribute("role", "option");
  made.setAttribute("aria-selected", i === state.chosen);
  made.setAttribute("aria-setsize", state.shown.length);
  made.setAttribute("aria-posinset", i + 1);
  made.style.top = `${i * ROW_HEIGHT}px`;
  const about = neuron.partners[0].about;
  const group = groupOf(neuron).name;
  const star = isStarred(neuron) ? "★ " : "";
  made.append(
    element("div", "", star + neuron.partners.map(named).join(" ↔ ") + (about ? ` · ${about.name}` : "")),
    element("div", "small", [`r ${round(neuron.r)}`, ...notAbove(neuron), ...(data.domains.length ? [domainOf(neuron)] : []), group].join(" · ")),
  );
  made.title = `${group}, margin ${round(neuron.margin, 2)}`;
  made.addEventListener("click", () => step(() => choose(i)));
  return made;
}

function choose(i) {
  state.unknown = "";
  state.chosen = Math.min(Math.max(i, 0), Math.max(state.shown.length - 1, 0));
  const top = state.chosen * ROW_HEIGHT;
  if (top < list.scrollTop) list.scrollTop = top;
  if (top + ROW_HEIGHT > list.scrollTop + list.clientHeight) list.scrollTop = top + ROW_HEIGHT - list.clientHeight;
  drawRows();
  drawSoon();
}

/** Draw the neuron before the next frame: a key held down moves on without drawing all that it passes. */
function drawSoon() {
  if (!state.drawing) requestAnimationFrame(() => { state.drawing = false; drawDetail(); });
  state.drawing = true;
}
