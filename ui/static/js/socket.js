// @ts-check
// The live feed's WebSocket: connects, connects again, and knows when it is dead.

/** No frame for this long means the connection is dead; the server sends one every 20 s. */
const SILENCE = 45_000;
/** A sign of life for the server, which gives up after 90 s. */
const HERE = 30_000;

/**
 * @typedef {{from: number, to: number, all: number, topics: number,
 *   rows: [number, number, number, number, number, number, number, number, string][]}} List
 * @typedef {{hello?: {version: string, visible: number}, bye?: string, list?: List,
 *   val?: [number, string, number, number, number, number][], match?: Match, at?: [number, number, number, number],
 *   opened?: [number, string][], gone?: boolean, detail?: Detail, rate?: number,
 *   totals?: {topics: number, limit: number, evicted: number, unseen: number}}} Frame
 * @typedef {{filter: string, count: number, problem?: string}} Match
 * @typedef {string | {b64: string}} Text
 * @typedef {{id: number, topic: Text, kind?: string, value?: Text, size: number, kept: number, qos: number, retained: number,
 *   count: number, bytes: number, age: number, rate: number, every: number, client: string, user: string, remote: string,
 *   prevSize?: number, prevAge?: number, prev?: Text, forms?: string[], decodedForm?: string, decoded?: Text, decodedLong?: number,
 *   history: number, seq: number, pinned: number, whole: number, props?: [string, string][]}} Detail
 * @typedef {'connecting' | 'live' | 'lost' | 'login' | 'full'} State
 */

export class FeedSocket {
  /** @type {WebSocket | null} */ #ws = null;
  #url;
  #onFrame;
  #onState;
  #tries = 0;
  #greeted = false;
  #ended = '';
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #retry;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #silence;
  received = 0; // characters, for those who measure

  /**
   * @param {string} path of the socket, on this host
   * @param {(frame: Frame) => void} onFrame
   * @param {(state: State) => void} onState 'live' comes before the first frame
   */
  constructor(path, onFrame, onState) {
    this.#url = new URL(path, location.href);
    this.#url.protocol = location.protocol === 'https:' ? 'wss:' : 'ws:';
    this.#onFrame = onFrame;
    this.#onState = onState;
    setInterval(() => this.send({ here: true }), HERE);
    // A phone that wakes up should not wait for the next try.
    addEventListener('online', () => this.#now());
    document.addEventListener('visibilitychange', () => { if (!document.hidden) this.#now(); });
    this.#connect();
  }

  /** Sends a request; it is lost when there is no connection. */
  send(/** @type {object} */ request) {
    if (this.#greeted && this.#ws?.readyState === WebSocket.OPEN) this.#ws.send(JSON.stringify(request));
  }

  #now() {
    if (this.#ws || this.#ended === 'login') return;
    clearTimeout(this.#retry);
    this.#tries = 0;
    this.#connect();
  }

  #connect() {
    const ws = new WebSocket(this.#url);
    this.#ws = ws;
    this.#greeted = false;
    this.#ended = '';
    this.#alive();
    ws.onmessage = (e) => {
      this.#alive();
      this.received += e.data.length;
      this.#take(JSON.parse(e.data));
    };
    ws.onclose = () => { if (this.#ws === ws) this.#lost(); };
  }

  #take(/** @type {Frame} */ frame) {
    if (frame.bye) {
      this.#ended = frame.bye;
      return; // the close follows
    }
    if (frame.hello) {
      // Proxies open a socket before they know whether the server wants it:
      // only this says that somebody is there.
      this.#greeted = true;
      this.#tries = 0;
      this.#onState('live');
    }
    this.#onFrame(frame);
  }

  #alive() {
    clearTimeout(this.#silence);
    this.#silence = setTimeout(() => this.#ws?.close(), SILENCE);
  }

  #lost() {
    clearTimeout(this.#silence);
    this.#ws = null;
    this.#greeted = false;
    if (this.#ended === 'login') {
      this.#onState('login');
      return;
    }
    this.#onState(this.#ended === 'full' ? 'full' : 'lost');
    const longest = Math.min(15_000, 500 * 2 ** this.#tries++);
    this.#retry = setTimeout(() => this.#connect(), longest * (0.5 + Math.random() / 2));
  }
}
