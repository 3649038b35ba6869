// @ts-check
// The pane beside the tree: all that is known of the selected topic.

import { ago, bytes, count, plural, rate, visible } from './format.js';
import { PayloadView, payloadOf } from './payload-view.js';

/**
 * @typedef {import('./socket.js').Detail} Detail
 * @typedef {import('./payload-view.js').Mode} Mode
 * @typedef {import('./payload-view.js').Payload} Payload
 */

/** @type {Record<string, Mode>} */
const BEST = { json: 'json', text: 'text', binary: 'hex', empty: 'empty' };

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class TopicDetail {
  #pane = byId('topics-detail');
  #value = new PayloadView(byId('detail-value'));
  #previous = new PayloadView(byId('detail-previous-value'));
  #previousBox = /** @type {HTMLDetailsElement} */ (byId('detail-previous'));
  #modes = /** @type {HTMLButtonElement[]} */ ([...document.querySelectorAll('.detail-modes button')]);
  /** @type {Map<string, HTMLElement>} */ #facts = new Map();
  /** @type {Detail | null} */ #detail = null;
  /** @type {Payload | null} */ #payload = null;
  /** @type {Payload | null} */ #before = null;
  /** @type {Mode | null} */ #chosen = null;
  #at = 0;
  topic = '';
  onClose = () => {};
  /** @type {(path: string) => void} */ onTopic = () => {};

  constructor() {
    for (const b of this.#modes) {
      b.addEventListener('click', () => {
        this.#chosen = /** @type {Mode} */ (b.dataset.mode);
        this.#draw();
      });
    }
    this.#previousBox.addEventListener('toggle', () => this.#drawPrevious());
    byId('detail-close').addEventListener('click', () => this.onClose());
    this.#copies('detail-copy-topic', () => this.topic);
    this.#copies('detail-copy-value', () => this.#copyable());
    setInterval(() => { if (!document.hidden) this.#times(); }, 1000);
  }

  /** The selection changed; what is known follows with show. */
  expect(/** @type {string} */ path) {
    this.#detail = null;
    this.#chosen = null;
    this.#value.clear();
    this.#previous.clear();
    this.topic = path;
    this.#open(true);
    byId('detail-topic').textContent = visible(path) || '(empty)';
    byId('detail-badges').replaceChildren();
    byId('detail-live').hidden = true;
    this.onTopic(path);
  }

  close() {
    this.#detail = null;
    this.#open(false);
  }

  /** The topic was forgotten by the server to make room. */
  gone() {
    byId('detail-badges').replaceChildren(badge('warning', 'Forgotten to make room; it returns with its next message'));
  }

  #open(/** @type {boolean} */ on) {
    byId('detail').hidden = !on;
    byId('detail-none').hidden = on;
    this.#pane.classList.toggle('is-open', on);
  }

  show(/** @type {Detail} */ d) {
    this.#detail = d;
    this.#at = performance.now();
    this.topic = payloadOf(d.topic).text;
    byId('detail-topic').textContent = visible(this.topic) || '(empty)';
    const isTopic = d.value !== undefined;
    byId('detail-live').hidden = !isTopic;
    if (!isTopic) {
      byId('detail-badges').replaceChildren(badge('', 'Folder: no message has this topic itself'));
      return;
    }
    const badges = [badge('', `QoS ${d.qos}`)];
    if (d.retained) badges.unshift(badge('info', 'Retained'));
    byId('detail-badges').replaceChildren(...badges);
    this.#payload = payloadOf(d.value ?? '');
    this.#before = d.prev === undefined ? null : payloadOf(d.prev);
    byId('detail-size').textContent = bytes(d.size);
    const cut = byId('detail-cut');
    cut.hidden = d.kept >= d.size;
    cut.textContent = cut.hidden ? '' : `Showing the first ${bytes(d.kept)} of ${bytes(d.size)}.`;
    const clear = document.getElementById('detail-clear');
    if (clear) clear.hidden = !d.retained;
    this.#draw();
    this.#drawPrevious();
    this.#times();
  }

  /** The rate alone has changed. */
  rate(/** @type {number} */ perSecond) {
    if (!this.#detail) return;
    this.#detail.rate = perSecond;
    this.#times();
  }

  #draw() {
    const d = this.#detail;
    if (!d || !this.#payload) return;
    const best = BEST[d.kind ?? 'text'];
    const mode = best === 'empty' ? 'empty' : this.#chosen ?? best;
    const shown = this.#value.show(this.#payload, mode, this.#before);
    for (const b of this.#modes) {
      b.setAttribute('aria-pressed', String(b.dataset.mode === shown));
      b.disabled = best === 'empty' || (b.dataset.mode === 'json' && best !== 'json');
    }
  }

  #drawPrevious() {
    const d = this.#detail;
    if (!d) return;
    const box = this.#previousBox;
    box.hidden = d.prevSize === undefined;
    if (box.hidden || !box.open) return;
    if (!this.#before) {
      this.#previous.show({ text: 'Too large to be kept.', bytes: () => new Uint8Array() }, 'text', null);
      return;
    }
    const best = BEST[d.kind ?? 'text'];
    this.#previous.show(this.#before, d.prevSize === 0 ? 'empty' : this.#chosen ?? (best === 'empty' ? 'text' : best), null);
  }

  #times() {
    const d = this.#detail;
    if (!d || d.value === undefined) return;
    const since = performance.now() - this.#at;
    this.#fact('Last message', ago(d.age + since));
    this.#fact('Messages', d.count === 0 ? 'none since HearthMQ started' : `${count(d.count)} (${bytes(d.bytes)})`);
    this.#fact('Rate', d.count > 1 ? rate(d.rate, d.every) : '–');
    this.#fact('Sent by', visible(d.client) || (this.topic.startsWith('$SYS/') ? 'HearthMQ' : 'unknown'));
    this.#fact('User', visible(d.user));
    this.#fact('From', d.remote);
    if (d.prevSize !== undefined) {
      byId('detail-previous-label').textContent =
        `Previous value, ${ago((d.prevAge ?? 0) + since)}, ${bytes(d.prevSize)}`;
    }
  }

  #fact(/** @type {string} */ name, /** @type {string} */ text) {
    let dd = this.#facts.get(name);
    if (!dd) {
      const dt = document.createElement('dt');
      dt.textContent = name;
      dd = document.createElement('dd');
      byId('detail-facts').append(dt, dd);
      this.#facts.set(name, dd);
    }
    if (dd.textContent !== text) dd.textContent = text;
    // What is not known takes no room.
    const dt = dd.previousElementSibling;
    if (dt instanceof HTMLElement) dt.hidden = dd.hidden = text === '';
  }

  /** The value as text; bytes that are no text in hexadecimal. */
  #copyable() {
    if (!this.#payload) return '';
    if (this.#detail?.kind !== 'binary') return this.#payload.text;
    return [...this.#payload.bytes()].map((b) => b.toString(16).padStart(2, '0')).join('');
  }

  #copies(/** @type {string} */ id, /** @type {() => string} */ what) {
    const button = /** @type {HTMLButtonElement} */ (byId(id));
    const idle = button.title;
    button.addEventListener('click', async () => {
      const done = await copyText(what(), button);
      const part = id === 'detail-copy-value' && this.#detail && this.#detail.kept < this.#detail.size;
      button.title = !done ? 'The browser does not allow copying here' : part ? 'Copied what is shown: the beginning' : 'Copied';
      button.classList.add(done ? 'is-done' : 'is-failed');
      byId('topics-status').textContent = button.title;
      setTimeout(() => {
        button.title = idle;
        button.classList.remove('is-done', 'is-failed');
      }, 1500);
    });
  }
}

/** Says how many topics a filter found or the tree has. */
export function topicCount(/** @type {number} */ n) {
  return plural(n, 'topic', 'topics');
}

function badge(/** @type {string} */ kind, /** @type {string} */ text) {
  const b = document.createElement('span');
  b.className = kind ? `badge badge-${kind}` : 'badge';
  b.textContent = text;
  return b;
}

/** Copies text, also where the page is not a secure context (plain HTTP on the LAN). */
async function copyText(/** @type {string} */ text, /** @type {Element} */ near) {
  try {
    if (navigator.clipboard && isSecureContext) {
      await navigator.clipboard.writeText(text);
      return true;
    }
  } catch {
    // a frame may not have the permission: the old way is left
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'visually-hidden';
  near.after(area);
  area.select();
  const done = document.execCommand('copy');
  area.remove();
  return done;
}
