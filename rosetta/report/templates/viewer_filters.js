// Which neurons the list shows, and in what order.

const NEURON = /^\s*(?:l?(\d+)\s*(?:\/\s*u|\.\s*n?)(\d+))\s*$/i; // L3/U12, 3.12, L3.N12
const EXPERT = /^l\d+\/(e\d+|s)\/u\d+$/; // L3/E17/U42, L3/S/U5

function matching(query) {
  [state.found, state.reading] = [new Set(), ""];
  const place = NEURON.exec(query);
  if (place) {
    const [layer, unit] = [Number(place[1]), Number(place[2])];
    return (neuron) => neuron.partners.some((p) => p.layer === layer && p.unit === unit);
  }
  const words = query.trim().toLowerCase();
  if (!words) return () => true;
  if (EXPERT.test(words)) return (neuron) => neuron.partners.some((p) => named(p).toLowerCase() === words);
  state.reading = wantAllTexts();
  for (const excerpt of data.excerpts) {
    if (!excerpt) continue; // of a part that is not read
    excerpt.lowered ??= excerpt.text.toLowerCase();
    if (excerpt.lowered.includes(words)) state.found.add(excerpt);
  }
  return (neuron) => neuron.contexts?.some((c) => state.found.has(excerptOf(neuron, c))) || neuron.partners.some((p) => tells(p, words));
}

/** Whether what is said of a neuron has the words: its annotation, and the tokens that it promotes or suppresses. */
function tells(partner, words) {
  partner.lowered ??= said(partner).join("\n").toLowerCase();
  return partner.lowered.includes(words);
}

function said(partner) {
  const tokens = [...(partner.promoted ?? []), ...(partner.suppressed ?? [])].map(([token]) => token);
  return [partner.about?.name ?? "", ...(partner.about?.examples ?? []), ...tokens];
}

function within(id, value, fits) {
  const limit = byId(id).value;
  return limit === "" ? () => true : (neuron) => value(neuron) !== null && fits(value(neuron), Number(limit));
}

const atLeast = (id, value) => within(id, value, (number, limit) => number >= limit);
const atMost = (id, value) => within(id, value, (number, limit) => number <= limit);

function equal(id, value) {
  const wanted = byId(id).value;
  return wanted === "" ? () => true : (neuron) => value(neuron) === Number(wanted);
}

function aboveNull() {
  const wanted = byId("above").value;
  if (wanted === "") return () => true;
  if (wanted === "all") return isCalibrated;
  if (wanted === "not") return (neuron) => !isCalibrated(neuron);
  return (neuron) => neuron.above[Number(wanted)];
}

const falling = (value) => (a, b) => (value(b) ?? -Infinity) - (value(a) ?? -Infinity);
const byPlace = (a, b) => a.partners[0].layer - b.partners[0].layer || a.partners[0].unit - b.partners[0].unit;
const ORDERS = {
  "highest r": falling((neuron) => neuron.r),
  "largest margin": falling((neuron) => neuron.margin),
  "highest vocabulary kurtosis": falling(kurtosis),
  "layer and unit": byPlace,
};

function options(id, names, all) {
  if (all) byId(id).append(new Option(all, ""));
  names.forEach(([name, value]) => byId(id).append(new Option(name, value)));
}

function fillOptions() {
  const layers = [...new Set(data.neurons.map((neuron) => neuron.partners[0].layer))].sort((a, b) => a - b);
  options("group", data.groups.map((group, i) => [group.name, i]), "all");
  options("above", data.nulls.map((name, n) => [name, n]), "all");
  if (data.nulls.length) options("above", [["above every null model", "all"], ["not above every null model", "not"]]);
  options("domain", data.domains.map((domain, i) => [domain || "(none)", i]), "all");
  options("layer", layers.map((layer) => [layer, layer]), "all");
  options("sort", Object.keys(ORDERS).map((name) => [name, name]));
}

/** Filter and sort again; the chosen neuron stays chosen where it still is in the list. */
function refresh() {
  const tests = [
    matching(byId("q").value),
    equal("group", (neuron) => neuron.group),
    equal("domain", (neuron) => neuron.domain),
    equal("layer", (neuron) => neuron.partners[0].layer),
    atLeast("min_r", (neuron) => neuron.r),
    atMost("max_r", (neuron) => neuron.r),
    atLeast("min_margin", (neuron) => neuron.margin),
    atLeast("min_kurtosis", kurtosis),
    aboveNull(),
    byId("starred").checked ? isStarred : () => true,
  ];
  const before = state.shown[state.chosen];
  state.shown = data.neurons.filter((neuron) => tests.every((test) => test(neuron)));
  state.shown.sort(ORDERS[byId("sort").value]);
  byId("count").textContent = `${state.shown.length} of ${data.neurons.length} Rosetta Neurons${state.reading}`;
  byId("rows").style.height = `${state.shown.length * ROW_HEIGHT}px`;
  choose(Math.max(0, state.shown.indexOf(before)));
}
