// @ts-check
// The pane beside the tree: all that is known of the selected topic.

import { ago, bytes, count, plural, rate, visible } from './format.js';
import { FORMS, PayloadView, payloadOf } from './payload-view.js';
import { TopicChart } from './topic-chart.js';
import { TopicHistory } from './topic-history.js';
import { showWho } from './topic-who.js';
import { base64url, copyText, post } from './post.js';

/**
 * @typedef {import('./socket.js').Detail} Detail
 * @typedef {import('./payload-view.js').Payload} Payload
 */

const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));

export class TopicDetail {
  #base;
  #pane = byId('topics-detail');
  #value = new PayloadView(byId('detail-value'));
  #previous = new PayloadView(byId('detail-previous-value'));
  #previousBox = /** @type {HTMLDetailsElement} */ (byId('detail-previous'));
  #modes = byId('detail-modes');
  #tabs = /** @type {HTMLButtonElement[]} */ ([...byId('detail-tabs').querySelectorAll('button')]);
  #history;
  #chart;
  /** @type {Map<string, HTMLElement>} */ #facts = new Map();
  /** @type {Detail | null} */ #detail = null;
  /** @type {Detail | null} the whole value, once it was asked for */ #all = null;
  #form = '';
  #tab = 'value';
  #at = 0;
  topic = '';
  onClose = () => {};
  /** @type {(topic: string) => void} called when the whole name of the selected topic is known */ onTopic = () => {};
  /** @type {(form: string) => void} */ onForm = () => {};
  /** @type {(filter: string) => void} called to show nothing but what a filter matches */ onOnly = () => {};

