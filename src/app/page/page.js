"use strict";

// The page of python -m src.app: asks /search, shows moments as bars, and plays the video at the one that is chosen.

const part = (id) => document.getElementById(id);
const [query, within, state, video, bars] = ["query", "within", "state", "video", "bars"].map(part);
let status = { videos: [], models: [] };
let answers = []; // of each model: {model, moments}
let chosen = null; // the moment that is shown

function made(kind, properties = {}, ...children) {
  const element = Object.assign(document.createElement(kind), properties);
  element.append(...children);
  return element;
}

const clock = (seconds) => {
  const [whole, rest] = [Math.floor(seconds), Math.floor((seconds % 1) * 10)];
  const parts = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60].map(Math.trunc);
  const text = parts[0] ? `${parts[0]}:${String(parts[1]).padStart(2, "0")}` : String(parts[1]);
  return `${text}:${String(parts[2]).padStart(2, "0")}${rest ? "." + rest : ""}`;
};

function say(text, wrong = false) {
  state.textContent = text;
  state.classList.toggle("wrong", wrong);
}

async function asked(address, options) {
  const answer = await fetch(address, options);
  const body = await answer.json();
  if (!answer.ok) throw new Error(typeof body.detail === "string" ? body.detail : "the question was not understood");
  return body;
}

// What can be searched, and how far narrating is.
async function look() {
  try {
    status = await asked("status");
  } catch (error) {
    say(`no answer from the server: ${error.message}`, true);
    setTimeout(look, 3000);
    return;
  }
  const kept = within.value;
  within.replaceChildren(made("option", { value: "", textContent: "all videos" }),
    ...status.videos.map((each) => made("option", { value: each.key, textContent: each.name })));
  within.value = status.videos.some((each) => each.key === kept) ? kept : "";
  const bar = part("progress");
  bar.hidden = !status.busy;
  if (status.of) bar.value = status.done / status.of;
  else bar.removeAttribute("value");
  if (status.busy) {
    say(status.of ? `narrating: ${status.done} of ${status.of} videos` : "looking for new videos …");
    setTimeout(look, 1000);
  } else if (!answers.length) {
    const problems = status.problems.length ? ` ${status.problems.length} left out: ${status.problems[0]}` : "";
    say(`${status.videos.length} ${status.videos.length === 1 ? "video" : "videos"} can be searched.${problems}`,
      problems !== "");
    if (wanted) go(wanted);
  }
}

// The link to what is shown: its query, and its moment.
const link = () => new URLSearchParams(location.hash.slice(1));
let wanted = link().get("q") ? Object.fromEntries(link()) : null;

function keep() {
  const words = new URLSearchParams({ q: query.value });
  if (within.value) words.set("in", within.value);
  if (chosen) {
    words.set("video", chosen.video);
    words.set("start", chosen.start);
    words.set("end", chosen.end);
  }
  history.replaceState(null, "", "#" + words);
}

async function go(goal = null) {
  wanted = null;
  if (goal) {
    query.value = goal.q;
    within.value = goal.in ?? "";
  }
  if (!query.value.trim()) {
    say("type a sentence: what is to be seen", true);
    query.focus();
    return;
  }
  say("searching …");
  try {
    answers = [];
    for (const model of status.models) {
      const body = { query: query.value, video: within.value || null, model };
      const options = { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) };
      answers.push({ model, moments: (await asked("search", options)).moments });
    }
  } catch (error) {
    say(error.message, true);
    return;
  }
  list();
  const every = answers.flatMap((answer) => answer.moments);
  say(every.length ? `${answers[0].moments.length} moments` : "nothing was found");
  const same = (each) => goal && each.video === goal.video && each.start === Number(goal.start);
  if (every.length) await choose(every.find(same) ?? every[0], false);
}

function list() {
  const several = answers.length > 1;
  part("answers").replaceChildren(...answers.map(({ model, moments }) => made("div", { className: "model" },
    ...(several ? [made("h3", { textContent: model })] : []),
    made("ol", {}, ...moments.map((moment) => made("li", {}, hit(moment)))))));
  frames(answers.flatMap((answer) => answer.moments));
}

function hit(moment) {
  const where = made("div", { className: "where", textContent: `${moment.name} ` },
    made("span", { textContent: `${clock(moment.start)} – ${clock(moment.end)} · ${(100 * moment.probability).toFixed(0)} %` }));
  const why = made("div", { className: "why", textContent: moment.because.text });
  moment.frame = made("canvas", { width: 256, height: 144 });
  moment.button = made("button", { type: "button", className: "hit" }, moment.frame, where, why);
  moment.button.addEventListener("click", () => choose(moment, true));
  return moment.button;
}

// A frame from the middle of each moment, drawn one after another by a video that is not shown.
let drawing = 0;
async function frames(moments) {
  const turn = ++drawing;
  const hidden = made("video", { muted: true, preload: "auto" });
  for (const moment of moments) {
    if (turn !== drawing || !playable(moment.video)) continue;
    const ready = (event) => new Promise((done) => {
      hidden.addEventListener(event, done, { once: true });
      hidden.addEventListener("error", done, { once: true });
    });
    const address = new URL(`videos/${moment.video}`, location.href).href;
    if (hidden.src !== address) {
      const loaded = ready("loadeddata");
      hidden.src = address;
      await loaded;
    }
    const found = ready("seeked");
    hidden.currentTime = (moment.start + moment.end) / 2;
    await found;
    if (hidden.videoWidth && moment.frame) {
      const pen = moment.frame.getContext("2d");
      const scale = Math.max(256 / hidden.videoWidth, 144 / hidden.videoHeight);
      const [w, h] = [hidden.videoWidth * scale, hidden.videoHeight * scale];
      pen.drawImage(hidden, (256 - w) / 2, (144 - h) / 2, w, h);
    }
  }
}

