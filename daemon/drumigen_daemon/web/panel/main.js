// The panel: what is shown where.
import { Grid } from "./grid.js";
import { History } from "./history.js";
import { Link } from "./link.js";
import { Sound } from "./sound.js";
import { VOICES } from "./voices.js";
import { action, choice, element, fader, field, follow, list, pad, toggle } from "./widgets.js";

const TABS = [["play", "Play"], ["tempo", "Tempo"], ["feel", "Feel"], ["mix", "Mix"], ["scenes", "Scenes"], ["bars", "Bars"], ["more", "More"]];
const CALLS = [["fill", "Fill"], ["fill_next", "Fill next"], ["build", "Build"], ["again", "Again"], ["re-roll", "Re-roll"], ["back", "Back"]];
const SWITCHES = [["drop", "Drop"], ["hold", "Hold"], ["half_time", "Half time"]];
const SECTIONS = { none: "None", intro: "Intro", a: "A", b: "B", break: "Break", ending: "Ending", solo: "Solo" };
const DROP_OUTS = { "free-run": "Play on", stop: "Stop too" };
const STUTTERS = { off: "No stutter", quarter: "Stutter ¼", eighth: "Stutter ⅛", sixteenth: "Stutter 1⁄16" };
const KEYS = { " ": "start", f: "fill", n: "fill_next", b: "build", a: "again", r: "re-roll", t: "tap" };
const SCENES = 8;
const PULSES = 24;
const $ = (id) => document.getElementById(id);
// what stays at the top: how tall it is, for what has to fit below it
const head = document.querySelector("header");
new ResizeObserver(() => document.documentElement.style.setProperty("--head", `${head.offsetHeight}px`)).observe(head);

const link = new Link();
const sound = new Sound(link);
new Grid($("grid"), $("plan-text"), link);
const history_ = new History($("history"), link);
window.drumigen = { link, sound };

// --- pages ---------------------------------------------------------------------------------------

$("tabs").append(...TABS.map(([name, title]) => {
  const button = element("button", { type: "button", id: `tab-${name}`, onclick: () => open(name) }, title);
  return button;
}));

function open(name) {
  document.body.dataset.tab = name;
  for (const [each] of TABS) {
    if (each === name) $(`tab-${each}`).setAttribute("aria-current", "page");
    else $(`tab-${each}`).removeAttribute("aria-current");
  }
  if (name === "bars") history_.show();
}
open("play");

// --- what stands at the top ------------------------------------------------------------------------

const start = $("start");
start.onclick = () => link.ask(link.song.transport === "stopped" ? "start" : "stop");

function beat() {
  const { song } = link;
  if (song.meters) {
    const tick = link.tick;
    let [bar, at, meter] = song.meters[0];
    for (const change of song.meters) if (change[1] <= tick) [bar, at, meter] = change;
    const [n, d] = meter.split("/").map(Number);
    const beatTicks = 4 * 1920 / d;
    const into = Math.max(0, tick - at);
    $("bar").textContent = bar + Math.floor(into / (n * beatTicks)) + 1;
    $("beat").textContent = Math.floor(into % (n * beatTicks) / beatTicks) + 1;
    if (pendingStyle() !== coming) style();
  }
  requestAnimationFrame(beat);
}
requestAnimationFrame(beat);

link.addEventListener("song", () => {
  const { song } = link;
  const going = song.transport !== "stopped";
  start.setAttribute("aria-pressed", String(going));
  start.dataset.armed = String(song.transport === "armed");
  start.querySelector(".word").textContent = song.transport === "armed" ? "Armed" : going ? "Stop" : "Start";
  $("tempo").textContent = song.tempo.toFixed(1);
  $("lock").textContent = song.master ? `${song.lock} · ${song.master}` : song.lock;
  jitter();
  style();
  if (performance.now() > complaining) tell(missingPort() || (link.now - song.problem_at < 30 ? song.problem : ""));
  ports();
});

/** What is wrong for as long as it is: a port that the settings name, and that is not there. */
function missingPort() { return link.song.advice?.find((line) => line.startsWith("missing:")) ?? ""; }

/** The spread of the clock's pulses in percent of the distance of two: as players read it on their hardware. */
function jitter() {
  const { song, counters } = link;
  const pulse = 60e6 / song.tempo / PULSES;
  $("jitter").textContent = song.lock === "internal" || !counters.clock_jitter_us ? "–" : `${(100 * counters.clock_jitter_us / pulse).toFixed(1)} %`;
}

let coming = "";

/** The style that sounds, and the one that will. */
function style() {
  const { song } = link;
  coming = pendingStyle();
  $("style-now").textContent = title(coming ? song.bar_style : song.style);
  $("pending").textContent = coming ? `${title(coming)} ${when()}` : "";
  for (const button of $("styles").children) button.dataset.pending = String(button.dataset.style === coming);
}

