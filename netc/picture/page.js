// The picture of a net: what netc/picture/scene.py does for a fixed depth, for blocks that open and close.
// No text of a spec is ever markup here: nodes are made one by one, and Graphviz reads numbers alone.

const { net, items, edges, files, rules, symbols, total, start } = JSON.parse(document.getElementById("data").textContent);
const { ROW, ROOM, LABEL, GAP, MOST_BOXES, MOST_REACH } = rules;
const open = new Set(start);
const paper = document.getElementById("paper");
const graphviz = await Graphviz.load();

// ---- the view, as scene.py has it

const depth = [];
items.forEach((item, i) => { item.i = i; depth.push(item.parent < 0 ? 0 : depth[item.parent] + 1); });

function scene(open) {
  const seen = [], boxes = new Map(), first = new Map(), frames = [], arrows = new Map();
  items.forEach((item, i) => {
    const up = item.parent, inner = up < 0 || (seen[up] === up && open.has(up));
    seen.push(inner ? i : seen[up]);
    if (!inner) return;
    if (item.kind === "block" && open.has(i)) { frames.push(i); return; }
    const top = first.get(item.on) ?? i;
    first.set(i, top);
    boxes.has(top) ? boxes.get(top).push(i) : boxes.set(top, [i]);
  });
  for (const edge of edges) {
    const a = first.get(seen[edge.start]), b = first.get(seen[edge.stop]), key = `${a} ${b} ${edge.start}`;
    if (a !== b && !arrows.has(key)) arrows.set(key, { start: a, stop: b, edge });
  }
  return { seen, boxes, first, frames, arrows: [...arrows.values()] };
}

function ranks(view) {
  const into = new Map(), rank = new Map();
  for (const a of view.arrows) into.has(a.stop) ? into.get(a.stop).push(a.start) : into.set(a.stop, [a.start]);
  for (const box of view.boxes.keys()) rank.set(box, Math.max(0, ...(into.get(box) ?? []).map((b) => rank.get(b) + 1)));
  return rank;
}

function cost(view) {
  const rank = ranks(view);
  return [rank.size, view.arrows.reduce((sum, a) => sum + rank.get(a.stop) - rank.get(a.start), 0)];
}

function straight(view) {
  const rank = ranks(view), tight = view.arrows.filter((a) => rank.get(a.stop) === rank.get(a.start) + 1);
  const out = new Map(), into = new Map();
  for (const a of tight) {
    out.set(a.start, (out.get(a.start) ?? 0) + 1);
    into.set(a.stop, (into.get(a.stop) ?? 0) + 1);
  }
  return new Set(tight.filter((a) => out.get(a.start) === 1 && into.get(a.stop) === 1));
}

const size = (rows) => [
  Math.max(...rows.map((i) => items[i].width)),
  rows.reduce((sum, i) => sum + (items[i].kind === "block" ? 2 : 1), 0) * ROW,
];

function room(wide, high) {
  const table = `BORDER="0" CELLPADDING="0" CELLSPACING="0" FIXEDSIZE="TRUE" WIDTH="${wide}" HEIGHT="${high}"`;
  return `<<TABLE ${table}><TR><TD></TD></TR></TABLE>>`;
}

function dot(view) {
  const [boxes, reach] = cost(view);
  const hasty = boxes > rules.HASTY_BOXES || reach > 2 * boxes + 100 ? rules.HASTE : "";
  const lines = ["digraph{", `graph[nodesep=0.22 ranksep=0.16${hasty}]`, 'node[shape=box fixedsize=true label=""]', "edge[arrowsize=0.6]"];
  const inside = new Map();
  for (const i of [...view.boxes.keys(), ...view.frames].sort((a, b) => a - b)) {
    const up = items[i].parent;
    inside.has(up) ? inside.get(up).push(i) : inside.set(up, [i]);
  }
  const put = (around) => {
    for (const i of inside.get(around) ?? []) {
      if (view.boxes.has(i)) {
        const [wide, high] = size(view.boxes.get(i));
        lines.push(`n${i}[width=${(wide / 72).toFixed(4)} height=${(high / 72).toFixed(4)}]`);
        continue;
      }
      lines.push(`subgraph cluster_${i}{margin=10 labeljust=l label=${room(items[i].title, ROW - 6)}`);
      put(i);
      lines.push("}");
    }
  };
  put(-1);
  const through = straight(view);
  for (const a of view.arrows) {
    lines.push(`n${a.start}->n${a.stop}[weight=${through.has(a) ? 9 : 1} label=${room(a.edge.width + 12, LABEL + 6)}]`);
  }
  lines.push("}");
  return lines.join("\n");
}

