// The address of a view: `#a--b/L3/U12?min_r=0.5&domain=code`. It names the neuron and all that is set.

const FIELDS = ["q", "group", "domain", "layer", "min_r", "max_r", "min_margin", "min_kurtosis", "above", "starred", "sort"];
const REST = 250; // milliseconds: a view that stays as long becomes an entry of the browser's history

/** What a field is set to, in words that last: of a choice its name, not its number. */
function worded(field) {
  if (field.type === "checkbox") return field.checked ? "yes" : "";
  if (!field.options) return field.value;
  return field.selectedIndex > 0 ? field.selectedOptions[0].text : "";
}

function setField(field, text) {
  if (field.type === "checkbox") field.checked = text === "yes";
  else if (!field.options) field.value = text;
  else field.selectedIndex = Math.max(0, [...field.options].findIndex((option, i) => i > 0 && option.text === text));
}

function addressNow() {
  const neuron = state.shown[state.chosen];
  const [group, ...place] = neuron ? [groupOf(neuron).name, neuron.partners[0].name] : [""];
  const set = FIELDS.map((id) => [id, worded(byId(id))]);
  if (neuron && state.column) set.push(["of", modelsOf(neuron)[state.column]]);
  const query = new URLSearchParams(set.filter(([, text]) => text !== "")).toString();
  return `#${[encodeURIComponent(group), ...place].join("/")}${query ? `?${query}` : ""}`;
}

/** Enter the view into the browser's history, unless it is there already. */
function remember() {
  clearTimeout(remember.timer);
  if (!state.unknown && addressNow() !== location.hash) history.pushState(null, "", addressNow());
}

/** The same once the view rests: letters of a word, or a key held down, are one step. */
function rememberSoon() {
  clearTimeout(remember.timer);
  remember.timer = setTimeout(remember, REST);
}

/** Do something that is a step of its own in the history. */
function step(change) {
  remember();
  change();
  remember();
}

/** Show the view that the address names. */
function visit() {
  clearTimeout(remember.timer);
  const [path, query] = location.hash.slice(1).split(/\?(.*)/s);
  const [group, ...place] = path.split("/").map(decoded);
  const set = new URLSearchParams(query ?? "");
  FIELDS.forEach((id) => setField(byId(id), set.get(id) ?? ""));
  refresh();
  const wanted = `${group}/${place.join("/")}`;
  const neuron = data.neurons.find((one) => keyOf(one) === wanted);
  if (neuron && !state.shown.includes(neuron)) { // the filters hide it
    byId("filters").reset();
    refresh();
  }
  choose(Math.max(0, state.shown.indexOf(neuron)));
  state.unknown = !neuron && place.length ? wanted : "";
  const shown = state.shown[state.chosen];
  if (shown) state.column = Math.max(0, modelsOf(shown).indexOf(set.get("of")));
}

function decoded(text) {
  try {
    return decodeURIComponent(text);
  } catch {
    return text; // a stray percent sign
  }
}
