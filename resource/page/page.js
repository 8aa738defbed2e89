"use strict";

// Asks for one frame after the other, always the newest, and shows it. Addresses are relative: the page's own holds the
// token that the server asks for.

const GROUPS = {
  Brows: ["browDownLeft", "browInnerUp", "browOuterUpLeft"],
  Eyes: ["eyeBlinkLeft", "eyeSquintLeft", "eyeWideLeft"],
  Gaze: ["eyeLookUpLeft", "eyeLookDownLeft", "eyeLookInLeft", "eyeLookOutLeft"],
  "Cheeks and nose": ["cheekPuff", "cheekSquintLeft", "noseSneerLeft"],
  Jaw: ["jawOpen", "jawForward", "jawLeft", "tongueOut"],
  Mouth: [
    "mouthSmileLeft", "mouthFrownLeft", "mouthDimpleLeft", "mouthStretchLeft", "mouthPressLeft", "mouthLeft",
    "mouthClose",
  ],
  Lips: [
    "mouthFunnel", "mouthPucker", "mouthUpperUpLeft", "mouthLowerDownLeft", "mouthRollUpper", "mouthRollLower",
    "mouthShrugUpper", "mouthShrugLower",
  ],
};
const LARGEST = 5; // weights that are highlighted, where they are above:
const SEEN = 0.15;
const RETRY_MS = 1500;
const COMPLAINT_MS = 6000; // all four chosen by hand

const find = (id) => document.getElementById(id);
const head = new Head(find("solid"));
const bars = makeBars();
let number = 0;
let complaint = { text: "", until: 0 };
let known = 0; // bytes of the triangles that are there

function makeBars() {
  const made = new Map();
  for (const [title, names] of Object.entries(GROUPS)) {
    const group = element("div", "group", find("groups"));
    element("h3", "", group).textContent = title;
    for (const name of names) {
      const pair = name.endsWith("Left") ? [name, name.slice(0, -4) + "Right"] : [name];
      const row = element("div", "row", group);
      const label = words(name);
      element("span", "", row).textContent = label;
      for (const each of pair) {
        const bar = element("div", pair.length > 1 ? "bar" : "bar single", row);
        bar.dataset.name = each;
        made.set(each, { bar, row, fill: element("i", "", bar) });
      }
    }
  }
  return made;
}

function element(kind, name, parent) {
  const made = document.createElement(kind);
  made.className = name;
  parent.append(made);
  return made;
}

// mouthSmileLeft: smile; jawLeft and jawRight: left, right.
function words(name) {
  const rest = name.replace(/^(brow|eye|cheek|nose|jaw|mouth|tongue)/, "");
  const sides = rest === "Left" ? "left, right" : rest.replace(/Left$/, "");
  const spaced = sides.replace(/([a-z])([A-Z])/g, "$1 $2").toLowerCase();
  if (name.startsWith("cheek")) return `cheek ${spaced}`;
  if (name.startsWith("nose")) return `nose ${spaced}`;
  if (name.startsWith("tongue")) return `tongue ${spaced}`;
  return spaced.replace(/^look /, "");
}

async function follow() {
  for (;;) {
    if (document.hidden) {
      await new Promise((resolve) => document.addEventListener("visibilitychange", resolve, { once: true }));
      continue;
    }
    try {
      const answer = await fetch(`frame?after=${number}`);
      if (answer.status === 204) continue;
      if (!answer.ok) throw new Error(answer.statusText);
      await show(await answer.arrayBuffer());
      // Not more often than the screen is drawn.
      await new Promise((resolve) => requestAnimationFrame(resolve));
    } catch {
      say("gone", "the tracker has ended, or cannot be reached");
      await new Promise((resolve) => setTimeout(resolve, RETRY_MS));
    }
  }
}

async function show(buffer) {
  const length = new DataView(buffer).getUint32(0, true);
  const state = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 4, length)));
  let at = 4 + length;
  number = state.number;
  showState(state);
  if (state.picture === undefined) return;
  await showPicture(buffer.slice(at, at + state.picture));
  at += state.picture;
  showFace(state.faces);
  if (!state.vertices) {
    head.clear();
    return;
  }
  if (state.triangles && known !== state.triangles) {
    head.setTriangles(new Uint32Array(await (await fetch("triangles")).arrayBuffer()));
    known = state.triangles;
  }
  const bytes = 6 * state.vertices;
  const vertices = new Int16Array(buffer.slice(at, at + bytes));
  head.show(vertices, new Uint8Array(buffer, at + bytes, 3 * state.vertices), state.rotation);
}

