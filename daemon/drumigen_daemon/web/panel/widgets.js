// Rows, pads and faders that follow what the daemon says.

export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name in made && !name.startsWith("aria")) made[name] = value;
    else made.setAttribute(name, value);
  }
  made.append(...children);
  return made;
}

/** A button that does an action. */
export function action(link, control, label) {
  return element("button", { type: "button", id: `do-${control}`, "data-control": control, onclick: () => link.ask(control) }, label);
}

/** A button that switches something on and off. */
export function toggle(link, control, label, className = "") {
  const button = element("button", { type: "button", id: `switch-${control}`, "data-control": control, className, onclick: () => link.set(control, !link.value(control)) }, label);
  follow(link, () => button.setAttribute("aria-pressed", String(Boolean(link.value(control)))));
  return button;
}

/** Buttons of which one is chosen. */
export function choice(link, control, names, title = (name) => name) {
  return names.map((name) => {
    const button = element("button", { type: "button", id: `${control}-${name}`, "data-control": control, onclick: () => link.set(control, name) }, title(name));
    follow(link, () => button.setAttribute("aria-pressed", String(link.value(control) === name)));
    return button;
  });
}

/** A row with a fader; where a control can be left to the style, with a button for that. */
export function fader(link, control, label, { step, unit = "", shown = String } = {}) {
  const info = link.table.get(control);
  if (!info) return "";
  const id = `fader-${control}`;
  const input = element("input", { type: "range", id, "data-control": control, min: info.low, max: info.high, step: step ?? (info.whole ? 1 : "any") });
  const output = element("output", { htmlFor: id });
  input.oninput = () => { link.set(control, info.whole ? Math.round(input.valueAsNumber) : input.valueAsNumber); show(); };
  const row = element("div", { className: "row" }, element("label", { htmlFor: id }, label), input, output);
  let own = null;
  if (info.style) {
    own = element("button", { type: "button", className: "own", id: `style-${control}`, onclick: () => link.set(control, "style") }, "style’s");
    row.append(own);
  }
  const show = () => {
    const value = link.value(control);
    const left = value === null || value === "style" || value === undefined;
    if (document.activeElement !== input || !left) input.valueAsNumber = left ? (info.low + info.high) / 2 : value;
    output.textContent = left ? "style’s" : shown(value) + unit;
    input.setAttribute("aria-valuetext", output.textContent);
    own?.setAttribute("aria-pressed", String(left));
  };
  follow(link, show);
  return row;
}

/** A row with a choice from a list. */
export function list(link, control, label, names) {
  const id = `list-${control}`;
  const select = element("select", { id, "data-control": control, onchange: () => link.set(control, select.value) });
  for (const [value, title] of names) select.append(element("option", { value }, title));
  follow(link, () => { if (document.activeElement !== select) select.value = String(link.value(control) || "none"); });
  return element("div", { className: "row" }, element("label", { htmlFor: id }, label), select);
}

/** A row with a field that is read when it is left or Enter is pressed. */
export function field(link, control, label, kind = "text") {
  const id = `field-${control}`;
  const input = element("input", { type: kind, id, "data-control": control, autocomplete: "off", onchange: () => link.set(control, kind === "number" ? input.valueAsNumber : input.value.trim()) });
  follow(link, () => { if (document.activeElement !== input) input.value = link.value(control) ?? ""; });
  return element("div", { className: "row" }, element("label", { htmlFor: id }, label), input);
}

/** Density across, intensity up; by finger, mouse or keys. */
export function pad(link, across, up, holder) {
  const canvas = element("canvas", { "aria-hidden": "true" });
  const area = element("div", { className: "xy-pad", id: "xy-pad" }, canvas);
  const points = (name) => { const value = link.value(name); return typeof value === "number" ? value : null; };
  const draw = () => {
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    canvas.width = area.clientWidth * ratio;
    canvas.height = area.clientHeight * ratio;
    const c = canvas.getContext("2d");
    const { width, height } = canvas;
    c.clearRect(0, 0, width, height);
    c.strokeStyle = "#2b303b";
    for (let i = 1; i < 4; i++) {
      c.beginPath(); c.moveTo(width * i / 4, 0); c.lineTo(width * i / 4, height);
      c.moveTo(0, height * i / 4); c.lineTo(width, height * i / 4); c.stroke();
    }
    const x = points(across), y = points(up);
    c.fillStyle = x === null && y === null ? "#6b7284" : "#ffb454";
    c.beginPath();
    c.arc((x ?? 50) / 100 * width, (1 - (y ?? 50) / 100) * height, 15 * ratio, 0, 2 * Math.PI);
    c.fill();
  };
  const move = (event) => {
    const box = area.getBoundingClientRect();
    const share = (value) => Math.round(100 * Math.min(1, Math.max(0, value)));
    link.set(across, share((event.clientX - box.left) / box.width));
    link.set(up, share(1 - (event.clientY - box.top) / box.height));
    draw();
  };
  area.onpointerdown = (event) => { area.setPointerCapture(event.pointerId); move(event); };
  area.onpointermove = (event) => { if (area.hasPointerCapture(event.pointerId)) move(event); };
  follow(link, draw);
  new ResizeObserver(draw).observe(area);
  holder.replaceChildren(area, fader(link, across, "Density"), fader(link, up, "Intensity"));
}

export function follow(link, show) {
  link.addEventListener("values", show);
  show();
}
