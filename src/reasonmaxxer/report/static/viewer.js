// State and keys. Only what is selected is drawn, so the number of rollouts costs nothing.

const root = document.currentScript.closest(".token-viewer");
const data = JSON.parse(root.querySelector("script[type='application/json']").textContent);
for (const rollout of data.rollouts) {
  rollout.editAt = new Map((rollout.edits ?? []).map((edit) => [edit[0], edit]));
  rollout.isDecision = new Uint8Array(rollout.tokens.length);
  for (const i of rollout.decisions) rollout.isDecision[i] = 1;
}
const { offered: shades, entropyTop } = makeShades(data);
const state = {
  filter: { split: "all", outcome: "all" },
  shown: data.rollouts,
  selected: data.rollouts[0] ?? null,
  beside: data.beside, // two panes
  partner: null, // the rollout in the second
  pane: 0,
  token: null,
  shade: data.shades[0],
  whitespace: false,
};
let panes = [];

const KEYS = [
  [["n", "p"], `next, previous ${data.mark[0]}`, () => step(1, true), () => step(-1, true)],
  [["ArrowRight", "ArrowLeft"], "next, previous token", () => step(1), () => step(-1)],
  [["j", "k"], "next, previous rollout", () => move(1), () => move(-1)],
  [["s"], "side by side", () => compare(!state.beside)],
  [["f"], "to the fork", toFork],
  [["x"], "other side, same place", () => focusToken(1 - state.pane, state.token ?? 0)],
  [["c"], "next shade", nextShade],
  [["w"], "white space", () => { state.whitespace = !state.whitespace; drawPanes(); }],
  [["?"], "this help", () => (help.open ? help.close() : help.showModal())],
];
const ACTIONS = new Map(KEYS.flatMap(([keys, , ...actions]) => keys.map((k, n) => [k, actions[n]])));

const splits = choice("Split", data.splits.map((s) => [s, s]), (split) => filter({ split }));
const outcomes = choice("Outcome", data.outcomes.map((s) => [s, s]),
  (outcome) => filter({ outcome }));
const shading = choice("Shade tokens by", Object.entries(shades).map(([n, s]) => [n, s.label]),
  (shade) => { state.shade = shade; drawPanes(); });
const legend = element("div", { class: "legend", role: "img" });
const toggle = (text, key) => {
  const button = element("button", { type: "button", class: "toggle", title: `key ${key}` }, text);
  button.addEventListener("click", () => ACTIONS.get(key)());
  return button;
};
const beside = toggle("side by side", "s");
beside.hidden = data.rollouts.length > 0 && data.rollouts.length === data.problems.length; // no pairs
const whitespace = toggle("white space", "w");
const list = element("div", { class: "list", role: "listbox", "aria-label": "Rollouts" });
const problemBox = element("div", { class: "question" });
const paneBox = element("div", { class: "panes" });
const inspector = element("aside", { class: "inspector", "aria-label": "Token" });
const help = element("dialog", { class: "help", "aria-label": "Keys" },
  element("h3", {}, "Keys"),
  element("dl", {}, ...KEYS.flatMap(([keys, text]) => [
    element("dt", {}, ...keys.map((k) => element("kbd", {}, { ArrowRight: "\u2192", ArrowLeft: "\u2190" }[k] ?? k))),
    element("dd", {}, text),
  ])),
  element("p", {}, `${data.mark[1][0].toUpperCase()}${data.mark[1].slice(1)} are outlined`
    + (data.shades.includes("class") ? `, dashed where the ${data.arms[1]} choice is shifted. ` : ". ")
    + "Side by side dims what two completions share and "
    + "marks their fork, the first token that differs."),
  element("form", { method: "dialog" }, element("button", {}, "close")));

root.append(
  element("div", { class: "frame" },
    element("div", { class: "side" },
      element("div", { class: "filters" }, ...(data.splits.length ? [splits.box] : []), outcomes.box), list),
    element("div", { class: "toolbar" }, ...(data.shades.length > 1 ? [shading.box] : []), legend, beside,
      whitespace, toggle("?", "?")),
    element("div", { class: "reading" }, problemBox, paneBox), inspector),
  help);

function filter(change) {
  Object.assign(state.filter, change);
  state.shown = matching(data, state.filter);
  drawList(list, data, state.shown, select);
  drawFilters();
  if (!state.shown.includes(state.selected)) select(state.shown[0] ?? null);
  else markSelected(list, data, state.selected, state.partner);
}

function drawFilters() {
  const count = (filter) => matching(data, { ...state.filter, ...filter }).length;
  const counts = (names, of) => Object.fromEntries(names.map((name) => [name, count(of(name))]));
  splits.show(state.filter.split, counts(data.splits, (split) => ({ split })));
  outcomes.show(state.filter.outcome, counts(data.outcomes, (outcome) => ({ outcome })));
}

function select(rollout) {
  Object.assign(state, { selected: rollout, token: null });
  compare(state.beside);
}

function move(by) {
  const here = state.shown.indexOf(state.selected);
  const next = state.shown[here + by];
  if (next) select(next);
}

function compare(on) {
  state.partner = (on && state.selected && companions(data, state.selected)[0]) || null;
  Object.assign(state, { beside: on, pane: 0 });
  drawPanes();
  toFork();
}

function nextShade() {
  const names = Object.keys(shades);
  state.shade = names[(names.indexOf(state.shade) + 1) % names.length];
  drawPanes();
}