async function showPicture(bytes) {
  const bitmap = await createImageBitmap(new Blob([bytes]));
  const canvas = find("image");
  if (canvas.width !== bitmap.width || canvas.height !== bitmap.height)
    [canvas.width, canvas.height] = [bitmap.width, bitmap.height];
  canvas.getContext("2d").drawImage(bitmap, 0, 0);
  bitmap.close();
  find("waiting").hidden = true;
}

function showState(state) {
  find("source").textContent = state.source;
  document.title = state.source ? `${state.source} · face3dmm` : "face3dmm";
  notice(Date.now() < complaint.until ? complaint.text : state.notice);
  find("pause").hidden = !state.offers.pause;
  find("pause").setAttribute("aria-pressed", state.paused);
  find("pause").textContent = state.paused ? "Go on" : "Pause";
  find("recalibrate").hidden = !state.offers.recalibrate;
  const views = state.offers.view || [];
  const select = find("view");
  find("view-label").hidden = views.length < 2;
  if (select.dataset.views !== views.join()) {
    select.dataset.views = views.join();
    select.replaceChildren(...views.map((view) => new Option(view, view)));
  }
  if (document.activeElement !== select || select.dataset.asked !== select.value) select.value = state.view;
  if (state.paused) say("waiting", "paused");
  else if (state.ended) say("gone", "ended");
  else if (state.picture === undefined) say("waiting", "starting");
  else say("live", state.faces.length === 1 ? "1 face" : `${state.faces.length || "no"} faces`);
  const figures = { "images/s": state.rate, "latency, ms": state.latency_ms };
  for (const [name, value] of Object.entries(state.stage_ms || {})) figures[`${name}, ms`] = value;
  find("figures").replaceChildren(...Object.entries(figures).filter(([, value]) => value != null).map(figure));
}

function figure([name, value]) {
  const pair = document.createElement("div");
  element("dt", "", pair).textContent = name;
  element("dd", "", pair).textContent = value;
  return pair;
}

function say(state, text) {
  const status = find("status");
  status.dataset.state = state;
  if (status.textContent !== text) status.textContent = text;
}

function showFace(faces) {
  const face = faces[0];
  const weights = face ? face.weights : {};
  find("weights").hidden = Boolean(face) && !Object.keys(weights).length;
  find("whose").textContent = !face ? "" : faces.length > 1 ? `of face ${face.id}, the nearest` : `of face ${face.id}`;
  const largest = new Set(
    Object.entries(weights).filter(([, value]) => value > SEEN).sort((a, b) => b[1] - a[1]).slice(0, LARGEST)
      .map(([name]) => name));
  const strong = new Set([...largest].map((name) => bars.get(name) && bars.get(name).row));
  for (const [name, { bar, row, fill }] of bars) {
    const value = weights[name] || 0;
    fill.style.transform = `scaleX(${value})`;
    bar.title = `${name} ${value.toFixed(2)}`;
    bar.classList.toggle("strong", largest.has(name));
    row.classList.toggle("strong", strong.has(row));
  }
  ["yaw", "pitch", "roll"].forEach((name, k) => {
    find(name).textContent = face ? `${Math.round(face.angles[k])}°` : "–";
  });
  find("confidence").textContent = face ? `${Math.round(100 * face.confidence)} %` : "–";
}

async function act(what, to) {
  try {
    const answer = await fetch("do", {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify({ do: what, to }),
    });
    if (!answer.ok) complain((await answer.text()) || `${what} is refused`);
  } catch {
    complain("the tracker cannot be reached");
  }
}

function complain(text) {
  complaint = { text, until: Date.now() + COMPLAINT_MS };
  notice(text);
}

function notice(text) {
  find("notice").textContent = text;
  find("notice").hidden = !text;
}

find("pause").addEventListener("click", () => act("pause", find("pause").getAttribute("aria-pressed") === "true" ? "off" : "on"));
find("recalibrate").addEventListener("click", () => act("recalibrate", ""));
find("view").addEventListener("change", (event) => {
  event.target.dataset.asked = event.target.value;
  act("view", event.target.value);
});
follow();
