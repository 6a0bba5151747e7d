// The list of problems and rollouts, and the filters over it.

const isRight = (rollout) => rollout.outcome === "correct";

const SPLITS = { all: () => true, train: (p) => p.split === "train", test: (p) => p.split === "test" };
const OUTCOMES = {
  all: () => true,
  correct: (p, r) => isRight(r),
  wrong: (p, r) => !isRight(r),
  gained: (p) => p.change === "gained",
  lost: (p) => p.change === "lost",
};

function matching(data, filter) {
  return data.rollouts.filter((rollout) => {
    const problem = data.problems[rollout.problem];
    return SPLITS[filter.split](problem) && OUTCOMES[filter.outcome](problem, rollout);
  });
}

// A row of buttons of which one is pressed; `counts` adds a number to each.
function choice(label, names, onChoose) {
  const buttons = new Map(names.map(([name, text]) => {
    const button = element("button", { type: "button", "data-value": name }, text);
    button.addEventListener("click", () => onChoose(name));
    return [name, button];
  }));
  const box = element("div", { class: "choice", role: "group", "aria-label": label },
    ...buttons.values());
  const show = (chosen, counts = null) => {
    for (const [name, button] of buttons) {
      button.setAttribute("aria-pressed", String(name === chosen));
      if (!counts) continue;
      button.querySelector("span")?.remove();
      button.append(element("span", { class: "count" }, `${counts[name]}`));
    }
  };
  return { box, show };
}

function rolloutButton(rollout, index, onSelect) {
  const right = isRight(rollout);
  const button = element(
    "button",
    {
      type: "button", class: right ? "rollout right" : "rollout wrong", role: "option",
      "data-index": String(index), "aria-selected": "false", tabIndex: -1,
      title: `${rollout.outcome}, ${rollout.tokens.length} tokens`,
    },
    element("span", { class: "sign", "aria-hidden": "true" }, right ? "\u2713" : "\u2717"),
    rollout.name,
    element("span", { class: "hidden" }, ` ${rollout.outcome}`),
  );
  button.addEventListener("click", () => onSelect(rollout));
  return button;
}

// One group a problem; only those with a rollout that the filter lets through.
function drawList(list, data, shown, onSelect) {
  const groups = new Map();
  for (const rollout of shown) {
    if (!groups.has(rollout.problem)) groups.set(rollout.problem, []);
    groups.get(rollout.problem).push(rollout);
  }
  const made = [...groups].map(([number, rollouts]) => {
    const problem = data.problems[number];
    const kind = problem.change || problem.split;
    const head = element("div", { class: "problem", title: problem.text },
      ...(kind ? [element("span", { class: `tag ${kind}` }, kind)] : []),
      problem.code ? `${problem.id} ${problem.text}` : problem.text);
    const buttons = rollouts.map((r) => rolloutButton(r, data.rollouts.indexOf(r), onSelect));
    return element("div", { role: "group", "aria-label": `${problem.split} problem ${problem.id}`.trim() },
      head, element("div", { class: "rollouts", role: "presentation" }, ...buttons));
  });
  list.replaceChildren(...(made.length ? made : [
    element("p", { class: "hint" }, "No rollout matches the filter."),
  ]));
}

function markSelected(list, data, selected, partner) {
  for (const button of list.querySelectorAll(".rollout")) {
    const rollout = data.rollouts[button.dataset.index];
    button.setAttribute("aria-selected", String(rollout === selected));
    button.tabIndex = rollout === selected ? 0 : -1;
    button.classList.toggle("partner", rollout === partner);
    if (rollout === selected) scrollInside(list, button);
  }
}

// Scrolls a box, never the page around it.
function scrollInside(box, target, middle = false) {
  const [outer, inner] = [box.getBoundingClientRect(), target.getBoundingClientRect()];
  if (inner.left < outer.left || inner.right > outer.right) box.scrollLeft += inner.left - outer.left - outer.width / 3;
  if (!middle && inner.top >= outer.top && inner.bottom <= outer.bottom) return;
  box.scrollTop += inner.top - outer.top - (outer.height - inner.height) / (middle ? 2.5 : 2);
}