/** The style that is set and does not sound yet. */
function pendingStyle() {
  const { song } = link;
  const due = song.style_due !== null && link.tick >= song.style_due;
  return song.transport === "rolling" && song.style_pending && !due ? song.style_pending : "";
}

function when() {
  return { step: "at the next sixteenth", beat: "at the next beat", bar: "at the next bar", phrase: "at the next phrase" }[link.value("quantum")] ?? "soon";
}

function title(style) { return link.styles.find((each) => each.name === style)?.title ?? style ?? "–"; }

let portsShown = "";
let complaining = 0; // until when a line that answers this panel stays
function tell(text) {
  const line = $("problem");
  line.hidden = !text;
  line.textContent = text;
}
function complain(text) {
  complaining = performance.now() + 6000;
  tell(text);
}
link.addEventListener("complaint", (event) => complain(event.detail));

link.addEventListener("connection", () => {
  const line = $("connection");
  line.dataset.ok = String(link.connected && link.mayControl);
  // what is shown may not be true any more
  document.body.dataset.lost = String(!link.connected);
  line.textContent = link.connected ? (link.mayControl ? "connected" : "connected; this panel only watches") : "no line to drumigen: trying again…";
});

// --- what can be turned ----------------------------------------------------------------------------

let drawn = "";
link.addEventListener("hello", () => {
  const { table } = link;
  // a panel that comes back with the same controls stays as it is, with what has the focus
  const told = JSON.stringify([[...table], link.styles, link.mayControl]);
  if (told === drawn) return;
  drawn = told;
  const names = (control) => table.get(control)?.names ?? [];
  $("styles").replaceChildren(...link.styles.map((style) => {
    const [button] = choice(link, "style", [style.name], () => style.title);
    button.dataset.style = style.name;
    return button;
  }));
  $("calls").replaceChildren(
    ...CALLS.filter(([name]) => table.has(name)).map(([name, label]) => action(link, name, label)),
    ...SWITCHES.filter(([name]) => table.has(name)).map(([name, label]) => toggle(link, name, label)),
    soundButton("sound-here", "Sound here"),
  );
  $("stutter").replaceChildren(...choice(link, "stutter", names("stutter"), (name) => STUTTERS[name] ?? name));
  $("sections").replaceChildren(...choice(link, "section", names("section"), (name) => (SECTIONS[name] ?? name)));
  pad(link, "density", "intensity", $("xy"));
  $("tempo-controls").replaceChildren(
    fader(link, "tempo", "Tempo", { step: 0.5, unit: " BPM", shown: (v) => v.toFixed(1) }),
    element("div", { className: "row" }, element("span", {}, "By hand"), element("div", { className: "left" },
      action(link, "tap", "Tap"),
      element("button", { type: "button", id: "nudge-early", "data-control": "nudge", onclick: () => link.ask("nudge", -10) }, "◀ 10 ms"),
      element("button", { type: "button", id: "nudge-late", onclick: () => link.ask("nudge", 10) }, "10 ms ▶"),
      action(link, "re-one", "The one is now"))),
    row("Clock (from the next start)", choice(link, "source", names("source"))),
    row("If it stops", choice(link, "drop_out", names("drop_out"), (name) => DROP_OUTS[name] ?? name)),
    row("Others", [toggle(link, "start_on_clock", "Start with their clock"), toggle(link, "clock_out", "Send them ours")]),
    row("Read it", choice(link, "reading", names("reading"))),
    row("Switch at", choice(link, "quantum", names("quantum"))),
    fader(link, "offset_ms", "Output offset", { step: 1, unit: " ms", shown: (v) => Math.round(v) }),
  );
  $("feel-controls").replaceChildren(
    fader(link, "swing", "Swing", { step: 0.5, unit: " %" }),
    fader(link, "push", "Push", { step: 1, unit: " ms", shown: (v) => Math.round(v) }),
    fader(link, "humanize", "Humanize", { unit: " %" }),
    fader(link, "temperature", "Daring", { step: 0.05, shown: (v) => Number(v).toFixed(2) }),
    ...["busy"].filter((name) => table.has(name)).map((name) => fader(link, name, "Busy")),
    list(link, "blend", "Blend with", [["none", "nothing"], ...link.styles.map((style) => [style.name, style.title])]),
    fader(link, "share", "Morph", { unit: " %" }),
    oneVoice(),
  );
  $("mix-controls").replaceChildren(...VOICES.filter(([voice]) => table.has(`level.${voice}`)).map(([voice, label]) => strip(voice, label)));
  scenes();
  learning();
  $("song-controls").replaceChildren(
    place(),
    field(link, "seed", "Seed", "number"), field(link, "meter", "Metre"), field(link, "kit", "Kit"),
    row("Form", choice(link, "form", names("form"), (name) => ({ off: "As I call", song: "By itself" })[name] ?? name)),
    fader(link, "fill_every", "Fill every", { shown: (v) => (v ? `${v} bars` : "never") }),
    fader(link, "fill_amount", "Fill takes", { unit: " %" }),
    fader(link, "phrase", "Phrase", { unit: " bars" }),
    fader(link, "build_bars", "Build", { unit: " bars" }),
    fader(link, "count_in", "Count in", { unit: " bars" }),
    row("Vary loops", [toggle(link, "variation", "Vary")]),
    row("Silence all", [action(link, "panic", "Panic")]),
  );
  soundControls();
  ports();
  for (const control of document.querySelectorAll("main button, main input, main select, #start")) {
    if (!control.closest("#sound, #history, #sound-here")) control.disabled = !link.mayControl;
  }
});

