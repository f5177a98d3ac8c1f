// A match beside chance: its r with the interval, over what each null model makes of the pair.

const SVG = "http://www.w3.org/2000/svg";
const [WIDTH, HEIGHT] = [200, 26]; // of a drawing, in its own units

function shape(tag, className, places) {
  const made = document.createElementNS(SVG, tag);
  made.setAttribute("class", className);
  for (const [name, value] of Object.entries(places)) made.setAttribute(name, value);
  return made;
}

/** A drawing that is as wide as its place; `label` says in words what it shows. */
function drawing(label, height, ...shapes) {
  const made = shape("svg", "drawing", { viewBox: `0 0 ${WIDTH} ${height}`, preserveAspectRatio: "none", role: "img" });
  made.setAttribute("aria-label", label);
  made.append(...shapes);
  return made;
}

/** Where the axis of r begins: below all that is drawn, at a multiple of 0.2. */
function lowestR(nulls, match, r) {
  const bins = nulls.map((one) => one.counts.findIndex((count) => count > 0)).filter((bin) => bin >= 0);
  const width = 2 / nulls[0].counts.length;
  const lowest = Math.min(0, r, match?.r_ci_low ?? 0, ...bins.map((bin) => -1 + bin * width));
  return Math.floor(lowest * 5 + 1e-9) / 5;
}

/** One line per null model, on one axis. */
function chanceChart(neuron, i) {
  const [partner, nulls] = [neuron.partners[i], groupOf(neuron).chance[i - 1]];
  const made = element("div", "chance");
  if (!nulls.length) return made;
  const low = lowestR(nulls, partner.match, partner.r);
  const at = (r) => (WIDTH * (r - low)) / (1 - low);
  for (const one of nulls) made.append(element("span", "", one.name), nullDrawing(one, partner, at));
  const axis = element("span", "axis");
  axis.append(element("span", "", `r = ${round(low)}`), element("span", "", "1"));
  made.append(element("span"), axis);
  return made;
}

function nullDrawing(one, partner, at) {
  const [n, highest] = [one.counts.length, Math.max(1, ...one.counts)];
  const shapes = one.counts.flatMap((count, bin) => {
    const [left, height] = [at(-1 + (2 * bin) / n), (HEIGHT * count) / highest];
    const width = at(-1 + (2 * (bin + 1)) / n) - left;
    return count ? [shape("rect", "null", { x: left, y: HEIGHT - height, width, height })] : [];
  });
  const upright = (className, r) => shape("line", className, { x1: at(r), x2: at(r), y1: 0, y2: HEIGHT });
  if (one.threshold !== null) shapes.push(upright("threshold", one.threshold));
  const { r_ci_low: from, r_ci_high: to } = partner.match ?? {};
  if (from != null && to != null) shapes.push(shape("rect", "interval", { x: at(from), y: 10, width: at(to) - at(from), height: 6 }));
  shapes.push(upright("r", partner.r));
  const bound = one.threshold === null ? "" : `, threshold ${round(one.threshold)}`;
  const label = `r ${round(partner.r)}${interval(partner.match)} beside ${one.counts.reduce((a, b) => a + b, 0)} matches of ${one.name}${bound}`;
  return drawing(label, HEIGHT, ...shapes);
}

/** Where a neuron lies in depth: a mark between the first layer and the last. */
function depthDrawing(layer, n_layers) {
  const x = n_layers > 1 ? (WIDTH * layer) / (n_layers - 1) : WIDTH / 2;
  const line = shape("line", "threshold", { x1: 0, x2: WIDTH, y1: 4, y2: 4 });
  const mark = shape("rect", "mark", { x: Math.min(Math.max(x - 2, 0), WIDTH - 4), y: 0, width: 4, height: 8 });
  return drawing(`layer ${layer} of 0 to ${n_layers - 1}`, 8, line, mark);
}
