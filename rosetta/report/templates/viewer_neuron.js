// One neuron: its partners and their numbers.

const detail = byId("detail");
const MATCH_FACTS = {
  margin: "margin to the runner-up", p_permutation: "p, permuted positions", p_documents: "p, exchanged samples", p_untrained: "p, untrained twins",
};

function drawDetail() {
  const neuron = state.shown[state.chosen];
  detail.scrollTop = 0;
  if (state.unknown || !neuron) {
    const told = state.unknown
      ? `${state.unknown} is not among the ${data.neurons.length} neurons that this viewer shows: they are the ones of highest r of each group.`
      : "No Rosetta Neuron fits the search and the filters.";
    detail.replaceChildren(element("p", "note", told));
    return;
  }
  const models = modelsOf(neuron);
  const facts = [groupOf(neuron).name, rankOf(neuron), `lowest r ${round(neuron.r)}`, `margin ${round(neuron.margin, 2)}`];
  data.nulls.forEach((name, n) => facts.push(neuron.above[n] ? name : `not ${name}`));
  const title = element("h1", "", neuron.partners.map((partner, i) => `${models[i]} ${named(partner)}`).join(" ↔ "));
  title.id = "title";
  title.tabIndex = -1;
  const head = element("div", "head");
  head.append(title, starButton(neuron));
  const columns = sideBySide(models);
  columns.append(...models.map((model, i) => modelCard(neuron, model, i)));
  state.column = Math.min(state.column, models.length - 1);
  replaceDetail(head, element("p", "note", facts.join(" · ")), columns, ...EVIDENCE[groupOf(neuron).modality](neuron, models));
}

/** Where it stands among all Rosetta Neurons of its group, those included that the page leaves out. */
const rankOf = (neuron) => `number ${neuron.rank} of ${groupOf(neuron).n_rosetta} by lowest r`;

/** Draw again without taking the focus away from who reads or presses a button there. */
function replaceDetail(...parts) {
  const focused = detail.contains(document.activeElement) ? document.activeElement.id : "";
  detail.replaceChildren(...parts);
  if (focused) (byId(focused) ?? byId("title")).focus({ preventScroll: true });
}

/** What a group's neurons are highest on, by its modality. */
const EVIDENCE = { text: contextParts, images: imageParts, none: () => [element("p", "note", "Only the matches are known of these models.")] };

const MOST_DOMAINS = 12;
const FIRES_ON = { text: "fires on this share of each domain's tokens", images: "fires on this share of each class's cells" };

/** A column per model: beside each other where there is room. */
function sideBySide(models) {
  const made = element("div", "models");
  made.style.setProperty("--columns", models.length);
  return made;
}

function modelCard(neuron, model, i) {
  const partner = neuron.partners[i];
  const card = element("section", "model");
  card.setAttribute("aria-label", `${model} ${named(partner)}`);
  card.append(element("h2", "", `${model} ${named(partner)}`));
  const hosted = data.neuronpedia[groupOf(neuron).models[i]];
  if (hosted) card.append(linkTo(`https://www.neuronpedia.org/${hosted}/${partner.layer}/${partner.unit}`, "on Neuronpedia"));
  if (partner.about) card.append(annotation(partner.about));
  card.append(factList(neuron, partner, i));
  if (neuron.partners.some((p) => p.promoted?.length)) card.append(tokenList("promotes", partner.promoted ?? []), tokenList("suppresses", partner.suppressed ?? []));
  if (neuron.partners.some((p) => p.histogram?.length)) card.append(histogramChart(neuron, i, modelsOf(neuron)));
  if (partner.firing.length) card.append(...firingChart(partner, FIRES_ON[groupOf(neuron).modality]));
  if (i > 0) card.append(chanceChart(neuron, i)); // last, so that what every card has is level
  return card;
}

function factList(neuron, partner, i) {
  const facts = element("dl");
  const add = (name, value) => facts.append(element("dt", "", name), element("dd", "", value));
  const n_layers = data.layers[groupOf(neuron).models[i]];
  add("depth", n_layers ? `layer ${partner.layer} of 0 to ${n_layers - 1}` : `layer ${partner.layer}`);
  if (n_layers) facts.lastChild.append(depthDrawing(partner.layer, n_layers));
  add("r with the anchor", i === 0 ? "itself" : round(partner.r) + interval(partner.match));
  for (const [field, name] of Object.entries(MATCH_FACTS)) {
    // Rows that some partner has stand in every card, so that the charts are level.
    if (neuron.partners.some((p) => p.match?.[field] != null)) add(name, round(partner.match?.[field] ?? null, 2));
  }
  data.numbers.forEach((name, n) => {
    if (neuron.partners.some((p) => p.numbers[n] !== null)) add(name, round(partner.numbers[n]));
  });
  return facts;
}

/** The tokens that the output weights point to, or away from, the most extreme first. */
function tokenList(name, tokens) {
  const made = element("p", "tokens", `${name} `);
  if (!tokens.length) made.append("nothing");
  for (const [text, cosine] of tokens) {
    const token = element("code", "", text.replaceAll("\n", "⏎"));
    token.title = `cosine ${round(cosine)}`;
    made.append(token, " ");
  }
  return made;
}

/** Of many domains the chart is folded, so that what a neuron is highest on stands near. */
function firingChart(partner, told) {
  const chart = domainChart(partner);
  if (partner.firing.filter((share) => share !== null).length <= MOST_DOMAINS) return [element("div", "note", told), chart];
  const folded = element("details");
  folded.append(element("summary", "", told), chart);
  return [folded];
}

function domainChart(partner) {
  const chart = element("div", "chart");
  const highest = Math.max(...partner.firing, 1e-9);
  data.domains.forEach((domain, n) => {
    if (partner.firing[n] === null) return; // of another modality
    const [track, bar] = [element("div", "track"), element("div", "bar")];
    bar.style.width = `${(100 * partner.firing[n]) / highest}%`;
    track.append(bar);
    chart.append(element("span", "", domain || "(none)"), track, element("span", "", percent(partner.firing[n])));
  });
  return chart;
}

function annotation(about) {
  const made = element("p", "about", about.name);
  const verdict = about.is_monosemantic ? "one meaning" : "several meanings";
  made.append(element("span", "note", ` · ${verdict} ${about.examples.map((e) => `“${e}”`).join(" ")}`));
  return made;
}
