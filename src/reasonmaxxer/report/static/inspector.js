// The panel about one token: what each model thought of it and what it would rather have said.

function spaced(text) {
  return text.replaceAll(" ", "\u00b7").replaceAll("\n", "\u23ce").replaceAll("\t", "\u2192");
}

function pieceLabel(data, place) {
  const [id, text, kind] = data.pieces[place];
  const kinds = ["piece", "piece bytes", "piece special"];
  return element("code", { class: kinds[kind], title: `token ${id}` }, spaced(text) || "(empty)");
}

const percent = (thousandths) => {
  const value = 100 * Math.exp(thousandths / 1000);
  return value > 0 && value < 0.1 ? "<0.1%" : `${value.toFixed(1)}%`;
};

function numberRow(name, first, second, difference) {
  return element(
    "tr", { "data-row": name },
    element("th", { scope: "row" }, name),
    element("td", {}, first), element("td", {}, second), element("td", {}, difference),
  );
}

function numberTable(data, rollout, i) {
  const { base, tuned } = rollout;
  const points = 100 * (Math.exp(tuned.logprob[i] / 1000) - Math.exp(base.logprob[i] / 1000));
  const head = ["", ...data.arms, "change"].map((text) => element("th", { scope: "col" }, text));
  return element(
    "table", { class: "numbers" },
    element("thead", {}, element("tr", {}, ...head)),
    element(
      "tbody", {},
      numberRow("log-prob", nats(base.logprob[i]), nats(tuned.logprob[i]),
        nats(change(rollout, i), true)),
      numberRow("probability", percent(base.logprob[i]), percent(tuned.logprob[i]),
        `${fixed(points, 1, true)} pp`),
      numberRow("rank", `${base.rank[i]}`, `${tuned.rank[i]}`, ""),
      numberRow("entropy", nats(base.entropy[i]), nats(tuned.entropy[i]),
        nats(tuned.entropy[i] - base.entropy[i], true)),
    ),
  );
}

// `arm`: `base` or `tuned`; `name`: what this page calls it.
function topList(data, rollout, arm, name, i) {
  const rows = rollout[arm].top[i].map((place, n) => {
    const logprob = rollout[arm].top_logprob[i][n];
    const taken = place === rollout.tokens[i];
    const row = element(
      "li", { class: taken ? "taken" : "", "aria-label": taken ? "the token taken" : "" },
      pieceLabel(data, place),
      element("span", { class: "share" }, percent(logprob)),
      element("span", { class: "logprob" }, nats(logprob)),
    );
    row.style.setProperty("--share", Math.exp(logprob / 1000).toFixed(4));
    return row;
  });
  return element(
    "div", { class: "top", "data-arm": arm },
    element("h4", {}, `top ${rows.length}, ${name}`), element("ol", {}, ...rows),
  );
}

// What an intervention did here, if it did anything.
function editLine(data, edit) {
  const [, host, emitted, entropy] = edit;
  const line = element("p", { class: "edit" }, "put here ", pieceLabel(data, emitted));
  if (host === emitted) line.append(", as the model itself would have");
  else line.append(" in place of ", pieceLabel(data, host));
  line.append(element("span", { class: "facts" }, ` entropy of the base ${nats(entropy)} nats`));
  return line;
}

// How the two models' choices lie to each other here.
function comparisonTags(data, rollout, i) {
  const tag = (text, more = "") => element("span", { class: `tag ${more}` }, text);
  const tags = [tag(KINDS[rollout.kind[i]], KINDS[rollout.kind[i]]), tag(`JSD ${nats(rollout.jsd[i])}`)];
  if (rollout.kind[i]) tags.push(tag(`${data.arms[1]} choice: ${data.arms[0]} rank ${rollout.forward[i]}`));
  return tags;
}

function drawInspector(panel, data, rollout, i) {
  if (!rollout || i === null || !rollout.tokens.length) {
    panel.replaceChildren(element("p", { class: "hint" }, rollout && !rollout.base
      ? "Point at a token, or walk with the arrow keys, to see whether it was put there."
      : "Point at a token, or walk with the arrow keys, to see what both models thought of it."));
    return;
  }
  const place = rollout.tokens[i];
  const facts = [`token ${data.pieces[place][0]}`, `position ${i + 1} of ${rollout.tokens.length}`];
  const about = element("p", { class: "about" }, facts.join(" \u00b7 "));
  if (rollout.isDecision[i]) about.append(element("span", { class: "tag decision" }, data.mark[0]));
  if (rollout.isDecision[i] && rollout.advantage !== null) {
    about.append(element("span", { class: "tag" }, `advantage ${fixed(rollout.advantage, 2, true)}`));
  }
  const whole = rollout.split.find(([first, last]) => first <= i && i <= last);
  if (whole) about.append(element("span", { class: "tag" }, `part of ${spaced(whole[2])}`));
  const which = element("div", { class: "which" }, element("h3", {}, pieceLabel(data, place)), about);
  if (rollout.kind) which.append(element("p", { class: "tags" }, ...comparisonTags(data, rollout, i)));
  if (rollout.editAt.has(i)) which.append(editLine(data, rollout.editAt.get(i)));
  panel.replaceChildren(which);
  if (!rollout.base) return;
  panel.append(
    numberTable(data, rollout, i), element("div", { class: "tops" },
      ...["base", "tuned"].map((arm, n) => topList(data, rollout, arm, data.arms[n], i))),
  );
}
