// What shades a token, and the legend that says so. A shade gives each token a value in [-1, 1]: its
// size is how strong the colour is, its sign which of two hues (blue above zero, orange below).

const MINUS = "\u2212";

function fixed(value, digits = 3, sign = false) {
  const text = Math.abs(value).toFixed(digits);
  const zero = Number(text) === 0;
  return (value < 0 && !zero ? MINUS : sign && !zero ? "+" : "") + text;
}

const nats = (thousandths, sign = false) => fixed(thousandths / 1000, 3, sign);
const change = (rollout, i) => rollout.adapted.logprob[i] - rollout.base.logprob[i];

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

function makeShades(data) {
  const { rollouts, gate } = data;
  const entropyTop = roundUp(percentile(rollouts, (r) => r.base.entropy, 0.99), 500);
  const changes = (r) => r.tokens.map((_, i) => Math.abs(change(r, i)));
  const changeTop = roundUp(percentile(rollouts, changes, 0.98), 500);
  const advantageTop = roundUp(Math.max(0, ...rollouts.map((r) => Math.abs(r.advantage ?? 0))), 0.5);
  const ranks = [1, 2, 5, 20];
  const tau = tauOf(gate);
  return {
    entropy: {
      label: "entropy",
      title: "Entropy of the base before the token, nats",
      value: (r, i) => r.base.entropy[i] / entropyTop,
      ends: ["0", `${entropyTop / 1000} nats`],
      top: entropyTop,
      mark: tau !== null && 1000 * tau < entropyTop
        ? { at: (1000 * tau) / entropyTop, text: `gate ${fixed(tau, 2)}` } : null,
    },
    change: {
      label: "log-prob change",
      title: "Log-probability of the token, adapted minus base, nats",
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
      steps: ["1", "2", "3\u20135", "6\u201320", "21+"],
    },
  };
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
    shade.steps.forEach((text, step) => {
      box.append(swatch(step / (shade.steps.length - 1)), element("span", {}, text));
    });
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