// ---- drawing

function el(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

function tag(name, attributes = {}, ...children) {
  const made = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    key.startsWith("on") ? made.addEventListener(key.slice(2), value) : made.setAttribute(key, value);
  }
  made.append(...children);
  return made;
}

const plural = (n, noun) => `${n.toLocaleString("en")} ${noun}${n === 1 ? "" : "s"}`;
const macs = (item) => (item.macs === null ? `MACs depend on ${symbols.join(", ")}` : plural(item.macs, "MAC"));

function rowPath(x, y, wide, first, last, round) {
  const a = first ? round : 0, b = last ? round : 0;
  return `M${x + a} ${y}h${wide - 2 * a}q${a} 0 ${a} ${a}v${ROW - a - b}q0 ${b} ${-b} ${b}` +
    `h${2 * b - wide}q${-b} 0 ${-b} ${-b}v${a + b - ROW}q0 ${-a} ${a} ${-a}z`;
}

function words(item, x, y, anchor) {
  const text = el("text", { x, y, "text-anchor": anchor }, el("tspan", { class: "strong" }, item.bold));
  if (item.plain) text.append(el("tspan", { dx: GAP / 2, class: item.kind === "block" ? "second" : "" }, item.plain));
  return text;
}

const described = (item) =>
  [item.name ? `${item.name}: ${item.call}` : item.call, item.shape, ...(item.kind === "layer" || item.kind === "block"
    ? [plural(item.params, "parameter"), macs(item)] : []), item.training ? "for training only" : ""].filter(Boolean).join(", ");

function shell(item, classes) {
  const marks = { class: `item ${item.kind} ${item.family}${item.training ? " training" : ""} ${classes}`, "data-i": item.i, tabindex: -1, role: "button", "aria-label": described(item) };
  if (item.kind === "block") marks["aria-expanded"] = String(open.has(item.i));
  return el("g", marks, el("title", {}, described(item) + (item.kind === "block" ? (open.has(item.i) ? " (double click or Enter closes it)" : " (double click or Enter opens it)") : "")));
}

let view, drawn = new Map(), svg, chosen = null, box = { x: 0, y: 0, w: 1, h: 1 }, whole = box;

