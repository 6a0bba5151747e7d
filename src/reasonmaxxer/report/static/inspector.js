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

function numberRow(name, base, adapted, difference) {
  return element(
    "tr", { "data-row": name },
    element("th", { scope: "row" }, name),
    element("td", {}, base), element("td", {}, adapted), element("td", {}, difference),
  );
}

function numberTable(rollout, i) {
  const { base, adapted } = rollout;
  const points = 100 * (Math.exp(adapted.logprob[i] / 1000) - Math.exp(base.logprob[i] / 1000));
  const head = ["", "base", "adapted", "change"].map((text) => element("th", { scope: "col" }, text));
  return element(
    "table", { class: "numbers" },
    element("thead", {}, element("tr", {}, ...head)),
    element(
      "tbody", {},
      numberRow("log-prob", nats(base.logprob[i]), nats(adapted.logprob[i]),
        nats(change(rollout, i), true)),
      numberRow("probability", percent(base.logprob[i]), percent(adapted.logprob[i]),
        `${fixed(points, 1, true)} pp`),
      numberRow("rank", `${base.rank[i]}`, `${adapted.rank[i]}`, ""),
      numberRow("entropy", nats(base.entropy[i]), nats(adapted.entropy[i]),
        nats(adapted.entropy[i] - base.entropy[i], true)),
    ),
  );
}

function topList(data, rollout, arm, i) {
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
    element("h4", {}, `top ${rows.length}, ${arm}`), element("ol", {}, ...rows),
  );
}

function drawInspector(panel, data, rollout, i) {
  if (!rollout || i === null || !rollout.tokens.length) {
    panel.replaceChildren(element("p", { class: "hint" },
      "Point at a token, or walk with the arrow keys, to see what both models thought of it."));
    return;
  }
  const place = rollout.tokens[i];
  const facts = [`token ${data.pieces[place][0]}`, `position ${i + 1} of ${rollout.tokens.length}`];
  const about = element("p", { class: "about" }, facts.join(" \u00b7 "));
  if (rollout.isDecision[i]) about.append(element("span", { class: "tag decision" }, "decision point"));
  if (rollout.isDecision[i] && rollout.advantage !== null) {
    about.append(element("span", { class: "tag" }, `advantage ${fixed(rollout.advantage, 2, true)}`));
  }
  const whole = rollout.split.find(([first, last]) => first <= i && i <= last);
  if (whole) about.append(element("span", { class: "tag" }, `part of ${spaced(whole[2])}`));
  panel.replaceChildren(
    element("div", { class: "which" }, element("h3", {}, pieceLabel(data, place)), about),
    numberTable(rollout, i), element("div", { class: "tops" },
      topList(data, rollout, "base", i), topList(data, rollout, "adapted", i)),
  );
}
