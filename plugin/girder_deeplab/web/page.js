// The page of a folder: its models, batches, training. Plain modules, so that nothing is built.
const SHOWN = 100;          // rows of a list
const REFRESH_MS = 5000;
const TASK = "SegmentWSI";
const NEXT_REGIONS = 5;
const NEXT_LAYER = "annotate next";  // says where to look, and is nothing to be learnt

const main = document.querySelector("main");
const said = document.querySelector("#said");
const folderId = new URLSearchParams(location.search).get("folderId");

/** The token of who is logged in: Girder keeps it in a cookie, or in the browser's store. */
function token() {
  const cookie = document.cookie.split("; ").find((each) => each.startsWith("girderToken="));
  return cookie?.slice("girderToken=".length) || localStorage.getItem("girderToken") || "";
}

/** What the server answers; an Error with its sentence where it refuses. */
async function call(method, path, params = {}) {
  const query = new URLSearchParams();
  for (const [key, value] of Object.entries(params)) {
    if (value !== undefined) query.set(key, typeof value === "string" ? value : JSON.stringify(value));
  }
  const headers = token() ? { "Girder-Token": token() } : {};
  const answer = await fetch(`../${path}?${query}`, { method, headers });
  const text = await answer.text();
  let told = null;
  try { told = text ? JSON.parse(text) : null; } catch { /* no JSON: a proxy's page */ }
  if (!answer.ok) throw new Error(told?.message ?? `The server answered ${answer.status}.`);
  return told;
}

const ask = (path, params) => call("GET", path, params);

