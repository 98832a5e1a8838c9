// The bar that sounds and the next ones: hits where they sound, as tall as they are loud.
import { COLOUR, TITLE, VOICES } from "./voices.js";

const STEP = 480; // ticks of a sixteenth
const BARS = 3;
const LEAD_S = 0.01; // what is due sooner has left for the port

export class Grid {
  constructor(canvas, text, link) {
    this.canvas = canvas;
    this.text = text;
    this.link = link;
    this.rows = [];
    link.addEventListener("plan", () => this.describe());
    const frame = () => { this.draw(); requestAnimationFrame(frame); };
    requestAnimationFrame(frame);
  }

  /** The voices to show: those of the plan, and those seen before, so that rows do not jump. */
  voices() {
    const used = new Set(this.rows);
    for (const bar of this.link.plan) for (const hit of bar.hits) used.add(hit[2]);
    this.rows = VOICES.map(([name]) => name).filter((name) => used.has(name)).slice(0, 12);
    return this.rows;
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
    const rows = this.voices();
    const narrow = width < 560;
    const left = narrow ? 76 : 88, top = 20;
    const shown = narrow ? 2 : BARS;
    const tick = link.tick;
    const rolling = link.song.transport === "rolling";
    const barTicks = link.plan[0].ticks;
    // the playhead stands still at a third of a bar, and the bars move
    const from = Math.max(link.plan[0].start - barTicks * 0.05, tick - barTicks * 0.35);
    const scale = (width - left) / (barTicks * shown);
    const x = (at) => left + (at - from) * scale;
    const rowHeight = (height - top - 4) / Math.max(rows.length, 1);
    c.font = `${Math.max(10, Math.min(14, rowHeight * 0.75))}px system-ui, sans-serif`;
    c.textBaseline = "middle";
    c.save();
    c.beginPath(); c.rect(left, 0, width - left, height); c.clip();
    for (const bar of link.plan) {
      const end = bar.start + bar.ticks;
      if (x(end) < left || x(bar.start) > width) continue;
      const beat = 4 * 1920 / Number(bar.meter.split("/")[1]);
      for (let at = 0; at < bar.ticks; at += STEP) {
        c.fillStyle = at === 0 ? "#6b7284" : at % beat === 0 ? "#333846" : "#1e222b";
        c.fillRect(x(bar.start + at), at === 0 ? 0 : top, at === 0 ? 2 : 1, height);
      }
      c.fillStyle = "#a9afbd";
      c.fillText(`${bar.bar}  ${bar.style}${bar.origin === "generated" || bar.origin === "remembered" ? "" : ` (${bar.origin})`}`, x(bar.start) + 6, 10);
      for (const [at, offset, voice, velocity] of bar.hits) {
        const row = rows.indexOf(voice);
        if (row < 0) continue;
        const tall = Math.max(2, (rowHeight - 3) * (0.25 + 0.75 * velocity / 127));
        const when = bar.start + at + offset;
        const past = rolling && when < tick;
        c.globalAlpha = past ? 0.35 : 0.35 + 0.65 * velocity / 127;
        c.fillStyle = COLOUR[voice] ?? "#ffffff";
        c.fillRect(x(when), top + (row + 1) * rowHeight - tall - 1, Math.max(3, STEP * scale * 0.55), tall);
      }
      c.globalAlpha = 1;
    }
    if (rolling) {
      const committed = tick + LEAD_S * link.ticksPerSecond;
      c.fillStyle = "rgba(255,180,84,.18)";
      c.fillRect(x(from), top, Math.max(0, x(committed) - x(from)), height);
      c.fillStyle = "#ffb454";
      c.fillRect(x(tick) - 1, 0, 3, height);
    } else {
      c.fillStyle = "#a9afbd";
      c.fillRect(x(tick) - 1, 0, 2, height);
    }
    c.restore();
    c.textAlign = "right";
    rows.forEach((voice, row) => {
      c.fillStyle = COLOUR[voice] ?? "#ffffff";
      c.fillText(TITLE[voice] ?? voice, left - 6, top + (row + 0.55) * rowHeight);
    });
    c.textAlign = "left";
  }
}

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