function draw() {
  view = scene(open);
  const found = JSON.parse(graphviz.layout(dot(view), "json0", "dot"));
  const [, , wide, high] = found.bb.split(",").map(Number);
  const point = (text) => { const [x, y] = text.split(",").map(Number); return [x, high - y]; };
  const behind = el("g"), lines = el("g"), front = el("g");
  drawn = new Map();
  for (const each of found.objects ?? []) {
    if (each.name.startsWith("cluster_")) {
      const i = Number(each.name.slice(8)), [left, low, right, top] = each.bb.split(",").map(Number);
      const g = shell(items[i], depth[i] % 2 ? "frame odd" : "frame even");
      g.append(el("rect", { x: left, y: high - top, width: right - left, height: top - low, rx: 7 }));
      const title = words(items[i], left + 10, high - top + 20, "start"); // above the arrows
      title.setAttribute("class", depth[i] % 2 ? "title odd" : "title");
      behind.append(g);
      front.append(title);
      drawn.set(i, { g, x: left, y: high - top, w: right - left, h: top - low });
      continue;
    }
    const i = Number(each.name.slice(1)), rows = view.boxes.get(i), [w, h] = size(rows);
    const [mx, my] = point(each.pos), x = mx - w / 2, y = my - h / 2;
    rows.forEach((row, n) => {
      const item = items[row], g = shell(item, ""), top = y + n * ROW;
      if (item.kind === "block") {
        for (const shift of item.turns ? [6, 3, 0] : [0]) g.append(el("rect", { x: x + shift, y: y + shift, width: w, height: h, rx: 6 }));
        g.append(words(item, mx, y + 20, "middle"), el("text", { class: "second small", x: mx, y: y + 37, "text-anchor": "middle" }, plural(item.params, "parameter")));
      } else {
        g.append(el("path", { d: rowPath(x, top, w, n === 0, n === rows.length - 1, item.kind === "layer" ? 5 : ROW / 2) }));
        g.append(words(item, x + ROOM, top + 16, "start"));
        if (item.label) g.append(el("text", { class: "second", x: x + w - ROOM, y: top + 16, "text-anchor": "end" }, item.label));
      }
      front.append(g);
      drawn.set(row, { g, x, y: top, w, h: item.kind === "block" ? h : ROW });
    });
  }
  (found.edges ?? []).forEach((each, n) => {
    const arrow = view.arrows[n], [tip, ...curve] = each.pos.split(" ");
    const points = curve.map(point), [first, ...rest] = points.map((p) => p.join(" "));
    const [u, v] = point(tip.slice(2)), [x, y] = points.at(-1), [lx, ly] = point(each.lp);
    const length = Math.hypot(u - x, v - y) || 1, dx = ((v - y) / length) * 2.8, dy = ((u - x) / length) * 2.8;
    const g = el("g", { class: "arrow", "data-from": arrow.start, "data-to": arrow.stop },
      el("title", {}, `${items[arrow.edge.start].name}: ${arrow.edge.shape}`),
      el("path", { d: `M${first}C${rest.join(" ")}` }),
      el("path", { class: "tip", d: `M${x + dx} ${y - dy}L${u} ${v}L${x - dx} ${y + dy}z` }),
      el("text", { x: lx - arrow.edge.width / 2, y: ly + 3.5 }, arrow.edge.shape));
    arrow.g = g;
    lines.append(g);
  });
  svg = el("svg", { role: "group", "aria-label": `The network ${net.name}; arrow keys go from box to box, Enter opens and closes a block` }, behind, lines, front);
  paper.replaceChildren(svg);
  whole = { x: -16, y: -16, w: wide + 32, h: high + 32 };
  document.getElementById("less").disabled = open.size === 0;
  document.getElementById("more").disabled = view.boxes.keys().every((i) => items[i].kind !== "block");
  mark();
}

// ---- zoom and pan

function look() {
  svg.setAttribute("viewBox", `${box.x} ${box.y} ${box.w} ${box.h}`);
}

function aspect(wide) { // a view of this width, of the shape of the paper
  return { w: wide, h: (wide * paper.clientHeight) / Math.max(1, paper.clientWidth) };
}

function fit(all) {
  // The whole width at its natural size or less; a picture taller than the paper starts at its top.
  const natural = aspect(Math.max(whole.w, paper.clientWidth));
  let { w, h } = natural;
  if (all && h < whole.h) ({ w, h } = { w: (natural.w * whole.h) / natural.h, h: whole.h });
  box = { x: whole.x + (whole.w - w) / 2, y: h > whole.h ? whole.y - Math.min(40, (h - whole.h) / 2) : whole.y, w, h };
  look();
}

function zoom(factor, at = { x: box.x + box.w / 2, y: box.y + box.h / 2 }) {
  const most = Math.max(whole.w, whole.h, paper.clientWidth) * 4, w = Math.min(most, Math.max(60, box.w * factor)), by = w / box.w;
  box = { x: at.x - (at.x - box.x) * by, y: at.y - (at.y - box.y) * by, w, h: box.h * by };
  look();
}

function under(event) {
  const all = paper.getBoundingClientRect();
  return { x: box.x + ((event.clientX - all.left) / all.width) * box.w, y: box.y + ((event.clientY - all.top) / all.height) * box.h };
}

function centre(i) {
  const d = drawn.get(i);
  if (d.x >= box.x && d.x + d.w <= box.x + box.w && d.y >= box.y && d.y + Math.min(d.h, 40) <= box.y + box.h) return;
  box.x = d.x + d.w / 2 - box.w / 2;
  box.y = d.y + Math.min(d.h, box.h) / 2 - box.h / 2;
  look();
}

