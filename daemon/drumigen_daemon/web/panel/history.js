// The last bars: kept in this browser, exported, or dragged out as MIDI files.
import { drawSmall } from "./grid.js";
import { midiFile } from "./midi.js";
import { element } from "./widgets.js";

const KEPT = "drumigen.kept";
const SHOWN = 16;
const KEPT_MAX = 64;

export class History {
  constructor(holder, link) {
    this.holder = holder;
    this.link = link;
    this.bars = [];
    this.kept = read();
    this.seen = -1;
    const toolbar = element("div", { className: "toolbar" });
    for (const count of [4, 8, 16]) {
      const save = element("a", { className: "file", href: `/api/v1/history/last.mid?bars=${count}`, download: `drumigen-last-${count}.mid`, id: `last-${count}` }, `Last ${count} as .mid`);
      toolbar.append(save);
    }
    this.list = element("ul", { className: "history" });
    this.keepList = element("ul", { className: "history" });
    holder.replaceChildren(toolbar, this.list, element("h2", {}, "Kept"), this.keepList);
    link.addEventListener("song", () => { if (link.song.bar !== this.seen) { this.seen = link.song.bar; this.look(); } });
    link.addEventListener("hello", () => this.look());
    this.show();
  }

  async look() {
    if (document.hidden) return;
    try {
      const answer = await fetch(`/api/v1/history`);
      if (!answer.ok) return;
      this.bars = (await answer.json()).bars.slice(-SHOWN).reverse();
      this.show();
    } catch { /* the line is down: the next look tells */ }
  }

  keep(bar) {
    this.kept = [{ ...bar, keptAt: Date.now() }, ...this.kept].slice(0, KEPT_MAX);
    write(this.kept);
    this.show();
  }

  forget(index) {
    this.kept.splice(index, 1);
    write(this.kept);
    this.show();
  }

  show() {
    const rows = this.bars.map((bar) => this.row(bar, "Keep", () => this.keep(bar)));
    this.list.replaceChildren(...(rows.length ? rows : [element("li", { className: "quiet" }, "Nothing has been played yet.")]));
    const kept = this.kept.map((bar, i) => this.row(bar, "Forget", () => this.forget(i)));
    this.keepList.replaceChildren(...(kept.length ? kept : [element("li", { className: "quiet" }, "Keep a bar, and it stays in this browser.")]));
    for (const canvas of this.holder.querySelectorAll("canvas")) drawSmall(canvas, canvas.bar);
  }

  row(bar, verb, act) {
    const canvas = element("canvas", { "aria-hidden": "true" });
    canvas.bar = bar;
    const name = `drumigen-${bar.style}-bar-${bar.bar}.mid`;
    const save = element("a", { className: "file", draggable: true, download: name, title: "Save, or drag into your DAW" }, ".mid");
    const url = () => save.href || (save.href = URL.createObjectURL(new Blob([midiFile([bar])], { type: "audio/midi" })));
    save.onpointerdown = url;
    save.onfocus = url;
    save.ondragstart = (event) => event.dataTransfer.setData("DownloadURL", `audio/midi:${name}:${url()}`);
    save.href = url();
    const meta = element("span", { className: "meta" }, `${bar.bar}  ${bar.style}`);
    return element("li", {}, meta, canvas, element("button", { type: "button", onclick: act, "aria-label": `${verb} bar ${bar.bar}` }, verb), save);
  }
}

function read() {
  try { return JSON.parse(localStorage.getItem(KEPT)) ?? []; } catch { return []; }
}

function write(kept) {
  try { localStorage.setItem(KEPT, JSON.stringify(kept)); } catch { /* a full or private store: kept until the page is closed */ }
}
