// Played bars as a Standard MIDI File, to keep, export or drag out.
const PPQN = 1920;

export function midiFile(bars) {
  const events = [];
  let start = 0, tempo = 0, meter = "";
  for (const bar of bars) {
    const [n, d] = bar.meter.split("/").map(Number);
    if (bar.tempo !== tempo) {
      tempo = bar.tempo;
      const us = Math.round(60e6 / tempo);
      events.push([start, 0, [0xff, 0x51, 3, us >> 16 & 255, us >> 8 & 255, us & 255]]);
    }
    if (bar.meter !== meter) {
      meter = bar.meter;
      events.push([start, 0, [0xff, 0x58, 4, n, Math.log2(d), 24, 8]]);
    }
    for (const [tick, channel, note, velocity, duration] of bar.notes) {
      const at = Math.max(0, start + tick - bar.start);
      events.push([at, 2, [0x90 | channel, note, velocity]]);
      events.push([at + Math.max(1, duration), 1, [0x80 | channel, note, 0]]);
    }
    start += n * 4 * PPQN / d;
  }
  events.sort((a, b) => a[0] - b[0] || a[1] - b[1]);
  const track = [];
  let at = 0;
  for (const [tick, , bytes] of events) { track.push(...varying(tick - at), ...bytes); at = tick; }
  track.push(...varying(Math.max(0, start - at)), 0xff, 0x2f, 0);
  const long = (n) => [n >>> 24 & 255, n >> 16 & 255, n >> 8 & 255, n & 255];
  return new Uint8Array([
    0x4d, 0x54, 0x68, 0x64, ...long(6), 0, 0, 0, 1, PPQN >> 8, PPQN & 255,
    0x4d, 0x54, 0x72, 0x6b, ...long(track.length), ...track,
  ]);
}

function varying(value) {
  const bytes = [value & 127];
  while (value >>= 7) bytes.unshift(value & 127 | 128);
  return bytes;
}
