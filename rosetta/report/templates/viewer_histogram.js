// How a neuron's activations are distributed, with its partner's distribution over it.

const TALL = 48; // of the drawing, in its own units

/** Heights of bars: of the logarithm, so that the rare high values are seen. */
function barHeights(counts) {
  const highest = Math.log1p(Math.max(...counts));
  return counts.map((count) => (TALL * Math.log1p(count)) / highest);
}

/** Bars of a neuron; the outline is of the neuron that it is compared with: the anchor, or the anchor's partner. */
function histogramChart(neuron, i, models) {
  const [own, j] = [neuron.partners[i].histogram, i === 0 ? 1 : 0];
  const made = element("div", "histogram");
  if (!own?.length) return made;
  const other = neuron.partners[j].histogram ?? [];
  const width = WIDTH / own.length;
  const shapes = barHeights(own).map((height, bin) => shape("rect", "own", { x: bin * width, y: TALL - height, width, height }));
  const across = other.length ? `; the outline is ${models[j]} ${named(neuron.partners[j])}` : "";
  if (other.length) shapes.push(shape("path", "outline", { d: outline(barHeights(other), width) }));
  const n = own.reduce((a, b) => a + b, 0);
  const [low, high] = data.histogram;
  const said = `activations on ${n.toLocaleString("en")} ${groupOf(neuron).modality === "images" ? "cells" : "tokens"}, in standard deviations from the mean, on a logarithmic scale${across}`;
  const axis = element("div", "axis");
  axis.append(element("span", "", `${low} or less`), element("span", "", `${high} or more`));
  made.append(drawing(said, TALL, ...shapes), axis, element("div", "note", said));
  return made;
}

/** Steps along the tops of bars. */
const outline = (heights, width) => `M0 ${TALL}` + heights.map((height, bin) => `V${TALL - height}H${(bin + 1) * width}`).join("") + `V${TALL}`;
