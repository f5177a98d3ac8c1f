// Texts that lie beside the page: read once a neuron of their part is shown, or a search asks for all.

const reading = new Map(); // by the number of a part: the promise that it is read
const partOf = (neuron) => Math.floor(neuron.index / data.parts.neurons);
data.neurons.forEach((neuron, i) => { neuron.index = i; });

/** What a part's script calls. */
window.rosettaPart = (number, part) => {
  for (const [i, excerpt] of part.excerpts) data.excerpts[i] ??= excerpt;
  part.contexts.forEach((contexts, i) => { data.neurons[number * data.parts.neurons + i].contexts = contexts; });
};

function readPart(number) {
  if (!reading.has(number)) reading.set(number, new Promise((resolve, reject) => {
    const script = element("script");
    script.setAttribute("src", `${data.parts.folder}/${number}.js`);
    script.addEventListener("load", resolve);
    script.addEventListener("error", reject);
    document.head.append(script);
  }));
  return reading.get(number);
}

/** What stands in the place of a neuron's texts until they are read. */
function waitingFor(neuron) {
  const where = `the folder ${data.parts.folder}, beside this page`;
  const note = element("p", "note", `The texts are being read from ${where}.`);
  readPart(partOf(neuron)).then(
    () => { if (neuron === state.shown[state.chosen]) drawDetail(); },
    () => { note.textContent = `The texts lie in ${where}, and cannot be read from there. Keep the two together.`; },
  );
  return note;
}

/** What the count says of a search for words while not all texts are there. */
const READING = { all: "", reading: ` · reading all texts (${Math.ceil((data.parts?.bytes ?? 0) / 1e6)} MB)`, missing: " · some texts cannot be read" };
let texts = data.parts ? "some" : "all";

/** Read all texts for a search, and search again once they are there. */
function wantAllTexts() {
  if (texts === "some") {
    texts = "reading";
    const n_parts = Math.ceil(data.neurons.length / data.parts.neurons);
    Promise.all(Array.from({ length: n_parts }, (_, number) => readPart(number)))
      .then(() => { texts = "all"; }, () => { texts = "missing"; })
      .finally(refresh);
  }
  return READING[texts];
}