paper.addEventListener("wheel", (event) => {
  event.preventDefault();
  if (event.ctrlKey || event.metaKey || !event.shiftKey && Math.abs(event.deltaX) < Math.abs(event.deltaY)) zoom(Math.exp(Math.max(-60, Math.min(60, event.deltaY)) / 300), under(event));
  else { box.x += ((event.deltaX || event.deltaY) * box.w) / paper.clientWidth; look(); }
}, { passive: false });

const fingers = new Map();
let moved = false;
paper.addEventListener("pointerdown", (event) => { fingers.set(event.pointerId, event); moved = false; });
window.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before || !svg) return;
  const dx = event.clientX - before.clientX, dy = event.clientY - before.clientY;
  if (!moved && Math.hypot(dx, dy) < 4) return;
  moved = true;
  svg.classList.add("moving");
  const other = [...fingers.values()].find((f) => f.pointerId !== event.pointerId);
  if (other) {
    const span = (f) => Math.hypot(f.clientX - other.clientX, f.clientY - other.clientY);
    zoom(span(before) / Math.max(1, span(event)), under({ clientX: (event.clientX + other.clientX) / 2, clientY: (event.clientY + other.clientY) / 2 }));
  } else {
    box.x -= (dx * box.w) / paper.clientWidth;
    box.y -= (dy * box.h) / paper.clientHeight;
    look();
  }
  fingers.set(event.pointerId, event);
});
for (const end of ["pointerup", "pointercancel"]) {
  window.addEventListener(end, (event) => { fingers.delete(event.pointerId); svg?.classList.remove("moving"); });
}
new ResizeObserver(() => {
  if (svg && !matchMedia("print").matches) { Object.assign(box, aspect(box.w)); look(); }
}).observe(paper);
window.addEventListener("beforeprint", () => {
  svg.setAttribute("viewBox", `${whole.x} ${whole.y} ${whole.w} ${whole.h}`);
  svg.setAttribute("width", whole.w);
  svg.setAttribute("height", whole.h);
});
window.addEventListener("afterprint", look);

// ---- opening and closing

const said = document.getElementById("said");
let hush;
function say(text) {
  said.textContent = text;
  clearTimeout(hush);
  hush = setTimeout(() => { said.textContent = ""; }, 5000);
}

function change(next, anchor) {
  const [boxes, reach] = cost(scene(next));
  if (boxes > MOST_BOXES || reach > MOST_REACH) {
    say(boxes > MOST_BOXES ? `Not opened: that would be ${boxes.toLocaleString("en")} boxes, and ${MOST_BOXES.toLocaleString("en")} are laid out at most. Open blocks one by one.`
      : "Not opened: its arrows go past too many boxes to be laid out. Open blocks one by one.");
    return false;
  }
  const before = drawn.get(anchor);
  open.clear();
  for (const i of next) open.add(i);
  draw();
  const after = drawn.get(anchor);
  if (before && after) { // what was clicked stays where it was
    box.x += after.x + after.w / 2 - before.x - before.w / 2;
    box.y += after.y - before.y;
    look();
  } else fit();
  return true;
}

function toggle(i) {
  const next = new Set(open);
  if (!next.delete(i)) next.add(i);
  else items.forEach((item, j) => { if (within(j, i)) next.delete(j); });
  const focused = svg.contains(document.activeElement);
  if (!change(next, i)) return;
  choose(i, focused);
}

function within(j, i) {
  for (let up = items[j].parent; up >= 0; up = items[up].parent) if (up === i) return true;
  return false;
}

function more() {
  const next = new Set(open);
  const shut = [...view.boxes.keys()].filter((i) => items[i].kind === "block"), least = Math.min(...shut.map((i) => depth[i]));
  for (const i of shut) if (depth[i] === least) next.add(i);
  if (shut.length) change(next, chosen);
}

function less() {
  const deepest = Math.max(...[...open].map((i) => depth[i]));
  change(new Set([...open].filter((i) => depth[i] < deepest)), chosen);
}

function reveal(i) {
  const next = new Set(open);
  for (let up = items[i].parent; up >= 0; up = items[up].parent) next.add(up);
  if (next.size !== open.size && !change(next, null)) return;
  choose(i, false);
  centre(i);
}

// ---- what is chosen

function choose(i, focus) {
  chosen = i;
  mark();
  about();
  spec();
  if (focus && drawn.has(i)) drawn.get(i).g.focus({ preventScroll: true });
}

