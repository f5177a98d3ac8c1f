// What the page shows, and the words and numbers for it.

const data = JSON.parse(document.getElementById("data").textContent);
const byId = (id) => document.getElementById(id);
const state = { shown: [], chosen: 0, column: 0, drawing: false, found: new Set(), unknown: "", reading: "" };

/** Text of the corpus enters the page here only, as text. */
function element(tag, className, text) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  if (text !== undefined) made.textContent = text;
  return made;
}

function button(text, label, press) {
  const made = element("button", "", text);
  made.type = "button";
  made.setAttribute("aria-label", label);
  made.title = label;
  made.addEventListener("click", press);
  return made;
}

function linkTo(address, text) {
  const made = element("a", "", text);
  made.setAttribute("href", address);
  made.rel = "noreferrer";
  made.target = "_blank";
  return made;
}

/** Say something for a few seconds; screen readers read it out. */
function say(text) {
  byId("said").textContent = text;
  clearTimeout(say.timer);
  say.timer = setTimeout(() => { byId("said").textContent = ""; }, 4000);
}

const named = (partner) => partner.name;
const groupOf = (neuron) => data.groups[neuron.group];
const modelsOf = (neuron) => groupOf(neuron).models.map((model) => data.models[model]);
/** The name by which addresses and stars know a neuron: `a--b/L3/U12`. */
const keyOf = (neuron) => `${groupOf(neuron).name}/${neuron.partners[0].name}`;
const round = (value, digits = 3) => (value === null ? "–" : Number(value.toPrecision(digits)).toString());
const percent = (share) => `${(100 * share).toFixed(1)}%`;
const interval = (match) => (match?.r_ci_low == null ? "" : ` (${round(match.r_ci_low)} to ${round(match.r_ci_high)})`);
const kurtosis = (neuron) => neuron.partners[0].numbers[0];
const domainOf = (neuron) => data.domains[neuron.domain] || "(none)";
/** The strictest null model that a neuron's matches are not above, as words; nothing if there is no such. */
const notAbove = (neuron) => data.nulls.filter((_, n) => !neuron.above[n]).map((name) => `not ${name}`).slice(-1);
const isCalibrated = (neuron) => neuron.above.every(Boolean);
const excerptOf = (neuron, context) => data.excerpts[context.excerpt];