const playable = (key) => status.videos.some((each) => each.key === key && each.playable);

async function choose(moment, play) {
  chosen = moment;
  keep();
  part("player").hidden = false;
  part("title").textContent = moment.name;
  for (const each of answers.flatMap((answer) => answer.moments)) {
    each.button.classList.toggle("chosen", each === moment);
    each.button.setAttribute("aria-current", each === moment);
  }
  video.hidden = !playable(moment.video);
  const address = new URL(`videos/${moment.video}`, location.href).href;
  if (!video.hidden && video.src !== address) video.src = address;
  seek(moment.start, play);
  told(moment);
  let matches = [];
  try {
    matches = await asked("curve?" + new URLSearchParams({ query: query.value, video: moment.video }));
  } catch (error) {
    say(error.message, true);
  }
  if (chosen === moment) draw(matches);
}

function seek(seconds, play) {
  const jump = () => {
    video.currentTime = seconds;
    if (play) video.play().catch(() => {});
  };
  if (video.readyState) jump();
  else video.addEventListener("loadedmetadata", jump, { once: true });
}

function told(moment) {
  part("told").replaceChildren(...moment.narratives.map((each) => made("li",
    { className: each.time === moment.because.time ? "because" : "" },
    made("time", { textContent: clock(each.time) }), each.text)));
}

const length = (matches) => (Number.isFinite(video.duration) && !video.hidden ? video.duration : matches.at(-1)?.end ?? 1);

// The curve of how well narratives match, and the moments of this video as bars below.
function draw(matches) {
  const seconds = Math.max(length(matches), 0.1);
  part("length").textContent = clock(seconds);
  const values = matches.map((each) => each.cosine);
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const height = (value) => 96 - 88 * (high > low ? (value - low) / (high - low) : 0.5);
  const place = (each) => `${(500 * (each.start + each.end) / seconds).toFixed(1)},${height(each.cosine).toFixed(1)}`;
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  if (matches.length) {
    const [first, last] = [matches[0], matches.at(-1)].map((each) => (500 * (each.start + each.end) / seconds).toFixed(1));
    path.setAttribute("d", `M${first},100 L${matches.map(place).join(" L")} L${last},100 Z`);
  }
  part("curve").replaceChildren(path);
  bars.replaceChildren(...answers.flatMap(({ model, moments }, number) => moments
    .filter((each) => each.video === chosen.video)
    .map((each) => {
      const bar = made("button", { type: "button", className: number ? "bar second" : "bar" });
      bar.title = `${model}: ${clock(each.start)} to ${clock(each.end)}, ${(100 * each.probability).toFixed(0)} %`;
      bar.setAttribute("aria-label", bar.title);
      bar.dataset.start = each.start;
      bar.style.left = `${100 * each.start / seconds}%`;
      bar.style.width = `max(8px, ${100 * (each.end - each.start) / seconds}%)`;
      bar.style.opacity = 0.35 + 0.65 * Math.sqrt(each.probability);
      bar.classList.toggle("chosen", each === chosen);
      bar.addEventListener("click", (event) => {
        event.stopPropagation();
        choose(each, true);
      });
      return bar;
    })));
  video.onloadedmetadata = () => draw(matches);
}

async function upload(file) {
  if (file.size > status.largest) {
    say(`${file.name} has more than ${Math.floor(status.largest / 2 ** 20)} MiB, the most that is taken`, true);
    return;
  }
  say(`uploading ${file.name} …`);
  answers = [];
  try {
    await asked("videos?" + new URLSearchParams({ name: file.name }), { method: "PUT", body: file });
  } catch (error) {
    say(error.message, true);
    return;
  }
  setTimeout(look, 200);
}

part("ask").addEventListener("submit", (event) => {
  event.preventDefault();
  go();
});
part("file").addEventListener("change", (event) => {
  if (event.target.files.length) upload(event.target.files[0]);
  event.target.value = "";
});
part("timeline").addEventListener("click", (event) => {
  const box = part("timeline").getBoundingClientRect();
  if (Number.isFinite(video.duration)) seek((event.clientX - box.left) / box.width * video.duration, false);
});
video.addEventListener("timeupdate", () => {
  if (video.duration) part("now").style.left = `${100 * video.currentTime / video.duration}%`;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "/" && document.activeElement !== query) {
    event.preventDefault();
    query.select();
  }
  const every = answers.flatMap((answer) => answer.moments);
  const at = every.findIndex((each) => each.button === document.activeElement);
  const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
  if (step && at >= 0 && every[at + step]) {
    event.preventDefault();
    every[at + step].button.focus();
  }
});
window.addEventListener("hashchange", () => {
  if (link().get("q")) go(Object.fromEntries(link()));
});
look();