function mark() {
  for (const [i, d] of drawn) {
    d.g.classList.toggle("chosen", i === chosen);
    d.g.setAttribute("tabindex", -1);
    d.g.classList.remove("lit");
  }
  svg.querySelector(".ring")?.remove(); // over the rows beside it, which cover half of its outline
  const shape = drawn.get(chosen)?.g.querySelector("path, rect")?.cloneNode();
  if (shape) {
    shape.setAttribute("class", "ring");
    svg.append(shape);
  }
  const top = chosen === null ? undefined : view.first.get(view.seen[chosen]);
  for (const a of view.arrows) a.g.classList.toggle("near", a.start === top || a.stop === top);
  // One stop of the Tab key: the chosen box, else the first.
  const stop = drawn.get(chosen) ?? drawn.get(chosen === null ? 0 : view.seen[chosen]) ?? drawn.values().next().value;
  stop?.g.setAttribute("tabindex", 0);
}

function share(name, value, all) {
  const part = all ? (100 * value) / all : 0;
  const fill = tag("i");
  fill.style.width = `${Math.min(100, part)}%`;
  return [tag("tr", {}, tag("th", {}, name), tag("td", {}, value.toLocaleString("en")), tag("td", {}, all ? `${part.toFixed(part < 10 ? 1 : 0)} %` : "")),
    tag("tr", {}, tag("td", { colspan: 3 }, tag("div", { class: "bar" }, fill)))];
}

function about() {
  const panel = document.getElementById("about");
  if (chosen === null) {
    panel.replaceChildren(tag("h2", {}, net.name), tag("p", {}, `${plural(total.layers, "layer")}, ${plural(net.params, "parameter")}${net.heads ? ` (${total.params.toLocaleString("en")} with the training heads)` : ""}, ${macs(total)}`),
      tag("p", { class: "second" }, "Choose a box for its weights and its line of the spec. Double click, or Enter, opens and closes a block; drag and wheel move and zoom."));
    return;
  }
  const item = items[chosen], way = [];
  for (let up = item.parent; up >= 0; up = items[up].parent) way.unshift(up);
  const rows = [];
  if (item.kind === "layer" || item.kind === "block") {
    if (item.params) rows.push(...share("parameters", item.params, total.params));
    if (item.macs === null) rows.push(tag("tr", {}, tag("th", {}, "MACs"), tag("td", { colspan: 2 }, `depend on ${symbols.join(", ")}`)));
    else if (item.macs) rows.push(...share("MACs", item.macs, item.training ? null : total.macs));
  }
  for (const [name, shape, learned] of item.weights ?? []) {
    rows.push(tag("tr", {}, tag("th", {}, tag("code", {}, name || "(the layer's name)")), tag("td", {}, shape.join("×") || "1 number"), tag("td", {}, learned ? shape.reduce((a, b) => a * b, 1).toLocaleString("en") : "buffer")));
  }
  const into = [...new Set(edges.filter((e) => inner(e.stop, chosen) && !inner(e.start, chosen)).map((e) => e.shape))];
  const out = item.shape ? [item.shape] : [...new Set(edges.filter((e) => inner(e.start, chosen) && !inner(e.stop, chosen)).map((e) => e.shape))];
  const block = item.kind === "block";
  panel.replaceChildren(
    ...(way.length ? [tag("p", { class: "way" }, ...way.map((up) => tag("button", { onclick: () => reveal(up) }, items[up].bold)))] : []),
    tag("h2", {}, item.name || item.bold),
    tag("p", {}, tag("code", {}, block ? `${item.turns ? `${item.turns} × ` : ""}${item.call}` : item.call), block ? ` · ${plural(item.layers, "layer")}` : ""),
    tag("p", {}, [into.join(", "), out.join(", ")].filter(Boolean).join(" → "), item.training ? tag("span", { class: "second" }, " · for training only") : ""),
    ...(item.params || item.macs !== 0 || item.shared || rows.length || !item.layers ? [] : [tag("p", { class: "second" }, "no weights, no multiply-accumulates")]),
    ...(item.shared ? [tag("p", { class: "second" }, "the weights of ", tag("code", {}, item.shared))] : []),
    ...(rows.length ? [tag("table", {}, ...rows)] : []),
    ...(block && drawn.has(chosen) ? [tag("p", {}, tag("button", { id: "toggle", onclick: () => toggle(chosen) }, open.has(chosen) ? "Close the block" : "Open the block"))] : []));
}

