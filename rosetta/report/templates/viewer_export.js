// What leaves the page: the filtered neurons as CSV or JSON, and contexts as text.

const MATCH_COLUMNS = ["r_ci_low", "r_ci_high", "margin", "p_permutation", "p_documents", "p_untrained"];

/** One row per match of the filtered neurons, in the order of the list. */
function exportRows() {
  return state.shown.flatMap((neuron) => {
    const models = modelsOf(neuron);
    const [anchor, ...partners] = neuron.partners;
    return partners.map((partner, i) => ({
      group: groupOf(neuron).name,
      rank: neuron.rank,
      model_anchor: models[0],
      layer_anchor: anchor.layer,
      unit_anchor: anchor.unit,
      name_anchor: anchor.name,
      model: models[i + 1],
      layer: partner.layer,
      unit: partner.unit,
      name: partner.name,
      r: partner.r,
      ...Object.fromEntries(MATCH_COLUMNS.map((column) => [column, partner.match?.[column] ?? null])),
      ...Object.fromEntries(data.nulls.map((name, n) => [name, neuron.above[n]])),
      domain: data.domains[neuron.domain] ?? "",
      ...Object.fromEntries(data.numbers.map((name, n) => [`${name}, anchor`, anchor.numbers[n]])),
      ...Object.fromEntries(data.numbers.map((name, n) => [name, partner.numbers[n]])),
      promoted: wordsIn(partner.promoted),
      suppressed: wordsIn(partner.suppressed),
      annotation: anchor.about?.name ?? "",
      starred: isStarred(neuron),
    }));
  });
}

/** Tokens in one field, apart from each other whatever they hold. */
const wordsIn = (tokens) => JSON.stringify((tokens ?? []).map(([token]) => token));

/** A field of a CSV file (RFC 4180): in quotes where it has a comma, a quote or a line break. */
function csvField(value) {
  const text = value === null ? "" : String(value);
  return /[",\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}

const csvOf = (table) => [Object.keys(table[0]), ...table.map(Object.values)].map((row) => row.map(csvField).join(",")).join("\r\n") + "\r\n";
const FORMATS = {
  csv: ["text/csv;charset=utf-8", csvOf],
  json: ["application/json", (table) => JSON.stringify(table, null, 1) + "\n"],
};

function exportAs(format) {
  const table = exportRows();
  if (!table.length) return say("nothing to export: the list is empty");
  const [type, write] = FORMATS[format];
  const address = URL.createObjectURL(new Blob([write(table)], { type }));
  const link = element("a");
  link.setAttribute("href", address);
  link.download = `rosetta_neurons.${format}`;
  link.click();
  setTimeout(() => URL.revokeObjectURL(address), 10000); // the browser may still be reading it
  return say(`${state.shown.length} neurons saved as rosetta_neurons.${format}`);
}

function contextsAsText(neuron) {
  const models = modelsOf(neuron);
  const model = groupOf(neuron).models[state.column];
  const title = neuron.partners.map((partner, i) => `${models[i]} ${named(partner)}`).join(" ↔ ");
  if (groupOf(neuron).modality === "images") {
    const lines = shownContexts(neuron).map((context) => imageLine(neuron, models, context));
    return `${title}\ntop images of ${models[state.column]}\n${lines.join("\n")}\n`;
  }
  const parts = shownContexts(neuron).map((context) => {
    const excerpt = excerptOf(neuron, context);
    const [tokens, , highest] = tokensOf(excerpt, excerpt.tokens[model], context.values[state.column]);
    const [top, share] = tokens.find(([, value]) => value === highest) ?? ["", 0];
    const value = (share * neuron.partners[state.column].scale).toPrecision(2);
    return `#${context.ranks[state.column]} · ${placeOf(excerpt)} · ${value} on “${top}”\n${excerpt.text}\n`;
  });
  return [`${title}\ntop contexts of ${models[state.column]}\n`, ...parts].join("\n");
}

async function copyContexts() {
  const neuron = state.shown[state.chosen];
  if (!neuron) return;
  if (!neuron.contexts?.length) {
    say(neuron.contexts ? "there are no texts to copy" : "the texts are not read yet");
    return;
  }
  try {
    await navigator.clipboard.writeText(contextsAsText(neuron));
    say("contexts copied");
  } catch {
    say("the browser does not let this page copy: select the text and copy it");
  }
}
