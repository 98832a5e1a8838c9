// A small synthesised drum kit, so that anybody hears drumigen without a synthesizer.  Off by default.
const AHEAD_S = 0.15; // hits are given to the audio clock so long before they sound
const LOOK_MS = 40;
const LIMITER_S = 0.006; // by which a DynamicsCompressorNode looks ahead, and so delays
const LATENCY_MAX_S = 0.3; // of the audio device, that is made up for

export class Sound extends EventTarget {
  constructor(link) {
    super();
    this.link = link;
    this.kit = "acoustic";
    this.volume = 0.8;
    this.context = null;
    this.played = new Set();
    this.hits = 0; // for who wants to know whether anything sounded
    link.addEventListener("song", () => { if (link.song.transport !== "rolling") this.silence(); });
  }

  get on() { return this.context !== null; }

  async start() {
    const context = new AudioContext({ latencyHint: "interactive" });
    this.into(context);
    await context.resume();
    this.timer = setInterval(() => this.look(), LOOK_MS);
    this.dispatchEvent(new Event("change"));
  }

  /** Play into an audio context, which may be one that renders without a device. */
  into(context) {
    this.context = context;
    this.volumeKnob = new GainNode(context, { gain: this.volume });
    const limiter = new DynamicsCompressorNode(context, { threshold: -10, ratio: 12, attack: 0.002, release: 0.12 });
    this.volumeKnob.connect(limiter).connect(context.destination);
    this.out = this.bus();
    this.noise = new AudioBuffer({ length: context.sampleRate, sampleRate: context.sampleRate });
    const data = this.noise.getChannelData(0);
    let seed = 22222;
    for (let i = 0; i < data.length; i++) {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      data[i] = seed / 0x3fffffff - 1;
    }
  }

  bus() {
    const bus = new GainNode(this.context);
    bus.connect(this.volumeKnob);
    return bus;
  }

  async stop() {
    clearInterval(this.timer);
    const context = this.context;
    this.context = null;
    this.played.clear();
    this.dispatchEvent(new Event("change"));
    await context?.close();
  }

  setVolume(volume) {
    this.volume = volume;
    if (this.on) this.volumeKnob.gain.setTargetAtTime(volume, this.context.currentTime, 0.02);
  }

  /** End what sounds and what was given to the audio clock, as a Stop does at the port. */
  silence() {
    this.played.clear();
    if (!this.on) return;
    this.out.gain.setTargetAtTime(0, this.context.currentTime, 0.008);
    this.out = this.bus();
    this.open = null;
  }

  /** Give the audio clock what is due soon. */
  look() {
    const { link, context } = this;
    if (link.song.transport !== "rolling" || !link.connected) return;
    const now = link.now;
    const latency = LIMITER_S + Math.min(LATENCY_MAX_S, context.outputLatency || 0);
    for (const bar of link.plan) {
      for (const [tick, offset, voice, velocity] of bar.hits) {
        const due = link.timeOf(bar.start + tick + offset) - now;
        if (due < -0.03 || due > AHEAD_S + latency) continue;
        const key = `${bar.start + tick}:${voice}`;
        if (this.played.has(key)) continue;
        this.played.add(key);
        if (this.played.size > 4000) this.played = new Set([...this.played].slice(-2000));
        this.strike(voice, velocity / 127, context.currentTime + Math.max(0, due - latency));
        this.hits++;
      }
    }
  }

