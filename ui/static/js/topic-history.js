// @ts-check
// The history tab: the messages that are kept of a topic, any two compared.

import { ago, bytes, count, visible } from './format.js';
import { PayloadView, payloadOf } from './payload-view.js';
import { showDiff } from './payload-diff.js';
import { when } from './series-chart.js';
import { post } from './post.js';

/**
 * @typedef {{seq: number, age: number, size: number, qos: number, retain: boolean, client: string, user: string, text: string}} Sample
 * @typedef {import('./socket.js').Detail} Detail
 */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class TopicHistory {
  #base;
  #topic = '';
  #rows = byId('history-rows');
  #pin = /** @type {HTMLInputElement} */ (byId('history-pin'));
  #view = new PayloadView(byId('history-value'));
  #modes = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll('#history-modes button')]);
  #show = 'diff';
  /** @type {Sample[]} newest first */ #samples = [];
  #total = 0;
  #old = 0;
  #new = 0;
  #newest = 0;
  #asked = 0;
  /** @type {Map<number, Detail>} */ #whole = new Map();

  /** @param {string} base */
  constructor(base) {
    this.#base = base;
    for (const b of this.#modes) {
      b.addEventListener('click', () => {
        this.#show = b.dataset.show ?? 'diff';
        this.#compare();
      });
    }
    byId('history-more').addEventListener('click', () => this.#load(this.#samples[this.#samples.length - 1]?.seq ?? 0));
    byId('history-fresh').addEventListener('click', () => this.#load(0));
    this.#pin.addEventListener('change', () => this.#setPin());
    this.#rows.addEventListener('change', (e) => {
      const input = e.target;
      if (!(input instanceof HTMLInputElement)) return;
      if (input.name === 'history-old') this.#old = Number(input.value);
      else this.#new = Number(input.value);
      this.#compare();
    });
  }

  /** The tab is shown for a topic. */
  open(/** @type {string} */ topic) {
    if (topic !== this.#topic) {
      this.#topic = topic;
      this.#samples = [];
      this.#whole.clear();
      this.#old = this.#new = 0;
      this.#problem('');
      this.#draw();
    }
    this.#load(0);
  }

  /** There is a newer message, or it is pinned now. */
  news(/** @type {string} */ topic, /** @type {number} */ seq, /** @type {boolean} */ pinned) {
    if (topic !== this.#topic) return;
    this.#newest = seq;
    if (document.activeElement !== this.#pin) this.#pin.checked = pinned;
    byId('history-fresh').hidden = this.#samples.length === 0 || seq <= this.#samples[0].seq;
  }

  async #load(/** @type {number} */ before) {
    const topic = this.#topic;
    const asked = ++this.#asked;
    const { error, data } = await post(`${this.#base}/live/topics/history`, { topic, seq: before });
    if (topic !== this.#topic || asked !== this.#asked) return;
    this.#problem(error);
    if (error) return;
    this.#samples = before ? [...this.#samples, ...data.samples] : data.samples;
    this.#total = data.total;
    this.#pin.checked = data.pinned;
    const seqs = this.#samples.map((s) => s.seq);
    if (!seqs.includes(this.#new)) this.#new = seqs[0] ?? 0;
    if (!seqs.includes(this.#old)) this.#old = seqs[seqs.indexOf(this.#new) + 1] ?? 0;
    byId('history-fresh').hidden = true;
    this.#draw();
    this.#compare();
  }

  async #setPin() {
    const on = this.#pin.checked;
    const { error } = await post(`${this.#base}/topics/pin`, { topic: this.#topic, on });
    this.#problem(error);
    if (error) this.#pin.checked = !on;
  }

  #problem(/** @type {string} */ text) {
    byId('history-problem').textContent = text;
    byId('history-problem').hidden = text === '';
  }

  #draw() {
    this.#rows.replaceChildren(...this.#samples.map((s) => this.#row(s)));
    const rest = this.#total - this.#samples.length;
    byId('history-count').textContent = this.#samples.length === 0 ? '' : `${count(this.#samples.length)} of ${count(this.#total)} kept messages`;
    byId('history-more').hidden = rest <= 0 || this.#samples.length === 0;
  }

  #row(/** @type {Sample} */ s) {
    const tr = document.createElement('tr');
    for (const [name, chosen, label] of /** @type {[string, number, string][]} */ ([['history-old', this.#old, 'old'], ['history-new', this.#new, 'new']])) {
      const td = document.createElement('td');
      const input = document.createElement('input');
      input.type = 'radio';
      input.name = name;
      input.value = String(s.seq);
      input.checked = s.seq === chosen;
      input.setAttribute('aria-label', `Compare as the ${label} one: ${ago(s.age)}`);
      td.append(input);
      tr.append(td);
    }
    const at = document.createElement('td');
    at.className = 'num';
    at.textContent = when(s.age);
    at.title = [`QoS ${s.qos}`, s.retain ? 'retained' : '', s.client ? `from ${visible(s.client)}` : ''].filter(Boolean).join(', ');
    const size = document.createElement('td');
    size.className = 'num';
    size.textContent = bytes(s.size);
    const text = document.createElement('td');
    const inside = document.createElement('bdi');
    inside.className = 'history-text';
    inside.textContent = s.text || '(empty)';
    text.append(inside);
    tr.append(at, size, text);
    return tr;
  }

  /** @returns {Promise<Detail | null>} */
  async #get(/** @type {number} */ seq) {
    const known = this.#whole.get(seq);
    if (known || seq === 0) return known ?? null;
    const { error, data } = await post(`${this.#base}/topics/sample`, { topic: this.#topic, seq });
    this.#problem(error);
    if (error) return null;
    if (this.#whole.size > 20) this.#whole.clear();
    this.#whole.set(seq, data);
    return data;
  }

  async #compare() {
    const [topic, old, neu] = [this.#topic, this.#old, this.#new];
    byId('history-compare').hidden = neu === 0;
    for (const b of this.#modes) {
      b.setAttribute('aria-pressed', String(b.dataset.show === this.#show));
      b.disabled = old === 0 && b.dataset.show !== 'new';
    }
    if (neu === 0) return;
    const [a, b] = await Promise.all([this.#get(old), this.#get(neu)]);
    if (topic !== this.#topic || old !== this.#old || neu !== this.#new || !b) return;
    const into = byId('history-value');
    const one = this.#show === 'old' && a ? a : b;
    byId('history-title').textContent = a && this.#show === 'diff' ? `${when(a.age)} → ${when(b.age)}` : when(one.age);
    if (a && this.#show === 'diff') {
      this.#view.clear();
      const decoded = (/** @type {Detail} */ d) => payloadOf(d.decoded ?? d.value ?? '');
      const binary = (a.kind === 'binary' && a.decoded === undefined) || (b.kind === 'binary' && b.decoded === undefined);
      showDiff(into, decoded(a), decoded(b), binary);
      return;
    }
    this.#view.showDetail(one, '', null);
  }
}
