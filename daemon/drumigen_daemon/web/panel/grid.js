// The bar that sounds and the next ones: hits where they sound, as tall as they are loud.
// On a wide screen the bars scroll past the playhead; on a narrow one each bar has a lane of its own,
// the one that sounds on top, and they move up at the bar line.
import { COLOUR, FAMILIES, FAMILY, TITLE, VOICES } from "./voices.js";

const STEP = 480; // ticks of a sixteenth
const BARS = 3;
const NARROW = 560; // CSS pixels
const FIRST = 1.5; // the lane of the bar that sounds is so much taller
const LEAD_S = 0.01; // what is due sooner has left for the port
const FORGET_BARS = 8; // a voice that was not planned for so long gives its row away
const WRITTEN = new Set(["generated", "remembered"]);

export class Grid {
  constructor(canvas, text, link) {
    this.canvas = canvas;
    this.text = text;
    this.link = link;
    this.seen = new Map(); // voice or family: the last bar that has it
    link.addEventListener("plan", () => this.describe());
    const frame = () => { this.draw(); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  }

  /** The rows to show: those of the plan, and those of shortly before, so that rows do not jump. */
  rows(narrow) {
    const { plan } = this.link;
    for (const bar of plan) for (const [, , voice] of bar.hits) for (const name of [voice, FAMILY[voice]]) this.seen.set(name, bar.bar);
    const now = plan[0].bar;
    const recent = (name) => this.seen.has(name) && Math.abs(now - this.seen.get(name)) <= FORGET_BARS;
    return narrow ? FAMILIES.filter(([name]) => recent(name)).map(([name]) => name) : VOICES.map(([name]) => name).filter(recent);
  }

  describe() {
    const next = this.link.plan.slice(0, 2).map((bar) => {
      const counts = new Map();
      for (const [, , voice] of bar.hits) counts.set(voice, (counts.get(voice) ?? 0) + 1);
      const said = [...counts].map(([voice, n]) => `${TITLE[voice] ?? voice} ${n}`).join(", ");
      return `Bar ${bar.bar}, ${bar.style}: ${said || "silence"}.`;
    });
    this.text.textContent = next.join(" ");
  }

  draw() {
    const { canvas, link } = this;
    const ratio = Math.min(window.devicePixelRatio || 1, 2);
    const width = canvas.clientWidth, height = canvas.clientHeight;
    if (canvas.width !== Math.round(width * ratio) || canvas.height !== Math.round(height * ratio)) {
      canvas.width = Math.round(width * ratio);
      canvas.height = Math.round(height * ratio);
    }
    const c = canvas.getContext("2d");
    c.setTransform(ratio, 0, 0, ratio, 0, 0);
    c.clearRect(0, 0, width, height);
    if (!link.plan.length) return;
    const view = { c, width, height, tick: link.tick, rolling: link.song.transport === "rolling" };
    c.textBaseline = "middle";
    if (width < NARROW) this.lanes(view); else this.strip(view);
  }

  /** All bars in one strip that moves: the playhead stands still at a third of a bar. */
  strip({ c, width, height, tick, rolling }) {
    const { plan } = this.link;
    const rows = this.rows(false);
    const left = 92, top = 22;
    const barTicks = plan[0].ticks;
    const from = Math.max(plan[0].start - barTicks * 0.05, tick - barTicks * 0.35);
    const scale = (width - left) / (barTicks * BARS);
    const x = (at) => left + (at - from) * scale;
    const place = { x, y: top, rowHeight: (height - top - 4) / Math.max(rows.length, 1), rows, of: (voice) => voice, wide: STEP * scale * 0.55 };
    c.save();
    c.beginPath(); c.rect(left, 0, width - left, height); c.clip();
    for (const bar of plan) {
      if (x(bar.start + bar.ticks) < left || x(bar.start) > width) continue;
      this.lines(c, bar, x, 0, top, height);
      c.fillStyle = "#a9afbd";
      c.font = "14px system-ui, sans-serif";
      c.fillText(title(bar), x(bar.start) + 6, 11);
      this.hits(c, bar, place, rolling ? tick : -1);
    }
    this.playhead(c, x(from), x(tick), rolling ? x(tick + LEAD_S * this.link.ticksPerSecond) : 0, 0, height);
    c.restore();
    this.names(c, rows, left - 8, place, TITLE);
  }

  /** A lane for each bar. */
  lanes({ c, width, height, tick, rolling }) {
    const { plan } = this.link;
    const sounding = plan.findIndex((bar) => tick < bar.start + bar.ticks);
    const bars = plan.slice(Math.max(0, sounding), Math.max(0, sounding) + BARS);
    const rows = this.rows(true);
    const left = 68, right = width - 6, gap = 5;
    const unit = (height - gap * bars.length) / (bars.length - 1 + FIRST);
    let y = 2;
    bars.forEach((bar, lane) => {
      const tall = lane === 0 ? unit * FIRST : unit;
      const scale = (right - left) / bar.ticks;
      const x = (at) => left + (at - bar.start) * scale;
      const place = { x, y, rowHeight: (tall - 2) / Math.max(rows.length, 1), rows, of: (voice) => FAMILY[voice], wide: STEP * scale * 0.5 };
      c.fillStyle = lane === 0 ? "#161a22" : "#12151b";
      c.fillRect(left, y, right - left, tall);
      this.lines(c, bar, x, y, y, y + tall);
      this.hits(c, bar, place, rolling ? tick : -1);
      if (lane === 0) {
        this.playhead(c, left, x(Math.max(tick, bar.start)), rolling ? x(tick + LEAD_S * this.link.ticksPerSecond) : 0, y, tall);
        this.names(c, rows, left - 6, place, Object.fromEntries(FAMILIES));
      } else {
        c.textAlign = "right";
        c.fillStyle = "#f2f3f5";
        c.font = "700 22px system-ui, sans-serif";
        c.fillText(bar.bar, left - 8, y + tall * 0.36);
        c.fillStyle = WRITTEN.has(bar.origin) ? "#a9afbd" : "#ffb454";
        c.font = "11px system-ui, sans-serif";
        c.fillText(WRITTEN.has(bar.origin) ? short(bar.style) : short(bar.origin), left - 8, y + tall * 0.72);
        c.textAlign = "left";
      }
      y += tall + gap;
    });
  }

  lines(c, bar, x, top, low, bottom) {
    const beat = 4 * 1920 / Number(bar.meter.split("/")[1]);
    for (let at = 0; at < bar.ticks; at += STEP) {
      c.fillStyle = at === 0 ? "#6b7284" : at % beat === 0 ? "#3a4050" : "#20242d";
      c.fillRect(x(bar.start + at), at === 0 ? top : low, at === 0 ? 2 : 1, bottom - (at === 0 ? top : low));
    }
  }

  hits(c, bar, { x, y, rowHeight, rows, of, wide }, tick) {
    for (const [at, offset, voice, velocity] of bar.hits) {
      const row = rows.indexOf(of(voice));
      if (row < 0) continue;
      const tall = Math.max(2, (rowHeight - 2) * (0.2 + 0.8 * velocity / 127));
      const when = bar.start + at + offset;
      c.globalAlpha = when < tick ? 0.35 : 0.45 + 0.55 * velocity / 127;
      c.fillStyle = COLOUR[voice] ?? "#ffffff";
      c.fillRect(x(when), y + (row + 1) * rowHeight - tall, Math.max(3, wide), tall);
    }
    c.globalAlpha = 1;
  }

  /** What is left of the line has gone out, or is about to: it can not be changed any more. */
  playhead(c, from, now, committed, y, tall) {
    if (committed) {
      c.fillStyle = "rgba(255,180,84,.18)";
      c.fillRect(from, y, Math.max(0, committed - from), tall);
    }
    c.fillStyle = committed ? "#ffb454" : "#a9afbd";
    c.fillRect(now - 1, y, 3, tall);
  }

  names(c, rows, x, { y, rowHeight }, titles) {
    c.textAlign = "right";
    c.font = `${Math.max(10, Math.min(15, rowHeight * 0.8))}px system-ui, sans-serif`;
    rows.forEach((name, row) => {
      c.fillStyle = COLOUR[name] ?? "#ffffff";
      c.fillText(titles[name] ?? name, x, y + (row + 0.55) * rowHeight);
    });
    c.textAlign = "left";
  }
}

function title(bar) { return `${bar.bar}  ${bar.style}${WRITTEN.has(bar.origin) ? "" : ` (${bar.origin})`}`; }

function short(text) { return text.length > 10 ? `${text.slice(0, 9)}…` : text; }

/** Draw a played bar small: by note, no names. */
export function drawSmall(canvas, bar) {
  const ratio = Math.min(window.devicePixelRatio || 1, 2);
  canvas.width = canvas.clientWidth * ratio;
  canvas.height = canvas.clientHeight * ratio;
  const c = canvas.getContext("2d");
  const [n, d] = bar.meter.split("/").map(Number);
  const ticks = n * 4 * 1920 / d;
  const notes = [...new Set(bar.notes.map((note) => note[2]))].sort((a, b) => b - a);
  const row = canvas.height / Math.max(notes.length, 1);
  for (const [tick, , note, velocity] of bar.notes) {
    c.globalAlpha = 0.3 + 0.7 * velocity / 127;
    c.fillStyle = "#ffb454";
    c.fillRect((tick - bar.start) / ticks * canvas.width, notes.indexOf(note) * row, Math.max(2, canvas.width / 64), Math.max(2, row - 1));
  }
}
