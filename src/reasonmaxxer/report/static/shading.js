// What shades a token, and the legend that says so. A shade gives each token a value in [-1, 1]: its
// size is how strong the colour is, its sign which of two hues (blue above zero, orange below).

const MINUS = "\u2212";

function fixed(value, digits = 3, sign = false) {
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  return (value < 0 && !zero ? MINUS : sign && !zero ? "+" : "") + text;
}

const nats = (thousandths, sign = false) => fixed(thousandths / 1000, 3, sign);
const change = (rollout, i) => rollout.tuned.logprob[i] - rollout.base.logprob[i];

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") made.className = value;
    else if (name in made && typeof value !== "string") made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children); // strings become text nodes, never markup
  return made;
}

// The value below which a share of all tokens lies, so that one outlier does not wash out the rest.
function percentile(rollouts, values, share) {
  const all = rollouts.flatMap(values).sort((a, b) => a - b);
  return all.length ? all[Math.min(all.length - 1, Math.floor(share * all.length))] : 0;
}

const roundUp = (value, step) => Math.max(step, Math.ceil(value / step) * step);

// The gate's threshold in nats; null of a gate that entropy has no say in.
const tauOf = (gate) => (gate.tau !== null && gate.tau > 0 ? gate.tau : null);

const KINDS = ["unshifted", "reranked", "shifted"];

// Every shade there is; those that a page offers are named in its data.
function makeShades(data) {
  const { gate, arms } = data;
  const rollouts = data.rollouts.filter((r) => r.base); // those that the models have read
  const atEdits = (r) => [...r.editAt.values()].map(([, , , entropy]) => entropy);
  const entropyTop = roundUp(
    percentile(data.rollouts, (r) => r.base?.entropy ?? atEdits(r), 0.99), 500);
  const changes = (r) => r.tokens.map((_, i) => Math.abs(change(r, i)));
  const changeTop = roundUp(percentile(rollouts, changes, 0.98), 500);
  const advantageTop = roundUp(Math.max(0, ...rollouts.map((r) => Math.abs(r.advantage ?? 0))), 0.5);
  const jsdTop = roundUp(percentile(rollouts, (r) => r.jsd ?? [], 0.99), 100);
  const ranks = [1, 2, 5, 20];
  const tau = tauOf(gate);
  const every = {
    class: {
      label: "class",
      title: `Unshifted: both models choose the same token. Reranked: the ${arms[1]} model's choice is another `
        + "of the base's top 5. Shifted: it is none of them",
      signed: true,
      value: (r, i) => [0, 0.75, -1][r.kind[i]],
      steps: KINDS.map((kind, n) => [kind, [0, 0.75, -1][n]]),
    },
    jsd: {
      label: "JSD",
      title: "Jensen-Shannon divergence of the two models before the token, nats",
      value: (r, i) => r.jsd[i] / jsdTop,
      ends: ["0", `${jsdTop / 1000} nats`],
    },
    edits: {
      label: "edits",
      title: "Tokens that the intervention put there; weaker where the model would have said the same",
      value: (r, i) => (r.isDecision[i] ? 1 : r.editAt.has(i) ? 0.35 : 0),
      steps: [["own", 0], ["put, the same", 0.35], ["put, another", 1]],
    },
    entropy: {
      label: "entropy",
      title: "Entropy of the base before the token, nats",
      value: (r, i) => r.base.entropy[i] / entropyTop,
      ends: ["0", `${entropyTop / 1000} nats`],
      mark: tau !== null && 1000 * tau < entropyTop
        ? { at: (1000 * tau) / entropyTop, text: `gate ${fixed(tau, 2)}` } : null,
    },
    change: {
      label: "log-prob change",
      title: `Log-probability of the token, ${arms[1]} minus ${arms[0]}, nats`,
      signed: true,
      value: (r, i) => change(r, i) / changeTop,
      ends: [`${MINUS}${changeTop / 1000}`, `+${changeTop / 1000} nats`],
    },
    advantage: {
      label: "advantage",
      title: "Advantage of the rollout, at its decision points; test completions have none",
      signed: true,
      value: (r, i) => (r.advantage !== null && r.isDecision[i] ? r.advantage / advantageTop : 0),
      ends: [`${MINUS}${advantageTop}`, `+${advantageTop}`],
    },
    rank: {
      label: "rank",
      title: "Rank of the token under the base, 1 is the most likely",
      value: (r, i) => {
        const step = ranks.findIndex((top) => r.base.rank[i] <= top);
        return (step < 0 ? ranks.length : step) / ranks.length;
      },
      steps: ["1", "2", "3\u20135", "6\u201320", "21+"].map((text, n) => [text, n / ranks.length]),
    },
  };
  const offered = Object.fromEntries(data.shades.map((name) => [name, every[name]]));
  return { offered, entropyTop };
}

function paint(span, value) {
  const strength = Math.min(1, Math.abs(value));
  span.style.setProperty("--strength", strength.toFixed(3));
  span.classList.toggle("below", value < 0);
}

function drawLegend(box, shade) {
  const swatch = (value) => {
    const made = element("i", { class: shade.signed ? "swatch signed" : "swatch" });
    paint(made, value);
    return made;
  };
  box.replaceChildren();
  box.title = shade.title;
  box.setAttribute("aria-label", `Legend. ${shade.title}`);
  if (shade.steps) {
    for (const [text, value] of shade.steps) box.append(swatch(value), element("span", {}, text));
    return;
  }
  const bar = element("span", { class: "bar" });
  const count = 13;
  for (let n = 0; n < count; n += 1) {
    bar.append(swatch(shade.signed ? (2 * n) / (count - 1) - 1 : n / (count - 1)));
  }
  box.append(element("span", {}, shade.ends[0]), bar, element("span", {}, shade.ends[1]));
  if (shade.mark) {
    const mark = element("b", { class: "mark", title: shade.mark.text });
    mark.style.left = `${100 * shade.mark.at}%`;
    bar.append(mark);
    box.append(element("span", { class: "marked" }, shade.mark.text));
  }
}