function row(label, buttons) {
  return element("div", { className: "row", role: "group", "aria-label": label }, element("span", {}, label), element("div", { className: "left" }, ...buttons));
}

function strip(voice, label) {
  const id = `level-${voice}`;
  const info = link.table.get(`level.${voice}`);
  const input = element("input", { type: "range", id, "data-control": `level.${voice}`, min: info.low, max: info.high, step: 1, "aria-label": `${label} level` });
  input.oninput = () => link.set(`level.${voice}`, Math.round(input.valueAsNumber));
  follow(link, () => { if (document.activeElement !== input) input.valueAsNumber = link.value(`level.${voice}`) ?? 100; });
  const mute = toggle(link, `mute.${voice}`, "M", "mute");
  mute.setAttribute("aria-label", `Mute ${label}`);
  const solo = toggle(link, `solo.${voice}`, "S", "solo");
  solo.setAttribute("aria-label", `Solo ${label}`);
  return element("div", { className: "voice" }, element("span", { className: "name" }, label), input, mute, solo);
}

/** Ahead or behind, and early or late at the port, for a voice that is chosen: few are ever turned. */
function oneVoice() {
  const select = element("select", { id: "one-voice" });
  for (const [voice, label] of VOICES) if (link.table.has(`push.${voice}`)) select.append(element("option", { value: voice }, label));
  select.value = "snare";
  const fine = (control, label) => {
    const { low, high } = link.table.get(`${control}.snare`);
    const input = element("input", { type: "range", id: `one-${control}`, "data-control": `${control}.VOICE`, min: low, max: high, step: 1 });
    const output = element("output", { htmlFor: input.id });
    const show = () => {
      const value = link.value(`${control}.${select.value}`) ?? 0;
      if (document.activeElement !== input) input.valueAsNumber = value;
      output.textContent = `${Math.round(value)} ms`;
      input.setAttribute("aria-valuetext", output.textContent);
    };
    input.oninput = () => { link.set(`${control}.${select.value}`, input.valueAsNumber); show(); };
    select.addEventListener("change", show);
    follow(link, show);
    return element("div", { className: "row" }, element("label", { htmlFor: input.id }, label), input, output);
  };
  return element("div", { className: "rows", role: "group", "aria-label": "One voice" },
    element("div", { className: "row" }, element("label", { htmlFor: "one-voice" }, "One voice"), select),
    fine("push", "Its push"), fine("offset_ms", "Its offset"));
}

/** Going on from where the song stopped, and going to a bar. */
function place() {
  const { low, high } = link.table.get("bar");
  const bar = element("input", { type: "number", id: "go-bar", inputMode: "numeric", min: low, max: high, step: 1, value: 1, "aria-label": "Bar to go to" });
  const go = () => { if (bar.checkValidity() && bar.value) link.ask("bar", bar.valueAsNumber); else complain(`a bar is a whole number from ${low} to ${high}`); };
  bar.onkeydown = (event) => { if (event.key === "Enter") go(); };
  return row("Song", [action(link, "continue", "Go on"), element("button", { type: "button", id: "do-bar", "data-control": "bar", onclick: go }, "Go to bar"), bar]);
}

function scenes() {
  let storing = false;
  const store = element("button", { type: "button", id: "store-scene", "data-control": "store_scene", "aria-pressed": "false" }, "Store…");
  store.onclick = () => { storing = !storing; store.setAttribute("aria-pressed", String(storing)); };
  const pads = Array.from({ length: SCENES }, (_, i) => element("button", {
    type: "button", id: `scene-${i + 1}`, "data-control": "scene",
    onclick: () => {
      link.ask(storing ? "store_scene" : "scene", i + 1);
      storing = false;
      store.setAttribute("aria-pressed", "false");
    },
  }, `Scene ${i + 1}`));
  $("scenes").replaceChildren(store, ...pads);
}

