// The index: neurons found by model, layer, unit, group and words, from search.js beside the page.

const AT_ONCE = 200; // rows that are added to the table at a time
const NEURON = /^\s*(?:l?(\d+)\s*(?:[/-]\s*u|\.\s*n?)(\d+))\s*$/i; // L3/U12, L3-U12, 3.12, L3.N12
const FIELDS = ["q", "model", "layer", "group", "min_r"];
const byId = (id) => document.getElementById(id);
let data = null;
let found = [];
let shown = 0;

function element(name, text) {
  const made = document.createElement(name);
  if (text !== undefined) made.textContent = text;
  return made;
}

/** What search.js calls: models, groups, and neurons as [model, layer, unit, name, r, groups, words]. */
window.rosettaAtlas = (given) => { data = given; };

const addressOf = ([model, , , name]) => `neurons/${encodeURIComponent(data.models[model])}/${name.replaceAll("/", "-")}.html`;

function wanted(query) {
  const place = NEURON.exec(query);
  if (place) return ([, layer, unit]) => layer === Number(place[1]) && unit === Number(place[2]);
  const words = query.trim().toLowerCase();
  if (!words) return () => true;
  return (neuron) => {
    const [model, , , name, , , said] = neuron;
    return name.toLowerCase() === words || data.models[model].toLowerCase().includes(words) || said.toLowerCase().includes(words);
  };
}

function tests() {
  const kept = [wanted(byId("q").value)];
  const [model, layer, group, lowest] = ["model", "layer", "group", "min_r"].map((id) => byId(id).value);
  if (model !== "") kept.push((neuron) => neuron[0] === Number(model));
  if (layer !== "") kept.push((neuron) => neuron[1] === Number(layer));
  if (group !== "") kept.push((neuron) => neuron[5].includes(Number(group)));
  if (lowest !== "") kept.push((neuron) => neuron[4] !== null && neuron[4] >= Number(lowest));
  return kept;
}

function rowOf(neuron) {
  const row = element("tr");
  const [link, cell] = [element("a", neuron[3]), element("td")];
  link.setAttribute("href", addressOf(neuron));
  cell.append(link);
  const r = element("td", neuron[4] === null ? "–" : neuron[4].toFixed(3));
  r.className = "number";
  const groups = element("td", neuron[5].map((number) => data.groups[number]).join(", "));
  row.append(element("td", data.models[neuron[0]]), cell, r, groups);
  return row;
}

function showMore() {
  const body = document.querySelector("#found tbody");
  found.slice(shown, shown + AT_ONCE).forEach((neuron) => body.append(rowOf(neuron)));
  shown = Math.min(shown + AT_ONCE, found.length);
  byId("more").hidden = shown === found.length;
}

function refresh() {
  const all = tests();
  found = data.neurons.filter((neuron) => all.every((test) => test(neuron)));
  byId("count").textContent = `${found.length} of ${data.neurons.length} neurons`;
  document.querySelector("#found tbody").replaceChildren();
  byId("found").hidden = false;
  shown = 0;
  showMore();
  const said = new URLSearchParams(FIELDS.filter((id) => byId(id).value !== "").map((id) => [id, byId(id).value]));
  history.replaceState(null, "", `#${said}`);
}

function fill(id, names, label) {
  byId(id).append(new Option(label, ""));
  names.forEach(([name, value]) => byId(id).append(new Option(name, value)));
}

function start() {
  const layers = [...new Set(data.neurons.map((neuron) => neuron[1]))].sort((a, b) => a - b);
  fill("model", data.models.map((name, i) => [name, i]), "all");
  fill("layer", layers.map((layer) => [layer, layer]), "all");
  fill("group", data.groups.map((name, i) => [name, i]), "all");
  const asked = new URLSearchParams(location.hash.slice(1));
  FIELDS.filter((id) => asked.has(id)).forEach((id) => { byId(id).value = asked.get(id); });
  byId("filters").addEventListener("input", refresh);
  byId("filters").addEventListener("submit", (event) => event.preventDefault());
  byId("more").addEventListener("click", showMore);
  refresh();
}

const script = element("script");
script.setAttribute("src", "search.js");
script.addEventListener("load", start);
script.addEventListener("error", () => { byId("count").textContent = "search.js cannot be read: keep it beside this page."; });
document.head.append(script);
