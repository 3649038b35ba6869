// @ts-check
// The chart tab: any number in a topic's payloads over the messages that are kept.

import { count, plural, shortSpan, visible } from './format.js';
import { parseJSON } from './json-text.js';
import { payloadOf } from './payload-view.js';
import { SeriesChart, fillTable, readable } from './series-chart.js';
import { post } from './post.js';

/** @typedef {import('./socket.js').Detail} Detail */

const MAX_PATHS = 200;
const EVERY = 3000; // milliseconds between two questions while messages come

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

/** Paths to what can be drawn. @returns {string[][]} */
export function numbers(/** @type {import('./json-text.js').Json | null} */ v) {
  /** @type {string[][]} */ const out = [];
  const walk = (/** @type {import('./json-text.js').Json} */ at, /** @type {string[]} */ path) => {
    if (out.length === MAX_PATHS) return;
    if ('items' in at) {
      for (const m of at.items) walk(m.value, [...path, m.key]);
      return;
    }
    const text = at.text;
    const isNumber = at.type === 'number' || text === 'true' || text === 'false'
      || (at.type === 'string' && /^\s*(-?\d+(\.\d+)?|on|off)\s*$/i.test(text));
    if (isNumber && path.length > 0) out.push(path);
  };
  if (v) walk(v, []);
  return out;
}

export class TopicChart {
  #base;
  #topic = '';
  /** @type {string[][]} */ #paths = [];
  #chosen = '';
  #select = /** @type {HTMLSelectElement} */ (byId('chart-path'));
  #chart = new SeriesChart(byId('chart'));
  #asked = 0;
  #drawnAt = 0;
  /** @type {ReturnType<typeof setTimeout> | undefined} */ #later;

  /** @param {string} base */
  constructor(base) {
    this.#base = base;
    this.#select.addEventListener('change', () => {
      this.#chosen = this.#select.value;
      this.#load();
    });
    byId('chart-twin').addEventListener('toggle', () => this.#load());
  }

  /** The tab is shown for a topic. */
  open(/** @type {string} */ topic, /** @type {Detail} */ d) {
    this.#topic = topic;
    this.#offer(d);
    this.#load();
  }

  /** A number was chosen in the value. */
  choose(/** @type {string[]} */ path) {
    this.#chosen = JSON.stringify(path);
    this.#select.value = this.#chosen;
    this.#load();
  }

  news(/** @type {string} */ topic, /** @type {Detail} */ d) {
    if (topic !== this.#topic) return;
    this.#offer(d);
    clearTimeout(this.#later);
    this.#later = setTimeout(() => this.#load(), Math.max(0, this.#drawnAt + EVERY - performance.now()));
  }

  /** Lists the numbers that the value has. */
  #offer(/** @type {Detail} */ d) {
    const v = parseJSON(payloadOf(d.decoded ?? d.value ?? '').text);
    const paths = v && 'items' in v ? numbers(v) : [[]];
    const codes = paths.map((p) => JSON.stringify(p));
    if (codes.join() !== this.#paths.map((p) => JSON.stringify(p)).join()) {
      this.#paths = paths;
      this.#select.replaceChildren(...paths.map((p, i) => {
        const o = document.createElement('option');
        o.value = codes[i];
        o.textContent = p.length === 0 ? 'The value itself' : visible(p.join(' › '));
        return o;
      }));
    }
    // Not what every device sends beside what it measures.
    const measured = paths.findIndex((p) => !/^(battery|voltage|link_?quality|lqi|rssi)/i.test(p.at(-1) ?? ''));
    if (!codes.includes(this.#chosen)) this.#chosen = codes[Math.max(measured, 0)] ?? '';
    this.#select.value = this.#chosen;
    byId('chart-field').hidden = paths.length === 0 || (paths.length === 1 && paths[0].length === 0);
  }

  async #load() {
    const [topic, chosen] = [this.#topic, this.#chosen];
    const note = byId('chart-note');
    if (!chosen) {
      byId('chart').hidden = byId('chart-twin').hidden = true;
      note.textContent = 'There is no number in this value.';
      return;
    }
    const asked = ++this.#asked;
    this.#drawnAt = performance.now();
    const { error, data } = await post(`${this.#base}/live/topics/series`, { topic, path: JSON.parse(chosen) });
    if (asked !== this.#asked || topic !== this.#topic) return;
    const none = error !== '' || data.count === 0;
    byId('chart').hidden = byId('chart-twin').hidden = none;
    if (none) {
      note.textContent = error || 'None of the messages that are kept has a number there.';
      return;
    }
    const points = data.points.map((/** @type {number[]} */ p) => ({ age: p[0], min: p[1], max: p[2], value: p[3] }));
    const label = this.#select.selectedOptions[0]?.textContent ?? 'Value';
    const shown = { lines: [{ label: '', points }], span: data.span, format: readable };
    this.#chart.show(shown, `${label} over the last ${shortSpan(data.span)}, ${plural(data.count, 'message', 'messages')}`);
    if (/** @type {HTMLDetailsElement} */ (byId('chart-twin')).open) fillTable(byId('chart-table'), shown);
    const missed = data.missed ? `, ${count(data.missed)} without this number` : '';
    note.textContent = `${plural(data.count, 'message', 'messages')} of the last ${shortSpan(data.span)}${missed}. A topic's history begins when it is opened; keep it in the History tab to see days.`;
  }
}