function learning() {
  const select = element("select", { id: "learn-what" });
  for (const [name, info] of link.table) if (name !== "learn" && name !== "bar") select.append(element("option", { value: name }, info.takes ? name : `${name} (action)`));
  select.value = "density";
  const go = element("button", { type: "button", id: "learn-go", "data-control": "learn", onclick: () => { link.ask("learn", select.value); said.textContent = `Turn or press what is to move ${select.value}.`; } }, "Learn");
  const off = element("button", { type: "button", id: "learn-off", onclick: () => { link.ask("learn", "off"); said.textContent = ""; } }, "Stop learning");
  const forget = element("button", { type: "button", id: "learn-forget", "data-control": "forget", onclick: () => { link.ask("forget", select.value); said.textContent = ""; } }, "Forget");
  const said = element("p", { role: "status", className: "quiet" });
  $("learn").replaceChildren(
    element("div", { className: "row" }, element("label", { htmlFor: "learn-what" }, "Control"), select),
    row("Then", [go, off, forget]), said,
  );
}

/** A button that has this page sound, and shows whether it does. */
function soundButton(id, label) {
  const button = element("button", { type: "button", id, onclick: () => (sound.on ? sound.stop() : sound.start()) }, label);
  const show = () => button.setAttribute("aria-pressed", String(sound.on));
  sound.addEventListener("change", show);
  show();
  return button;
}

function soundControls() {
  if ($("sound").childElementCount) return;
  const on = soundButton("sound-on", "Sound");
  const kits = ["acoustic", "808"].map((name) => {
    const button = element("button", { type: "button", id: `sound-${name}`, "aria-pressed": String(sound.kit === name) }, name);
    button.onclick = () => {
      sound.kit = name;
      for (const each of kits) each.setAttribute("aria-pressed", String(each === button));
    };
    return button;
  });
  const volume = element("input", { type: "range", min: 0, max: 1, step: 0.01, value: sound.volume, id: "sound-volume" });
  volume.oninput = () => sound.setVolume(volume.valueAsNumber);
  $("sound").replaceChildren(
    row("In the browser", [on, ...kits]),
    element("div", { className: "row" }, element("label", { htmlFor: "sound-volume" }, "Volume"), volume),
    element("p", { className: "quiet" }, "A small synthesised kit, where no synthesizer is at hand. It follows the plan, so it plays in time with what leaves the port."),
  );
}

/** What the network runs on, and the workers, if any are asked; with what is wrong with them. */
function writers({ device, workers }) {
  const facts = [];
  if (device) facts.push(["Network on", device.said ? `${device.device} (${device.said})` : device.device]);
  if (workers) facts.push(
    ["Workers", `${workers.state}, ${workers.live} there${workers.state === "ready" || !workers.said ? "" : `: ${workers.said}`}`],
    ["Workers too late", `${workers.missed} of ${workers.asked} times`],
  );
  return facts;
}

/** Ports of ours with who is connected, who is missing, and what there is to do about it. */
function ports() {
  const { song, counters } = link;
  const { connected = {}, missing = [] } = song.connections ?? {};
  const facts = [["MIDI", song.backend], ["Generator", song.generator], ...writers(song), ["Late notes", counters.late_notes], ["Lost pulses", counters.lost_pulses], ["Bars by fallback", counters.fallback_bars], ["drumigen", link.version]];
  const peers = (song.ports ?? []).map((port) => {
    const own = port.split(":").at(-1);
    const there = (connected[own] ?? []).join(", ");
    const gone = missing.filter(([of]) => of === own).map(([, pattern]) => pattern);
    const line = element("li", {}, element("b", {}, port), ` ${there ? `with ${there}` : "with nobody"}`);
    if (gone.length) line.append(element("span", { className: "missing" }, ` missing: ${gone.join(", ")}`));
    return line;
  });
  const told = JSON.stringify([facts, song.ports, song.connections, song.advice]);
  if (told === portsShown) return;
  portsShown = told;
  $("ports").replaceChildren(
    element("dl", { className: "facts" }, ...facts.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, String(value ?? "–"))))),
    element("ul", { className: "plain", id: "port-list" }, ...peers),
    element("ul", { className: "plain quiet", id: "advice" }, ...(song.advice ?? []).map((line) => element("li", {}, line))),
  );
}

// --- keys ------------------------------------------------------------------------------------------

document.addEventListener("keydown", (event) => {
  if (event.repeat || event.ctrlKey || event.metaKey || event.altKey) return;
  const on = event.target;
  if (on instanceof HTMLInputElement || on instanceof HTMLSelectElement || (on instanceof HTMLButtonElement && event.key === " ")) return;
  const control = KEYS[event.key];
  if (!control || !link.mayControl) return;
  event.preventDefault();
  if (control === "start") start.click(); else link.ask(control);
});