const inner = (j, i) => j === i || within(j, i);

// ---- the spec beside the picture

let shown = null, lines = [];
const users = new Map(); // file and line: what was written there
items.forEach((item, i) => item.where.forEach(([file, line], n) => {
  const key = `${file} ${line}`;
  if (n === 0) users.has(key) ? users.get(key).push(i) : users.set(key, [i]);
}));

function spec() {
  const [file, line, from, to] = chosen === null ? net.where : items[chosen].where[0];
  const panel = document.getElementById("spec");
  if (shown !== file) {
    lines = files[file].lines.map((text, n) => {
      const used = users.has(`${file} ${n + 1}`);
      const made = tag("div", { "data-line": n + 1, ...(used ? { class: "used", onclick: () => lineChosen(file, n + 1) } : {}) }, text);
      return made;
    });
    panel.replaceChildren(tag("h2", {}, files[file].name), tag("pre", { tabindex: 0, "aria-label": files[file].name }, ...lines));
    shown = file;
  }
  lines.forEach((made, n) => {
    if (made.classList.contains("here")) made.textContent = files[file].lines[n];
    made.classList.remove("here", "way");
    made.removeAttribute("aria-current");
  });
  const places = chosen === null ? [] : items[chosen].where.slice(1);
  for (let up = chosen === null ? -1 : items[chosen].parent; up >= 0; up = items[up].parent) places.push(...items[up].where);
  for (const [f, l] of places) if (f === file) lines[l - 1]?.classList.add("way");
  const made = lines[line - 1], text = files[file].lines[line - 1];
  made.classList.remove("way");
  made.classList.add("here");
  made.setAttribute("aria-current", "true");
  made.replaceChildren(text.slice(0, from), tag("mark", {}, text.slice(from, to)), text.slice(to));
  const top = made.offsetTop - panel.clientHeight / 3;
  panel.scrollTo({ top, left: 0, behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
}

function lineChosen(file, line) {
  const here = users.get(`${file} ${line}`), tops = new Set(here.map((i) => view.seen[i]));
  chosen = null;
  choose(here.find((i) => drawn.has(i)) ?? [...tops][0], false);
  for (const i of tops) drawn.get(i)?.g.classList.add("lit");
  centre(chosen);
  say(`Line ${line}: ${plural(here.length, "box").replace("boxs", "boxes")}`);
}

// ---- search

const search = document.getElementById("search"), hits = document.getElementById("hits");
let at = -1, found = [];
function seek() {
  const asked = search.value.trim().toLowerCase().replaceAll("x", "×");
  const hay = (item) => `${item.name} ${item.bold} ${item.plain} ${item.call} ${item.shape}`.toLowerCase().replaceAll("x", "×");
  const score = (item) => {
    const name = item.name.toLowerCase().replaceAll("x", "×");
    return name === asked ? 0 : name.startsWith(asked) ? 1 : name.includes(asked) ? 2 : hay(item).includes(asked) ? 3 : 4;
  };
  found = asked ? items.map((item) => [score(item), item.i]).filter(([s]) => s < 4).sort((a, b) => a[0] - b[0] || a[1] - b[1]) : [];
  const count = found.length;
  found = found.slice(0, 60).map(([, i]) => i);
  at = found.length ? 0 : -1;
  hits.replaceChildren(...found.map((i, n) => tag("li", { role: "option", id: `hit${n}`, "aria-selected": n === at, onpointerdown: (event) => { event.preventDefault(); take(n); } },
    items[i].name || items[i].bold, " ", tag("small", {}, [items[i].call, items[i].shape].filter(Boolean).join(" · ")))));
  if (count > found.length) hits.append(tag("li", { role: "presentation" }, tag("small", {}, `and ${(count - found.length).toLocaleString("en")} more`)));
  if (asked && !count) hits.append(tag("li", { role: "presentation" }, tag("small", {}, "Nothing is called so.")));
  hits.hidden = !asked;
  search.setAttribute("aria-expanded", String(Boolean(asked)));
  point();
}
function point() {
  [...hits.children].forEach((li, n) => { if (li.id) li.setAttribute("aria-selected", String(n === at)); });
  at >= 0 ? search.setAttribute("aria-activedescendant", `hit${at}`) : search.removeAttribute("aria-activedescendant");
  hits.children[at]?.scrollIntoView({ block: "nearest" });
}
function take(n) {
  if (n < 0 || n >= found.length) return;
  reveal(found[n]);
  hits.hidden = true;
  search.setAttribute("aria-expanded", "false");
}
search.addEventListener("input", seek);
search.addEventListener("focus", () => { if (search.value) seek(); });
search.addEventListener("blur", () => { hits.hidden = true; });
search.addEventListener("keydown", (event) => {
  if (event.key === "ArrowDown" || event.key === "ArrowUp") {
    event.preventDefault();
    at = found.length ? (at + (event.key === "ArrowDown" ? 1 : found.length - 1)) % found.length : -1;
    point();
  } else if (event.key === "Enter") take(at);
  else if (event.key === "Escape") { search.value = ""; seek(); search.blur(); }
});

// ---- pointer and keys

paper.addEventListener("click", (event) => {
  if (moved) return;
  const g = event.target.closest(".item");
  if (g) choose(Number(g.dataset.i), true);
  else { chosen = null; mark(); about(); spec(); }
});
paper.addEventListener("dblclick", (event) => {
  const g = event.target.closest(".item");
  if (g && items[g.dataset.i].kind === "block") toggle(Number(g.dataset.i));
});

const WAYS = { ArrowDown: [0, 1], ArrowUp: [0, -1], ArrowRight: [1, 0], ArrowLeft: [-1, 0] };
function step([dx, dy]) { // to the nearest box that way
  const here = drawn.get(chosen) ?? drawn.get(0), middle = (d) => [d.x + d.w / 2, d.y + Math.min(d.h, ROW) / 2];
  if (!drawn.has(chosen)) { choose(drawn.has(0) ? 0 : drawn.keys().next().value, true); return; }
  const [x, y] = middle(here);
  let best = null, least = Infinity;
  for (const [i, d] of drawn) {
    const [u, v] = middle(d), along = (u - x) * dx + (v - y) * dy, aside = Math.abs((u - x) * dy) + Math.abs((v - y) * dx);
    if (i === chosen || along < 4 || (dx && aside > along * 2)) continue;
    if (along + 2 * aside < least) [best, least] = [i, along + 2 * aside];
  }
  if (best === null) return;
  choose(best, true);
  centre(best);
}

window.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.target === search) return;
  const inPicture = svg?.contains(event.target);
  if (event.key === "/") { event.preventDefault(); search.focus(); search.select(); }
  else if (event.key === "+" || event.key === "=") zoom(0.8);
  else if (event.key === "-") zoom(1.25);
  else if (event.key === "0") fit(true);
  else if (event.key === "o") more();
  else if (event.key === "c" && open.size) less();
  else if (event.key === "Escape" && chosen !== null) { chosen = null; mark(); about(); spec(); }
  else if (inPicture && event.key in WAYS) { event.preventDefault(); step(WAYS[event.key]); }
  else if (inPicture && (event.key === "Enter" || event.key === " ")) {
    event.preventDefault();
    const i = Number(event.target.dataset.i);
    items[i].kind === "block" ? toggle(i) : choose(i, true);
  }
});
svgFocus();
function svgFocus() { // Tab brings the chosen box, or the first
  paper.addEventListener("focusin", (event) => {
    const g = event.target.closest?.(".item");
    if (g && Number(g.dataset.i) !== chosen && g.matches(":focus-visible")) { choose(Number(g.dataset.i), false); centre(chosen); }
  });
}
for (const [id, act] of Object.entries({ less, more, in: () => zoom(0.8), out: () => zoom(1.25), fit: () => fit(true) })) {
  document.getElementById(id).addEventListener("click", act);
}

document.querySelector("h1").append(net.name, tag("small", {}, files[0].name));
draw();
fit();
about();
spec();
globalThis.picture = { open, dot: () => dot(scene(open)), choose, toggle, ready: true }; // for tests, and the curious