  /** @param {string} base */
  constructor(base) {
    this.#base = base;
    this.#history = new TopicHistory(base);
    this.#chart = new TopicChart(base);
    this.#value.onNumber = (path) => {
      this.#open('chart');
      this.#chart.choose(path);
    };
    this.#modes.addEventListener('click', (e) => {
      const b = e.target instanceof Element && e.target.closest('button');
      if (b instanceof HTMLButtonElement) this.#choose(b.dataset.mode ?? '');
    });
    for (const t of this.#tabs) t.addEventListener('click', () => this.#open(t.dataset.tab ?? 'value'));
    byId('detail-tabs').addEventListener('keydown', (e) => this.#tabKey(e));
    this.#previousBox.addEventListener('toggle', () => this.#drawPrevious());
    byId('detail-close').addEventListener('click', () => this.onClose());
    byId('detail-all').addEventListener('click', () => this.#showAll());
    byId('detail-download').addEventListener('submit', () => {
      const t = byId('detail-download').querySelector('[name=t]');
      if (t instanceof HTMLInputElement) t.value = base64url(this.topic);
    });
    byId('detail-folder-retained').addEventListener('submit', () => {
      const q = byId('detail-folder-retained').querySelector('input');
      if (q) q.value = `${this.topic}/#`;
    });
    byId('detail-folder-only').addEventListener('click', () => this.onOnly(`${this.topic}/#`));
    this.#copies('detail-copy-topic', () => this.topic);
    this.#copies('detail-copy-value', () => this.#copyable());
    this.#copies('detail-link', () => location.href);
    setInterval(() => { if (!document.hidden) this.#times(); }, 1000);
  }

  /** What is shown, for those who send it again. */
  get current() {
    return this.#all ?? this.#detail;
  }

  /** The selection changed; what is known follows with show. */
  expect(/** @type {string} */ path) {
    this.#detail = this.#all = null;
    this.#form = '';
    this.#value.clear();
    this.#previous.clear();
    this.topic = path;
    this.#visible(true);
    byId('detail-topic').textContent = visible(path) || '(empty)';
    byId('detail-badges').replaceChildren();
    byId('detail-live').hidden = byId('detail-folder').hidden = true;
  }

  close() {
    this.#detail = this.#all = null;
    this.#visible(false);
  }

  /** The topic was forgotten by the server to make room. */
  gone() {
    byId('detail-badges').replaceChildren(badge('warning', 'Forgotten to make room; it returns with its next message'));
  }

  #visible(/** @type {boolean} */ on) {
    byId('detail').hidden = !on;
    byId('detail-none').hidden = on;
    this.#pane.classList.toggle('is-open', on);
  }

  /** Says how many topics are below the selected one. */
  below(/** @type {number} */ n) {
    // A line break in a hidden field would arrive as another one.
    const shown = n > 0 && this.#detail !== null && !/[\r\n]/.test(this.topic);
    byId('detail-folder').hidden = !shown;
    if (shown) byId('detail-folder-count').textContent = `${plural(n, 'topic', 'topics')} below it`;
  }

  show(/** @type {Detail} */ d) {
    const first = this.#detail === null;
    const news = this.#detail?.seq !== d.seq;
    this.#detail = d;
    this.#at = performance.now();
    this.topic = payloadOf(d.topic).text;
    if (first) this.onTopic(this.topic);
    byId('detail-topic').textContent = visible(this.topic) || '(empty)';
    const isTopic = d.value !== undefined;
    byId('detail-live').hidden = !isTopic;
    this.#pane.classList.toggle('is-folder', !isTopic);
    if (!isTopic) {
      byId('detail-badges').replaceChildren(badge('neutral', 'Folder: no message has this topic itself'));
      return;
    }
    if (news) this.#all = null;
    const badges = [badge('neutral', `QoS ${d.qos}`)];
    if (d.retained) badges.unshift(badge('info', 'Retained'));
    if (d.pinned) badges.push(badge('success', 'History kept'));
    byId('detail-badges').replaceChildren(...badges);
    const clear = document.getElementById('detail-clear');
    if (clear) clear.hidden = !d.retained;
    this.#draw();
    this.#drawPrevious();
    this.#properties(d.props ?? []);
    this.#times();
    if (first) this.#open(this.#tab);
    this.#history.news(this.topic, d.seq, d.pinned === 1);
    if (this.#tab === 'chart') this.#chart.news(this.topic, d);
  }

  /** The rate alone has changed. */
  rate(/** @type {number} */ perSecond) {
    if (!this.#detail) return;
    this.#detail.rate = perSecond;
    this.#times();
  }

  #choose(/** @type {string} */ form) {
    this.#form = form;
    this.onForm(form);
    this.#draw();
    this.#drawPrevious();
  }

  #draw() {
    const d = this.current;
    if (!d) return;
    const before = this.#detail?.prev === undefined ? null : payloadOf(this.#detail.prev);
    const shown = this.#value.showDetail(d, this.#form, before);
    this.#drawModes(d.forms ?? [], shown);
    byId('detail-size').textContent = bytes(d.size);
    const cut = d.kept < d.size;
    byId('detail-cut').hidden = !cut;
    byId('detail-all').hidden = this.#detail?.whole !== 1 && this.#detail?.retained !== 1;
    byId('detail-cut-text').textContent = cut ? `Showing the first ${bytes(d.kept)} of ${bytes(d.size)}.`
      + (byId('detail-all').hidden ? ' The rest was not kept; of the next message all is, while this topic is open.' : '') : '';
  }

  #drawModes(/** @type {string[]} */ forms, /** @type {string} */ shown) {
    const key = forms.join(' ');
    if (this.#modes.dataset.forms !== key) {
      this.#modes.dataset.forms = key;
      this.#modes.replaceChildren(...forms.map((f) => {
        const b = document.createElement('button');
        b.type = 'button';
        b.dataset.mode = f;
        b.textContent = FORMS[f] ?? f;
        return b;
      }));
    }
    for (const b of this.#modes.querySelectorAll('button')) b.setAttribute('aria-pressed', String(b.dataset.mode === shown));
    this.#modes.hidden = forms.length === 0;
  }

  async #showAll() {
    const topic = this.topic;
    const { error, data } = await post(`${this.#base}/topics/sample`, { topic, seq: 0, form: this.#form });
    if (topic !== this.topic) return;
    if (error || data.kept < data.size) {
      byId('detail-cut-text').textContent = error || 'The rest of this message was not kept.';
      byId('detail-all').hidden = true;
      return;
    }
    this.#all = data;
    this.#draw();
  }

  #drawPrevious() {
    const d = this.#detail;
    if (!d) return;
    const box = this.#previousBox;
    box.hidden = d.prevSize === undefined;
    if (box.hidden || !box.open) return;
    if (d.prev === undefined) {
      this.#previous.show({ text: 'Too large to be kept here; look in the history.', bytes: () => new Uint8Array() }, 'text', null);
      return;
    }
    const form = this.#form || (d.forms ?? ['text'])[0];
    this.#previous.show(payloadOf(d.prev), d.prevSize === 0 ? 'empty' : form in FORMS ? form : 'text', null);
  }

  #open(/** @type {string} */ tab) {
    this.#tab = tab;
    for (const t of this.#tabs) {
      const on = t.dataset.tab === tab;
      t.setAttribute('aria-selected', String(on));
      t.tabIndex = on ? 0 : -1;
      byId(`panel-${t.dataset.tab}`).hidden = !on;
    }
    if (!this.#detail || this.#detail.value === undefined) return;
    if (tab === 'history') this.#history.open(this.topic);
    if (tab === 'chart') this.#chart.open(this.topic, this.#detail);
    if (tab === 'who') this.#who();
  }

  #tabKey(/** @type {KeyboardEvent} */ e) {
    const at = this.#tabs.findIndex((t) => t.dataset.tab === this.#tab);
    const last = this.#tabs.length - 1;
    const to = { ArrowLeft: at === 0 ? last : at - 1, ArrowRight: at === last ? 0 : at + 1, Home: 0, End: last }[e.key];
    if (to === undefined) return;
    e.preventDefault();
    this.#tabs[to].focus();
    this.#open(this.#tabs[to].dataset.tab ?? 'value');
  }

  async #who() {
    const topic = this.topic;
    const { error, data } = await post(`${this.#base}/topics/who`, { topic });
    if (topic !== this.topic) return;
    if (error) byId('panel-who').textContent = error;
    else showWho(byId('panel-who'), data);
  }

  #properties(/** @type {[string, string][]} */ props) {
    const list = byId('detail-props');
    list.hidden = props.length === 0;
    list.replaceChildren(...props.flatMap(([name, value]) => {
      const dt = document.createElement('dt');
      dt.textContent = visible(name);
      const dd = document.createElement('dd');
      dd.textContent = visible(value);
      return [dt, dd];
    }));
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
    this.#fact('History', d.history > 1 ? plural(d.history, 'message', 'messages') : '');
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
    const d = this.current;
    if (!d) return '';
    const p = payloadOf(d.value ?? '');
    if (d.kind !== 'binary') return p.text;
    return [...p.bytes()].map((b) => b.toString(16).padStart(2, '0')).join('');
  }

  #copies(/** @type {string} */ id, /** @type {() => string} */ what) {
    const button = /** @type {HTMLButtonElement} */ (byId(id));
    const idle = button.title;
    button.addEventListener('click', async () => {
      const done = await copyText(what(), button);
      const d = this.current;
      const part = id === 'detail-copy-value' && d && d.kept < d.size;
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
  b.className = `badge badge-${kind}`;
  b.textContent = text;
  return b;
}