function drawPanes() {
  const { selected, partner } = state;
  const fork = selected && partner ? forkOf(selected, partner) : null;
  const view = {
    shade: shades[state.shade], whitespace: state.whitespace, fork,
    arms: data.arms, entropyTop, tau: tauOf(data.gate),
  };
  const shown = [selected, partner].filter(Boolean);
  panes = shown.map((rollout, n) => drawPane(data, rollout, view, (i) => focusToken(n, i)));
  paneBox.replaceChildren(...panes.map((p) => p.pane));
  paneBox.classList.toggle("two", panes.length === 2);
  paneBox.classList.toggle("bare", shown.every((r) => !r.base && !r.editAt.size)); // no strip
  paneBox.toggleAttribute("data-signed", Boolean(view.shade.signed));
  drawQuestion(fork);
  shading.show(state.shade);
  drawLegend(legend, view.shade);
  beside.setAttribute("aria-pressed", String(state.beside));
  whitespace.setAttribute("aria-pressed", String(state.whitespace));
  markSelected(list, data, selected, partner);
  show(Math.min(state.pane, panes.length - 1), state.token);
}

function drawQuestion(fork) {
  const problem = state.selected && data.problems[state.selected.problem];
  problemBox.replaceChildren();
  if (!problem) return;
  const facts = element("p", { class: "facts" },
    problem.code ? problem.id : `${problem.id} \u00b7 answer ${problem.answer}`);
  problemBox.classList.toggle("source", problem.code);
  const text = problem.code ? problem.text.replace(/^\s*\n/, "") : problem.text;
  problemBox.append(element("p", {}, text), facts);
  if (problem.code && problem.answer) {
    problemBox.append(element("details", {}, element("summary", {}, "reference solution"),
      element("pre", {}, problem.answer)));
  }
  if (!state.partner) return;
  const others = companions(data, state.selected);
  const menu = element("select", { "aria-label": "Completion beside it" }, ...others.map((other, n) =>
    element("option", { value: String(n), selected: other === state.partner },
      `${other.name} \u00b7 ${other.outcome}`)));
  menu.addEventListener("change", () => {
    Object.assign(state, { partner: others[menu.value], pane: 0, token: null });
    drawPanes();
    toFork();
  });
  facts.append(" \u00b7 beside ", menu,
    fork === null ? " no fork: the same tokens" : ` fork at token ${fork + 1}`);
}

// Shows a token in the panel and makes it the one that Tab reaches.
function show(pane, i) {
  paneBox.querySelector(".current")?.classList.remove("current");
  Object.assign(state, { pane: Math.max(0, pane), token: i });
  const at = panes[state.pane];
  for (const [n, p] of panes.entries()) {
    const reach = p.spans[n === state.pane && i !== null ? i : 0];
    p.reachable?.setAttribute("tabindex", "-1");
    reach?.setAttribute("tabindex", "0");
    p.reachable = reach;
    p.strip.moveTo(n === state.pane ? i : null);
  }
  drawInspector(inspector, data, at?.rollout, i);
  if (!at || i === null) return;
  const { rollout, spans } = at;
  spans[i].classList.add("current");
  const said = [spaced(data.pieces[rollout.tokens[i]][1])];
  if (rollout.kind) said.push(KINDS[rollout.kind[i]]);
  if (rollout.base) {
    said.push(`entropy ${nats(rollout.base.entropy[i])}`, `rank ${rollout.base.rank[i]}`,
      `log-probability change ${nats(change(rollout, i), true)}`);
  } else if (rollout.isDecision[i]) said.push(data.mark[0]);
  spans[i].setAttribute("aria-label", said.join(", "));
}

function focusToken(pane, i, middle = false) {
  const at = panes[pane];
  if (!at?.spans.length) return;
  const span = at.spans[Math.max(0, Math.min(i, at.spans.length - 1))];
  span.focus({ preventScroll: true });
  scrollInside(at.text, span, middle);
}

function step(by, toDecision = false) {
  const at = panes[state.pane];
  if (!at) return;
  let i = state.token ?? (by > 0 ? -1 : at.spans.length);
  do i += by; while (toDecision && i >= 0 && i < at.spans.length && !at.rollout.isDecision[i]);
  if (i >= 0 && i < at.spans.length) focusToken(state.pane, i);
}

// Scrolls to it without taking the focus from the page.
function showFork() {
  const fork = state.partner && forkOf(state.selected, state.partner);
  if (fork === null) return;
  for (const { text, spans } of panes) if (spans[fork]) scrollInside(text, spans[fork], true);
}

function toFork() {
  if (!state.partner) return;
  const fork = forkOf(state.selected, state.partner);
  if (fork === null) return;
  for (const pane of [1, 0]) focusToken(pane, fork, true);
}

function tokenAt(event) {
  const span = event.target.closest(".token");
  const pane = panes.findIndex((p) => p.text.contains(span));
  return span && pane >= 0 ? [pane, Number(span.dataset.i)] : null;
}

for (const kind of ["mouseover", "focusin"]) {
  paneBox.addEventListener(kind, (event) => {
    const found = tokenAt(event);
    if (found) show(...found);
  });
}
paneBox.addEventListener("click", (event) => {
  const found = tokenAt(event);
  if (found) focusToken(...found);
});

// Several viewers share a page: keys go to the one with the focus, or else under the pointer.
document.addEventListener("keydown", (event) => {
  const idle = document.activeElement === document.body && root.matches(":hover");
  if (!idle && !root.contains(document.activeElement)) return;
  if (event.ctrlKey || event.metaKey || event.altKey || event.target.closest?.("select, input")) return;
  const action = ACTIONS.get(event.key);
  if (!action || (help.open && event.key !== "?")) return;
  event.preventDefault();
  action();
  if (!root.contains(document.activeElement)) root.focus({ preventScroll: true }); // was redrawn
});

filter({});
if (state.beside && state.selected) state.partner = companions(data, state.selected)[0] ?? null;
drawPanes();
showFork();
if (window === window.top && root === document.body.firstElementChild) root.focus();
