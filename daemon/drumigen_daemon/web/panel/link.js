// The line to the daemon: state down, controls up.  It comes back by itself, and then knows all anew.
const PROTOCOL = 1;
const RETRY_MS = [100, 200, 400, 600, 800];
const SILENCE_MS = 5000; // the server says something every two seconds
const SEND_MS = 25; // of a control that is dragged, the newest every so often

export class Link extends EventTarget {
  constructor() {
    super();
    this.values = {};
    this.song = {};
    this.plan = [];
    this.counters = {};
    this.table = new Map();
    this.styles = [];
    this.mayControl = true;
    this.connected = false;
    this.offset = null; // server seconds minus ours
    this.tries = 0; // to come back, since the line was lost
    this.triedFor = 0; // so many had to be made the last time
    this.pauses = RETRY_MS;
    this.number = 0;
    this.asked = new Map();
    this.pending = new Map();
    this.touched = new Map();
    this.open();
  }

  open() {
    const scheme = location.protocol === "https:" ? "wss" : "ws";
    const socket = new WebSocket(`${scheme}://${location.host}/api/v1/live`);
    this.socket = socket;
    this.fresh = true;
    socket.onmessage = (event) => this.take(JSON.parse(event.data));
    socket.onclose = () => this.lost(socket);
    this.watch();
  }

  watch() {
    clearTimeout(this.silence);
    this.silence = setTimeout(() => this.socket.close(), SILENCE_MS);
  }

  lost(socket) {
    if (socket !== this.socket) return;
    clearTimeout(this.silence);
    this.connected = false;
    if (this.tries % 3 === 2) this.askRole();
    for (const done of this.asked.values()) done("the line was lost: try again");
    this.asked.clear();
    this.emit("connection");
    setTimeout(() => this.open(), RETRY_MS[Math.min(this.tries++, RETRY_MS.length - 1)]);
  }

  /** A socket that is refused does not say why: a plain request does. */
  async askRole() {
    try {
      const answer = await fetch("/api/v1/role");
      if (answer.status === 401) location.href = "/pair";
    } catch { /* nobody is there yet */ }
  }

  take(message) {
    this.watch();
    const here = performance.now() / 1000;
    const offset = message.now - here;
    // the message that was quickest on its way tells the time best
    if (this.offset === null || this.fresh || offset > this.offset) this.offset = offset;
    else this.offset += (offset - this.offset) * 0.02;
    if (message.hello) {
      if (message.hello.protocol !== PROTOCOL) { location.reload(); return; }
      this.table = new Map(message.hello.controls.map((info) => [info.name, info]));
      this.styles = message.hello.styles;
      this.version = message.hello.version;
      this.mayControl = message.hello.control;
      this.values = {};
      this.fresh = false;
      this.triedFor = this.tries;
      this.tries = 0;
      this.connected = true;
      this.emit("hello");
      this.emit("connection");
    }
    if (message.values) {
      Object.assign(this.values, message.values);
      this.emit("values");
    }
    if (message.song) { this.song = message.song; this.emit("song"); }
    if (message.plan) { this.plan = message.plan; this.emit("plan"); }
    if (message.counters) { this.counters = message.counters; this.emit("counters"); }
    for (const { n, error } of message.answers ?? []) {
      this.asked.get(n)?.(error ?? "");
      this.asked.delete(n);
    }
  }

  emit(name) { this.dispatchEvent(new Event(name)); }

  get now() { return performance.now() / 1000 + (this.offset ?? 0); }

  /** Song tick that sounds now. */
  get tick() {
    const song = this.song;
    if (song.transport !== "rolling") return song.stored_tick ?? 0;
    return Math.max(0, song.tick_origin + (this.now - song.time_origin) * this.ticksPerSecond);
  }

  get ticksPerSecond() { return (this.song.tempo ?? 120) / 60 * 1920; }

  timeOf(tick) { return this.song.time_origin + (tick - this.song.tick_origin) / this.ticksPerSecond; }

  /** What a control stands at: what a finger on it says, else what the daemon says. */
  value(name) {
    const touched = this.touched.get(name);
    return touched && performance.now() < touched.until ? touched.value : this.values[name];
  }

  /** Set a control while it is dragged: the newest value, a few times a second. */
  set(name, value) {
    this.touched.set(name, { value, until: performance.now() + 700 });
    if (this.pending.has(name)) { this.pending.set(name, value); return; }
    this.pending.set(name, undefined);
    this.ask(name, value);
    const again = () => {
      const next = this.pending.get(name);
      if (next === undefined) { this.pending.delete(name); return; }
      this.pending.set(name, undefined);
      this.ask(name, next);
      setTimeout(again, SEND_MS);
    };
    setTimeout(again, SEND_MS);
  }

  /** Do an action, or set something once. */
  ask(control, value) {
    if (this.socket.readyState !== WebSocket.OPEN) { this.complain("no line to drumigen: it comes back by itself"); return; }
    const n = ++this.number;
    this.asked.set(n, (error) => {
      if (!error) return;
      this.complain(error);
      // what was refused is not what it stands at
      this.touched.delete(control);
      this.emit("values");
    });
    this.socket.send(JSON.stringify(value === undefined ? { control, n } : { control, value, n }));
  }

  complain(text) { this.dispatchEvent(new CustomEvent("complaint", { detail: text })); }
}
