// A completion at a glance: the base's entropy as bars, the other model's as a line over them. Of an
// intervention only the bars at its edits are known.

function drawing(tag, attributes) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

// `arms`: names; `top`: entropy at full height, thousandths of a nat; `tau`: of the gate, nats or null.
function drawStrip(rollout, { arms, entropyTop: top, tau }, onPick) {
  const count = rollout.tokens.length;
  const svg = drawing("svg", {
    viewBox: `0 0 ${Math.max(count, 1)} 100`, preserveAspectRatio: "none", role: "img",
    "aria-label": rollout.base
      ? `Entropy of each token: bars ${arms[0]}, line ${arms[1]}` : "Entropy of the base at each edit",
  });
  const level = (entropy) => 100 - Math.min(100, (100 * entropy) / top);
  const bar = (i, entropy) => svg.append(drawing("rect", {
    x: i + 0.08, width: 0.84, y: level(entropy), height: 100 - level(entropy),
    class: rollout.isDecision[i] ? "decision" : "",
  }));
  if (rollout.base) {
    rollout.base.entropy.forEach((entropy, i) => bar(i, entropy));
    const points = rollout.tuned.entropy.map((entropy, i) => `${i + 0.5},${level(entropy)}`);
    svg.append(drawing("polyline", { points: points.join(" "), class: "tuned" }));
  } else for (const [i, [, , , entropy]] of rollout.editAt) bar(i, Math.max(entropy, 0.08 * top));
  if (tau !== null) {
    const y = level(1000 * tau);
    svg.append(drawing("line", { x1: 0, x2: count, y1: y, y2: y, class: "gate" }));
  }
  const cursor = drawing("rect", { x: 0, y: 0, width: 1, height: 100, class: "cursor" });
  svg.append(cursor);
  svg.addEventListener("click", (event) => {
    const box = svg.getBoundingClientRect();
    onPick(Math.floor((count * (event.clientX - box.left)) / box.width));
  });
  const moveTo = (i) => {
    cursor.setAttribute("x", i ?? 0);
    cursor.style.display = i === null ? "none" : "";
  };
  moveTo(null);
  const caption = element("span", { class: "facts" }, rollout.base
    ? `entropy: bars ${arms[0]}, line ${arms[1]}${tau === null ? "" : ", dashes the gate"}`
    : rollout.editAt.size ? "edits, as high as the base's entropy" : "no edits");
  return { box: element("div", { class: "strip" }, svg, caption), moveTo };
}
