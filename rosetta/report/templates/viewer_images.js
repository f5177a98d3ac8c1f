// The images on which a neuron is highest, each with the maps of all models of the group.

const VIEWS = { both: "image and map", over: "map over image", image: "images", map: "maps" };
let view = "both";

// Viridis, from low to high: a colour at each eighth.
const MAP_COLOURS = ["#440154", "#472d7b", "#3b528b", "#2c728e", "#21918c", "#28ae80", "#5ec962", "#addc30", "#fde725"]
  .map((code) => [1, 3, 5].map((i) => parseInt(code.slice(i, i + 2), 16)));

function imageParts(neuron, models) {
  if (!neuron.contexts) return [waitingFor(neuron)];
  const grid = element("div", "images");
  grid.append(...shownContexts(neuron).map((context) => imageFigure(neuron, models, context)));
  return [toolbar(neuron, models), viewBar(), mapLegend(), grid];
}

function viewBar() {
  const made = element("div", "toolbar", "show");
  made.setAttribute("role", "group");
  made.setAttribute("aria-label", "how images and maps are shown");
  for (const [name, words] of Object.entries(VIEWS)) {
    const choice = button(words, `show ${words} (m: the next)`, () => showView(name));
    choice.id = `view-${name}`;
    choice.setAttribute("aria-pressed", name === view);
    made.append(choice);
  }
  return made;
}

function showView(name) {
  view = name;
  drawDetail();
}

function nextView() {
  const names = Object.keys(VIEWS);
  showView(names[(names.indexOf(view) + 1) % names.length]);
}

function mapLegend() {
  return element("p", "note legend", "A map goes from the lowest (dark) to the highest value (light) of its neuron on the images that are known here, on its own model's grid, enlarged bilinearly.");
}

const scoreOf = (neuron, score) => (score === null ? "not compared" : `${groupOf(neuron).score === "max" ? "highest" : "mean"} ${round(score)}`);
const imageLine = (neuron, models, context) => {
  const scores = models.map((model, i) => `${model} ${scoreOf(neuron, context.scores[i])}`).join(", ");
  return `#${context.ranks[state.column]} · ${placeOf(excerptOf(neuron, context))} · ${scores}`;
};

/** An image with the maps of all models: a column each, of what the view asks for. */
function imageFigure(neuron, models, context) {
  const excerpt = excerptOf(neuron, context);
  const made = element("figure", state.found.has(excerpt) ? "found" : "");
  made.append(element("figcaption", "note", `#${context.ranks[state.column]} of ${models[state.column]} · ${excerpt.domain || "no class"}`));
  const panels = element("div", "panels");
  if (view === "both" || view === "image") panels.append(picture(excerpt));
  if (view !== "image") models.forEach((model, i) => panels.append(mapPanel(neuron, context, model, i)));
  made.append(panels);
  if (excerpt.text && excerpt.text !== excerpt.domain) made.append(element("div", "note", excerpt.text));
  return made;
}

function picture(excerpt) {
  const made = element("img");
  made.setAttribute("src", excerpt.picture);
  made.alt = `image ${excerpt.document}: ${excerpt.text}`;
  return made;
}

function mapPanel(neuron, context, model, i) {
  const made = element("div", "map");
  const [rows, columns] = groupOf(neuron).grids[i];
  if (context.maps[i] === null) {
    made.append(element("span", "note", "not compared on this image"));
  } else {
    if (view === "over") made.append(picture(excerptOf(neuron, context)));
    made.append(heatMap(context.maps[i], rows, columns, `map of ${model} ${named(neuron.partners[i])}, ${scoreOf(neuron, context.scores[i])}`));
  }
  made.append(element("span", "note", `${model} ${scoreOf(neuron, context.scores[i])}`));
  return made;
}

function heatMap(encoded, rows, columns, label) {
  const made = element("canvas", view === "over" ? "over" : "");
  [made.width, made.height] = [columns, rows];
  made.setAttribute("role", "img");
  made.setAttribute("aria-label", label);
  const pixels = made.getContext("2d").createImageData(columns, rows);
  const values = atob(encoded);
  for (let i = 0; i < values.length; i++) pixels.data.set([...colourOf(values.charCodeAt(i)), 255], 4 * i);
  made.getContext("2d").putImageData(pixels, 0, 0);
  return made;
}

/** The colour of a value of 0 to 255. */
function colourOf(value) {
  const at = (value / 255) * (MAP_COLOURS.length - 1);
  const [low, high] = [MAP_COLOURS[Math.floor(at)], MAP_COLOURS[Math.ceil(at)]];
  return low.map((part, i) => Math.round(part + (at - Math.floor(at)) * (high[i] - part)));
}