  strike(voice, level, at) {
    const low = this.kit === "808";
    const loud = level * level;
    switch (voice) {
      case "kick": return low ? this.tone(at, 56, 44, 0.9, loud * 1.1, 0.02, 160) : this.kick(at, loud);
      case "snare": return low ? this.snare(at, loud * 0.8, 190, 0.14, 5200) : this.snare(at, loud, 210, 0.19, 3400);
      case "side_stick": return this.click(at, loud * 0.6, 1700, 0.03);
      case "clap": return [0, 0.011, 0.022].forEach((late) => this.hiss(at + late, loud * 0.6, "bandpass", 1500, late === 0.022 ? 0.16 : 0.02));
      case "closed_hat": return this.hat(at, loud * 0.5, low ? 0.045 : 0.06);
      case "pedal_hat": return this.hat(at, loud * 0.35, 0.04);
      case "open_hat": return this.hat(at, loud * 0.5, 0.55, true);
      case "low_tom": return this.tone(at, 118, 82, 0.42, loud * 0.9, 0.004, 180);
      case "mid_tom": return this.tone(at, 158, 112, 0.36, loud * 0.9, 0.004, 230);
      case "high_tom": return this.tone(at, 208, 150, 0.3, loud * 0.9, 0.004, 300);
      case "crash": return this.metal(at, loud * 0.5, 1.5, 3200);
      case "splash": return this.metal(at, loud * 0.5, 0.6, 5200);
      case "china": return this.metal(at, loud * 0.5, 0.9, 2200);
      case "ride": return this.metal(at, loud * 0.28, 0.7, 5600, true);
      case "ride_bell": return this.metal(at, loud * 0.4, 0.8, 4200, true);
      case "cowbell": return this.bell(at, loud * 0.5);
      case "tambourine": return this.hat(at, loud * 0.5, 0.12);
      case "shaker": return this.hiss(at, loud * 0.3, "highpass", 6000, 0.06);
      default: return this.tone(at, 320, 240, 0.16, loud * 0.6, 0.003, 420);
    }
  }

  envelope(at, peak, decay) {
    const gain = new GainNode(this.context, { gain: 0 });
    gain.gain.setValueAtTime(Math.max(peak, 1e-4), at);
    gain.gain.exponentialRampToValueAtTime(1e-4, at + decay);
    gain.connect(this.out);
    return gain;
  }

  tone(at, from, to, decay, peak, bend, start) {
    const oscillator = new OscillatorNode(this.context, { type: "sine", frequency: start });
    oscillator.frequency.setValueAtTime(start, at);
    oscillator.frequency.exponentialRampToValueAtTime(from, at + bend + 0.01);
    oscillator.frequency.exponentialRampToValueAtTime(to, at + decay);
    oscillator.connect(this.envelope(at, peak, decay));
    oscillator.start(at);
    oscillator.stop(at + decay + 0.02);
  }

  kick(at, peak) { this.tone(at, 74, 46, 0.28, peak * 1.2, 0.02, 210); this.click(at, peak * 0.35, 2600, 0.012); }

  snare(at, peak, pitch, decay, colour) {
    this.tone(at, pitch, pitch * 0.8, 0.11, peak * 0.5, 0.004, pitch * 1.7);
    this.hiss(at, peak * 0.75, "highpass", colour * 0.4, decay);
    this.hiss(at, peak * 0.3, "bandpass", colour, decay * 0.7);
  }

  click(at, peak, pitch, decay) { this.hiss(at, peak * 2, "bandpass", pitch, decay); }

  hiss(at, peak, type, frequency, decay) {
    const source = new AudioBufferSourceNode(this.context, { buffer: this.noise });
    const filter = new BiquadFilterNode(this.context, { type, frequency, Q: type === "bandpass" ? 1.4 : 0.7 });
    source.connect(filter).connect(this.envelope(at, peak, decay));
    source.start(at, (at * 7919) % 0.7, decay + 0.05);
    return filter;
  }

  hat(at, peak, decay, open = false) {
    // a closed or pedalled hat chokes the open one
    if (this.open) this.open.gain.setTargetAtTime(0, at, 0.008);
    const source = new AudioBufferSourceNode(this.context, { buffer: this.noise });
    const filter = new BiquadFilterNode(this.context, { type: "highpass", frequency: 7200 });
    const gain = this.envelope(at, peak, decay);
    source.connect(filter).connect(gain);
    source.start(at, (at * 7919) % 0.4, decay + 0.05);
    this.open = open ? gain : null;
  }

  metal(at, peak, decay, colour, ping = false) {
    this.hiss(at, peak, "highpass", colour, decay);
    if (!ping) return;
    for (const pitch of [3120, 4770, 6210]) {
      const oscillator = new OscillatorNode(this.context, { type: "square", frequency: pitch });
      oscillator.connect(this.envelope(at, peak * 0.12, decay * 0.6));
      oscillator.start(at);
      oscillator.stop(at + decay);
    }
  }

  bell(at, peak) {
    for (const pitch of [562, 845]) {
      const oscillator = new OscillatorNode(this.context, { type: "square", frequency: pitch });
      oscillator.connect(this.envelope(at, peak * 0.4, 0.22));
      oscillator.start(at);
      oscillator.stop(at + 0.25);
    }
  }
}
