"use strict";
const $ = (id) => document.getElementById(id);
const model = $("model"), canvas = $("canvas"), pen = canvas.getContext("2d");
let token = "", latest = null, asked = 0, recipe = null;

function element(kind, text, parent) {
  const made = document.createElement(kind);
  if (text !== undefined) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function fault(words) {
  $("error").textContent = words;
  $("error").hidden = !words;
}

async function call(path, options = {}) {
  const headers = token ? { authorization: "Bearer " + token } : {};
  const response = await fetch(path, { ...options, headers });
  const told = await response.json();
  if (response.status === 401) $("ask").hidden = false;
  if (!response.ok) throw new Error(told.error || "the server answered " + response.status);
  return [told, response];
}

async function models() {
  try {
    const [lines] = await call("v2/repository/index", { method: "POST" });
    const names = [...new Set(lines.filter((each) => each.state === "READY").map((each) => each.name))];
    model.replaceChildren(...names.map((name) => element("option", name)));
    fault(names.length ? "" : "no model is ready");
    if (names.length) await describe();
  } catch (error) { fault(error.message); }
}

async function describe() {
  try {
    const [told] = await call("v2/models/" + model.value + "/images");
    recipe = told.image;
    $("takes").textContent = recipe
      ? `${model.value} takes ${recipe.color} pictures of ${recipe.height} × ${recipe.width}.`
      : `${model.value} takes no picture. Ask it with: curl ${location.origin}/v2/models/${model.value}/infer --json @request.json`;
    for (const each of ["file", "clear"]) $(each).disabled = !recipe;
    fault("");
    if (recipe && latest) await ask(latest);
  } catch (error) { fault(error.message); }
}

async function ask(picture) {
  latest = picture;
  const number = ++asked, began = performance.now();
  try {
    const [told, response] = await call("v2/models/" + model.value + "/images?top=10", { method: "POST", body: picture });
    if (number !== asked) return; // a later one was asked meanwhile
    const took = performance.now() - began;
    fault("");
    $("answer").replaceChildren(...Object.entries(told.outputs).map(([name, output]) => table(name, output)));
    const own = (response.headers.get("server-timing") || "").match(/dur=[\d.]+/g) || [];
    const server = own.reduce((sum, each) => sum + Number(each.slice(4)), 0);
    $("took").textContent = `${took.toFixed(1)} ms there and back, ${server.toFixed(1)} ms of it in the queue and the net`;
  } catch (error) {
    if (number !== asked) return;
    $("answer").replaceChildren();
    $("took").textContent = "";
    fault(error.message);
  }
}

function table(name, output) {
  if (!output.labels) {
    const box = element("div");
    element("h3", name, box);
    element("pre", JSON.stringify(output, null, 1).slice(0, 4000), box);
    return box;
  }
  const made = element("table");
  element("caption", `${name}: ${output.decode}`, made);
  for (const each of output.labels) {
    const row = element("tr", undefined, made), share = each.probability ?? each.share ?? 0;
    const label = element("td", each.label ?? String(each.index), row);
    element("div", undefined, label).className = "bar";
    label.lastChild.style.width = Math.max(0, Math.min(1, share)) * 100 + "%";
    element("td", (100 * share).toFixed(1) + " %", row);
  }
  return made;
}

function show(picture) {
  const url = URL.createObjectURL(picture);
  $("shown").onload = () => URL.revokeObjectURL(url);
  $("shown").src = url;
  $("shown").hidden = false;
  $("hint").hidden = true;
  ask(picture);
}

function blank() {
  pen.fillStyle = "#000";
  pen.fillRect(0, 0, canvas.width, canvas.height);
}

function drawing() {
  // A net may take one size alone: what is drawn is made that large here, what is chosen is the server's to fit.
  const made = document.createElement("canvas"), to = made.getContext("2d");
  made.width = Number(recipe.width) || canvas.width;
  made.height = Number(recipe.height) || canvas.height;
  to.imageSmoothingQuality = "high";
  to.drawImage(canvas, 0, 0, made.width, made.height);
  made.toBlob((picture) => picture && ask(picture));
}

let last = null;
function stroke(event) {
  const box = canvas.getBoundingClientRect(), scale = canvas.width / box.width;
  const at = [(event.clientX - box.left) * scale, (event.clientY - box.top) * scale];
  pen.strokeStyle = "#fff";
  pen.lineWidth = canvas.width / 13; // two pixels of a picture of 28
  pen.lineCap = pen.lineJoin = "round";
  pen.beginPath();
  pen.moveTo(...(last || at));
  pen.lineTo(...at);
  pen.stroke();
  last = at;
}

canvas.addEventListener("pointerdown", (event) => { canvas.setPointerCapture(event.pointerId); last = null; stroke(event); });
canvas.addEventListener("pointermove", (event) => { if (event.buttons && last) stroke(event); });
canvas.addEventListener("pointerup", () => { last = null; if (recipe) drawing(); });
$("clear").addEventListener("click", blank);
$("file").addEventListener("change", (event) => event.target.files[0] && show(event.target.files[0]));
for (const kind of ["dragover", "dragleave", "drop"]) {
  $("drop").addEventListener(kind, (event) => {
    event.preventDefault();
    $("drop").classList.toggle("over", kind === "dragover");
    if (kind === "drop" && event.dataTransfer.files[0]) show(event.dataTransfer.files[0]);
  });
}
document.addEventListener("paste", (event) => event.clipboardData.files[0] && show(event.clipboardData.files[0]));
model.addEventListener("change", describe);
$("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  token = $("token").value;
  $("ask").hidden = true;
  models();
});
blank();
models();