/** An element with attributes, handlers ("on...") and children; text is never markup. */
function make(tag, given = {}, ...children) {
  const element = document.createElement(tag);
  for (const [key, value] of Object.entries(given)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== undefined) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

function say(text, bad = false, ...more) {
  said.className = bad ? "bad" : "";
  said.replaceChildren(text, ...more);
}

/** Runs what a button is for; says what went wrong, and lets nobody press it twice. */
function doing(work) {
  return async (event) => {
    event.preventDefault();
    const pressed = event.submitter ?? event.currentTarget;
    pressed.disabled = true;
    try { await work(event); } catch (error) { say(error.message, true); }
    pressed.disabled = false;
  };
}

function table(heads, rows, empty) {
  if (!rows.length) return make("p", { class: "hint" }, empty);
  const head = make("tr", {}, ...heads.map((each) => make("th", {}, each)));
  return make("table", {}, make("thead", {}, head), make("tbody", {}, ...rows));
}

const row = (given, ...cells) => make("tr", given, ...cells.map((each) => make("td", {}, each ?? "")));

function classesOf(model) {
  const names = (model.classes ?? []).map((each) => {
    const swatch = make("span", { class: "swatch" });
    swatch.style.backgroundColor = each.colour;
    return make("span", { class: "class" }, swatch, each.name);
  });
  return make("span", {}, ...names);
}

const ENDED = { 3: "has ended", 4: "failed", 5: "was cancelled" };  // jobs, by what Girder calls their states

/** Tells how far a job is, in a line of its own; shows the models anew when it has ended.
 *  What a job of the plugin's own says at its end is its result; of others it is a failure's reason. */
async function follow({ _id, type }, what) {
  const line = make("p");
  document.querySelector("#jobs").append(line);
  const link = make("a", { href: `../../../girder#job/${_id}`, target: "_blank" }, what);
  for (;;) {
    const { status, progress } = await ask(`job/${_id}`);
    const message = progress?.message;
    if (ENDED[status]) {
      const tells = message && (status === 4 || type === COMPARISON);
      line.replaceChildren(link, ` ${ENDED[status]}${tells ? `: ${message}` : ""}`);
      return showModels();
    }
    line.replaceChildren(link, `: ${message || "waits for its turn"}`);
    await new Promise((done) => { setTimeout(done, REFRESH_MS); });
  }
}

function started(job, what) {
  say("");
  follow(job, what).catch((error) => say(error.message, true));
}

const COMPARISON = "deeplab_comparison";

const comparing = ({ jobId, title }) => started({ _id: jobId, type: COMPARISON }, title);

// Sections: each makes its element anew from what the server says.

async function modelsSection() {
  const [models, chosen] = await Promise.all([
    ask("deeplab/model", { task: TASK, limit: SHOWN }),
    ask("deeplab/default", { folderId, task: TASK }),
  ]);
  const rows = models.map((model) => {
    const isDefault = model._id === chosen?.model._id;
    const promote = make("button", { type: "button", onclick: doing(() => setDefault(model)) }, "Make it the default");
    const judge = make("button", { type: "button", onclick: doing(() => evaluate(model)) }, "Evaluate here");
    const about = make("button", { type: "button", onclick: doing(() => tellOf(model)) }, "About");
    const beside = chosen && !isDefault ? make("button", { type: "button", onclick: doing(() => compare(model)) }, "Compare here") : "";
    return row({ class: isDefault ? "chosen" : "" }, model.name, classesOf(model),
      model.mpp ? `${Number(model.mpp.toPrecision(3))} um` : "", make("span", {}, about, " ", judge, " ", beside, " ", isDefault ? "default here" : promote));
  });
  const section = make("section", { id: "models" }, make("h2", {}, "Models"),
    table(["Name", "Finds", "Per pixel", ""], rows, "There are no models yet: train one, or upload one."));
  return { section, models, chosen };
}

async function showModels() {
  const models = await modelsSection();
  document.querySelector("#models").replaceWith(models.section);
  document.querySelector("#segment").replaceWith(segmentSection(models));
}

async function setDefault(model, evenIfNotBetter = false) {
  try {
    const told = await call("PUT", "deeplab/default", { folderId, modelId: model._id, evenIfNotBetter });
    say(`${model.name} is the default of this folder now.${inWords(told.comparison)}`);
    await show();
  } catch (error) {
    if (evenIfNotBetter) throw error;
    const all = make("button", { type: "button", onclick: doing(() => setDefault(model, true)) }, "Make it the default all the same");
    say(inPlainWords(error.message), true, " ", all);
  }
}

/** A refusal, with buttons in the place of requests. */
const inPlainWords = (text) => text.replace(/; evenIfNotBetter=true.*$/s, ".")
  .replace("run POST deeplab/comparison on slides", "press Compare here in a folder of slides with layers");

function inWords(comparison) {
  if (!comparison?.verdict) return "";
  const signed = (value) => `${value < 0 ? "" : "+"}${value.toFixed(3)}`;
  const bounds = comparison.low === null ? "" : ` (${signed(comparison.low)} to ${signed(comparison.high)}, 95 %)`;
  return ` Dice ${comparison.new.toFixed(3)} after ${comparison.old.toFixed(3)}, a difference of ${signed(comparison.difference)}${bounds} on ${comparison.slides} slides.`;
}

async function evaluate(model) {
  const name = `${model.name.replace(/\.zip$/, "")} evaluated`;
  const job = await call("POST", "deeplab/evaluate", {
    folderId, outputFolderId: folderId, modelId: model._id, name, classes: model.classes.map((each) => each.name),
  });
  started(job, `The evaluation of ${model.name}`);
}

async function compare(model) {
  comparing(await call("POST", "deeplab/comparison", { folderId, modelId: model._id }));
}

async function tellOf(model) {
  const told = await ask(`deeplab/model/${model._id}`);
  const lines = told.metrics.map((each) => `on data held out in its training: ${each.name} ${each.value}`);
  for (const each of told.evaluations) {
    for (const one of each.figures ?? []) lines.push(`${each.name}, ${each.slides} slides: ${one.class} ${one.figure} ${one.value?.toFixed(3) ?? "none"}`);
  }
  for (const each of told.comparisons) {
    const so = each.comparison ? inWords(each.comparison) : each.reason ? `: ${each.reason}` : `: ${each.state}`;
    lines.push(`${each.title}${so}`);
  }
  const text = lines.length ? lines.join("\n") : "no figures are known of it";
  const report = told.reportId ? [" ", make("a", { href: `../file/${told.reportId}/download` }, "Report of its training")] : [];
  say(`${model.name}. ${told.trained_on ?? ""} ${told.notice ?? ""}\n${text}`, false, ...report);
}

function segmentSection({ models, chosen }) {
  const choices = models.map((model) => make("option", { value: model._id, selected: model._id === chosen?.model._id }, model.name));
  const form = make("form", { onsubmit: doing(segment) },
    make("label", {}, "Model ", make("select", { name: "modelId", required: true }, ...choices)),
    make("label", {}, make("input", { type: "checkbox", name: "recursive" }), " and in folders of it"),
    make("label", {}, make("input", { type: "checkbox", name: "next" }), " mark where to annotate next"),
    make("button", { class: "main" }, "Segment all slides"));
  return make("section", { id: "segment" }, make("h2", {}, "Segment"),
    choices.length ? form : make("p", { class: "hint" }, "For this a model is needed."));
}

async function segment(event) {
  const given = new FormData(event.target);
  const options = given.has("next") ? { next_regions: NEXT_REGIONS } : undefined;
  const batch = await call("POST", "deeplab/segment", {
    folderId, modelId: given.get("modelId"), recursive: given.has("recursive"), options,
  });
  say(`${batch.title} has started.`);
  await showBatches();
}

async function batchesSection() {
  const batches = await ask("deeplab/batch", { limit: 10 });
  const rows = batches.map((batch) => {
    const counts = Object.entries(batch.counts).filter(([, count]) => count);
    const all = counts.reduce((sum, [, count]) => sum + count, 0);
    const ended = (batch.counts.done ?? 0) + (batch.counts.failed ?? 0);
    const runs = batch.state !== "ended" && batch.state !== "cancelled";
    const act = (word, path) => make("button", { type: "button", onclick: doing(async () => {
      await call("PUT", `deeplab/batch/${batch._id}/${path}`);
      await showBatches();
    }) }, word);
    const buttons = runs ? act("Stop", "cancel") : ended < all || batch.counts.failed ? act("Go on", "resume") : null;
    const why = batch.counts.failed ? make("button", { type: "button", onclick: doing(() => failures(batch)) }, "What failed?") : null;
    return row({}, batch.title, make("progress", { max: all, value: ended }),
      counts.map(([state, count]) => `${count} ${state}`).join(", "), make("span", {}, buttons, " ", why));
  });
  return make("section", { id: "batches" }, make("h2", {}, "Batches"),
    table(["What", "", "Slides", ""], rows, "None was started yet."));
}

async function failures(batch) {
  const slides = await ask(`deeplab/batch/${batch._id}/slide`, { state: "failed", limit: SHOWN });
  say(slides.map((each) => `${each.name}: ${each.reason}`).join("\n"), true);
}

async function showBatches() {
  document.querySelector("#batches")?.replaceWith(await batchesSection());
}

async function trainSection({ chosen, judged }) {
  const census = await ask("deeplab/census", { folderId });
  const learnable = census.layers.filter((each) => (!each.madeBy || each.madeBy === TASK) && each.name !== NEXT_LAYER);
  const names = [...new Set(learnable.map((each) => each.name))];
  const rows = census.layers.map((layer) => row({}, layer.name, layer.madeBy || "people", layer.slides, layer.elements ?? "not counted"));
  const boxes = names.map((name) => make("label", {}, make("input", { type: "checkbox", name: "class", value: name }), ` ${name}`));
  const goingOn = chosen && make("label", {}, make("input", { type: "checkbox", name: "goOn" }), ` go on from ${chosen.model.name}`);
  const form = make("form", { onsubmit: doing((event) => train(event, chosen)) }, "What to learn: ", ...boxes,
    hoursField("2"),
    make("label", {}, "called ", make("input", { name: "name", required: true, maxlength: "100" })), goingOn,
    chosen && compareField(judged, false),
    make("button", { class: "main" }, "Train a model"));
  return make("section", { id: "train" }, make("h2", {}, "Layers, and training on them"),
    make("p", {}, `${census.annotatedSlides} of ${census.slides} slides have layers.`),
    table(["Layer", "Made by", "Slides", "Elements"], rows, "Draw layers on slides in HistomicsUI first."), names.length ? form : null);
}

function training(job, name) {
  started(job, `The training of ${name}`);
  if (job.comparison) comparing(job.comparison);
}

const hoursField = (value) => make("label", {}, "in at most ",
  make("input", { type: "number", name: "hours", min: "0.001", step: "any", value, required: true }), " hours");

async function train(event, chosen) {
  const given = new FormData(event.target);
  const classes = given.getAll("class");
  if (!classes.length) throw new Error("Choose what to learn.");
  const job = await call("POST", "deeplab/train", {
    folderId, outputFolderId: folderId, classes, name: given.get("name"), modelId: given.has("goOn") ? chosen.model._id : undefined,
    options: { hours: Number(given.get("hours")) }, compareFolderId: given.get("compareFolderId") || undefined,
  });
  training(job, given.get("name"));
}

// Corrections: layers that people have looked through, and the next training on them.

async function correctionsSection({ chosen, judged }) {
  const [slides, corrected] = await Promise.all([
    ask("item", { folderId, limit: SHOWN, sort: "lowerName" }),
    ask("deeplab/corrections", { folderId, modelId: chosen?.model._id }),
  ]);
  const marks = new Map(corrected.map((each) => [each._id, each]));
  const rows = slides.filter((item) => item.largeImage).map((item) => {
    const mark = marks.get(item._id);
    const layers = make("button", { type: "button", onclick: doing(() => showLayers(item)) }, "Layers");
    const count = mark?.layers.length;
    const said = mark ? `${count} ${count === 1 ? "layer" : "layers"} corrected${mark.isNewer ? ", new since the default model was trained" : ""}` : "";
    return row({}, make("a", { href: `../../../histomics#?image=${item._id}`, target: "_blank" }, item.name), said, layers);
  });
  const form = make("form", { onsubmit: doing(trainOnCorrections) },
    make("label", {}, "Call the model ", make("input", { name: "name", required: true, maxlength: "100" })),
    hoursField("1"), compareField(judged, true),
    make("button", { class: "main", disabled: !chosen || !corrected.length }, "Train on the corrections"));
  return make("section", { id: "corrections" }, make("h2", {}, "Corrections"),
    make("p", { class: "hint" }, "Correct layers of a model in HistomicsUI, then mark them there or here. The next model goes on from the default of this folder."),
    table(["Slide", "", ""], rows, "There are no slides in this folder."), form);
}

/** The folders in this one with slides on which people have drawn, for comparing models there. */
async function foldersWithLayers() {
  const within = await ask("folder", { parentType: "folder", parentId: folderId, limit: SHOWN });
  const censuses = await Promise.all(within.map((each) => ask("deeplab/census", { folderId: each._id })));
  return within.filter((_, place) => censuses[place].layers.some((each) => !each.madeBy));
}

/** Asks where to compare what is trained with the default; a training may find something else than that does. */
function compareField(folders, isUsual) {
  const choices = folders.map((each, place) => make("option", { value: each._id, selected: isUsual && !place }, `on the slides of ${each.name}`));
  return make("label", {}, "then compare it with the default ",
    make("select", { name: "compareFolderId" }, make("option", { value: "" }, "not at all"), ...choices));
}

/** Lists the layers of a slide under its row, each with a button that marks it or takes the mark off. */
async function showLayers(item) {
  const layers = await ask("annotation", { itemId: item._id, limit: SHOWN });
  const rows = layers.map(({ _id, annotation }) => {
    const mark = annotation.attributes?.corrected;
    const change = make("button", { type: "button", onclick: doing(async () => {
      await call("PUT", `deeplab/annotation/${_id}/corrected`, { corrected: !mark });
      await showCorrections();
      await showLayers(item);
    }) }, mark ? "Take the mark off" : "Mark as corrected");
    return row({}, annotation.name, mark ? `corrected by ${mark.by}` : annotation.attributes?.cli ?? "people", change);
  });
  document.querySelector("#layers")?.remove();
  const shown = make("div", { id: "layers" }, make("h2", {}, `Layers of ${item.name}`), table(["Layer", "By", ""], rows, "There are none."));
  document.querySelector("#corrections").append(shown);
}

async function showCorrections() {
  const [chosen, judged] = await Promise.all([ask("deeplab/default", { folderId, task: TASK }), foldersWithLayers()]);
  document.querySelector("#corrections").replaceWith(await correctionsSection({ chosen, judged }));
}

async function trainOnCorrections(event) {
  const given = new FormData(event.target);
  const name = given.get("name");
  const options = { hours: Number(given.get("hours")) };
  const compareFolderId = given.get("compareFolderId") || undefined;
  const job = await call("POST", "deeplab/train", { folderId, outputFolderId: folderId, name, corrected: true, options, compareFolderId });
  training(job, name);
}

// Where we are.

const link = (folder) => make("a", { href: `?${new URLSearchParams({ folderId: folder._id })}` }, folder.name);

async function showPath() {
  const above = await ask(`folder/${folderId}/rootpath`);
  const own = await ask(`folder/${folderId}`);
  const folders = above.filter((each) => each.type === "folder").map((each) => link(each.object));
  document.querySelector("#path").replaceChildren(make("a", { href: "page" }, "all"), ...folders, link(own));
  document.title = `${own.name}: DeepLab`;
  const within = await ask("folder", { parentType: "folder", parentId: folderId, limit: SHOWN });
  return within.length ? make("p", {}, "Folders in it: ", ...within.flatMap((each) => [link(each), " "])) : null;
}

async function showCollections() {
  const collections = await ask("collection", { limit: SHOWN });
  const sections = await Promise.all(collections.map(async (each) => {
    const folders = await ask("folder", { parentType: "collection", parentId: each._id, limit: SHOWN });
    return make("section", {}, make("h2", {}, each.name), ...folders.map((one) => make("p", {}, link(one))));
  }));
  main.replaceChildren(...sections);
}

async function show() {
  const user = await ask("user/me");
  document.querySelector("#who").replaceChildren(user ? user.login : "not logged in");
  if (!user) return say("Log in to HistomicsUI in this browser first, then load this page again.", true);
  if (!folderId) return showCollections();
  const [within, models, judged] = await Promise.all([showPath(), modelsSection(), foldersWithLayers()]);
  const known = { ...models, judged };
  const [batches, corrections, learning] = await Promise.all([
    batchesSection(), correctionsSection(known), trainSection(known),
  ]);
  const sections = [within, models.section, segmentSection(models), batches, corrections, learning];
  main.replaceChildren(...sections.filter(Boolean));
}

show().catch((error) => say(error.message, true));
setInterval(() => showBatches().catch(() => {}), REFRESH_MS);
