// Completions as text, one pane each.

// Where two token lists part; null where they never do.
function forkOf(one, other) {
  const length = Math.min(one.tokens.length, other.tokens.length);
  for (let i = 0; i < length; i += 1) if (one.tokens[i] !== other.tokens[i]) return i;
  return one.tokens.length === other.tokens.length ? null : length;
}

// The most telling companion: the other arm, or a rollout of the opposite outcome that shares most.
function companions(data, rollout) {
  const shared = (other) => forkOf(rollout, other) ?? Infinity;
  return data.rollouts
    .filter((other) => other.problem === rollout.problem && other !== rollout)
    .sort((a, b) =>
      (data.rollouts[rollout.beside] === b) - (data.rollouts[rollout.beside] === a) ||
      (isRight(a) === isRight(rollout)) - (isRight(b) === isRight(rollout)) || shared(b) - shared(a));
}

function shownText(text, whitespace) {
  if (!whitespace) return text;
  return text.replaceAll(" ", "\u00b7").replaceAll("\t", "\u2192\t").replaceAll("\n", "\u23ce\n");
}

// A program's text: a mark at each line's end, so that a token that is nothing else is seen. A last line break
// is left to the pane, or the token would have an empty box on the next line.
function codeLines(text, whitespace) {
  const [first, ...rest] = text.split("\n").map((line) => shownText(line, whitespace));
  return [first, ...rest.flatMap((line, n) =>
    [element("i", { class: "return" }), line || n < rest.length - 1 ? `\n${line}` : ""])];
}

function tokenSpan(data, rollout, i, fork, view) {
  const [, text, kind] = data.pieces[rollout.tokens[i]];
  const span = element("span", { class: "token", "data-i": String(i), tabIndex: -1 },
    ...(isCode(data, rollout) ? codeLines(text, view.whitespace) : [shownText(text, view.whitespace)]));
  if (kind === 1) span.classList.add("bytes");
  if (kind === 2) span.classList.add("special");
  if (rollout.isDecision[i]) span.classList.add("decision");
  if (rollout.kind?.[i] === 2) span.classList.add("far");
  if (fork !== null && i < fork) span.classList.add("shared");
  if (i === fork) span.classList.add("fork");
  paint(span, view.shade.value(rollout, i));
  return span;
}

const isCode = (data, rollout) => data.problems[rollout.problem].code;

function paneHead(data, rollout) {
  const code = isCode(data, rollout);
  const read = rollout.extracted === null ? "no answer read" : `answer ${rollout.extracted}`;
  const facts = [...(code ? [] : [read]), `${rollout.tokens.length} tokens`];
  if (rollout.decisions.length || rollout.base) {
    facts.push(`${rollout.decisions.length} ${data.mark[rollout.decisions.length === 1 ? 0 : 1]}`);
  }
  if (rollout.advantage !== null) facts.push(`advantage ${fixed(rollout.advantage, 2, true)}`);
  if (rollout.truncated) facts.push("cut at the length limit");
  return element("header", {},
    element("strong", {}, rollout.title),
    element("span", { class: isRight(rollout) ? "tag right" : "tag wrong" },
      `${isRight(rollout) ? "\u2713" : "\u2717"} ${rollout.outcome}`),
    element("span", { class: "facts" }, facts.join(" \u00b7 ")),
    ...(code && rollout.detail ? [element("p", { class: "why", title: rollout.detail }, rollout.detail)] : []));
}

// `view`: shade, whitespace, fork (position or null), arms, entropyTop and tau for the strip.
function drawPane(data, rollout, view, onPick) {
  const spans = rollout.tokens.map((_, i) => tokenSpan(data, rollout, i, view.fork, view));
  const code = isCode(data, rollout);
  const text = element("div", { class: code ? "text source" : "text", role: "group", "aria-label": "Tokens" });
  for (const span of spans) {
    if (!code && span.textContent.startsWith("\u00b7")) text.append(element("wbr")); // a dot is no space
    text.append(span);
    if (code && data.pieces[rollout.tokens[span.dataset.i]][1].endsWith("\n")) text.append("\n");
  }
  if (view.fork !== null && view.fork >= spans.length) {
    text.append(element("span", { class: "fork end" }, "(ends here)"));
  }
  const strip = drawStrip(rollout, view, onPick);
  const pane = element("article", { class: "pane" }, paneHead(data, rollout), strip.box, text);
  return { pane, text, spans, rollout, strip };
}
