// Renders a bar without an audio device, as a page that looks every 40 ms would play it.
async (kit) => {
  const { Sound } = await import("/sound.js");
  const rate = 48000, seconds = 3, quantum = 128 / rate;
  const hits = [
    [0, 0, "kick", 110], [1920, 37, "snare", 90],
    [3840, -29, "closed_hat", 64], [5760, 0, "side_stick", 40],
  ];
  const link = Object.assign(new EventTarget(), {
    connected: true, now: 0, song: { transport: "rolling" },
    plan: [{ start: 0, ticks: 7680, hits }],
    timeOf: (tick) => 0.25 + tick / 1920 * 0.5,
  });
  const sound = new Sound(link);
  sound.kit = kit;
  const context = new OfflineAudioContext(1, rate * seconds, rate);
  sound.into(context);
  sound.look();
  for (let look = 1; look < 70; look++) {
    const at = Math.round(look * 0.04 / quantum) * quantum;
    context.suspend(at).then(() => { link.now = at; sound.look(); context.resume(); });
  }
  const data = (await context.startRendering()).getChannelData(0);
  const loudest = (from, to) => data.slice(Math.round(from * rate), Math.round(to * rate))
    .reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  const onsets = hits.map(([tick, offset]) => {
    const due = link.timeOf(tick + offset);
    const rings = 2 * loudest(due - 0.01, due - 0.001); // of the stroke before
    const from = Math.round((due - 0.05) * rate);
    for (let i = from; i < from + 0.1 * rate; i++) {
      if (Math.abs(data[i]) > Math.max(0.003, rings)) return i / rate - due;
    }
    return null;
  });
  return {
    onsets, struck: sound.hits,
    before: loudest(0, 0.2), kick: loudest(0.25, 0.5), stick: loudest(1.75, 1.9),
  };
}
