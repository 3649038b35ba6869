// @ts-check
// Draws the rows that are in sight with a few dozen elements that are moved about,
// whatever the number of rows, and asks for those that are not here. The focus stays
// on the tree itself and aria-activedescendant names the row: an element that is moved
// away could not keep it.

import { shortSpan, visible, count } from './format.js';

const ROW = 28; // px, as in 60-topics.css
const SPARE = 4; // rows drawn above and below what is in sight
const NOTICE_GAP = 60; // ms between two requests for rows

/**
 * @typedef {import('./topic-rows.js').TopicRows} Rows
 * @typedef {import('./topic-rows.js').TopicRow} TopicRow
 * @typedef {{el: HTMLElement, top: number, drawn: string, twist: HTMLElement, name: HTMLElement,
 *   folder: HTMLElement, value: HTMLElement, dot: HTMLElement, note: HTMLElement, rate: HTMLElement, age: HTMLElement}} Line
 */

export class VirtualTree {
  #el;
  #rows;
  #sizer;
  /** @type {Map<number, Line>} by the id of the row */ #shown = new Map();
  /** @type {Line[]} */ #free = [];
  /** The row that the keyboard is at. */
  active = { index: -1, id: 0 };
  selected = 0; // id
  visible = 200; // rows that the server sends at most
  #frame = 0;
  #noticeTimer = 0;
  #height = 0;
  #asked = '';
  #typed = '';
  #typedAt = 0;
  #still = matchMedia('(prefers-reduced-motion: reduce)');
  /** @type {(from: number, n: number) => void} called when other rows are wanted */ onWindow = () => {};
  /** @type {(row: TopicRow) => void} */ onSelect = () => {};
  /** @type {(row: TopicRow, open: boolean) => void} */ onFold = () => {};
  /** @type {(text: string, from: number) => void} */ onSeek = () => {};

  /** @param {HTMLElement} el with role=tree @param {Rows} rows */
  constructor(el, rows) {
    this.#el = el;
    this.#rows = rows;
    this.#sizer = document.createElement('div');
    this.#sizer.className = 'tree-sizer';
    this.#sizer.setAttribute('role', 'presentation');
    el.setAttribute('role', 'tree'); // until now it was a list
    el.setAttribute('aria-label', 'Topics');
    el.tabIndex = 0;
    el.replaceChildren(this.#sizer);
    el.addEventListener('scroll', () => this.draw(), { passive: true });
    el.addEventListener('keydown', (e) => this.#key(e));
    el.addEventListener('click', (e) => this.#click(e));
    let height = el.clientHeight;
    new ResizeObserver(() => {
      // What was chosen stays in sight when the pane with its details takes room.
      const shrunk = el.clientHeight < height;
      const at = this.active.index * ROW - el.scrollTop;
      if (shrunk && this.selected && this.active.index >= 0 && at >= 0 && at < height) this.reveal(this.active.index);
      height = el.clientHeight;
      this.draw();
    }).observe(el);
    setInterval(() => this.#ages(), 1000);
  }

  /** Draws with the next frame. */
  draw() {
    if (!this.#frame) this.#frame = requestAnimationFrame(() => this.#paint());
  }

  /** A value came in; its row shows it if it is in sight, and that there was a message if it is news. */
  changed(/** @type {TopicRow} */ row, /** @type {boolean} */ news) {
    const line = this.#shown.get(row.id);
    if (!line) return;
    this.#fillValue(line, row);
    if (news && !this.#still.matches) {
      line.dot.animate([{ opacity: 1 }, { opacity: 0 }], { duration: 900, easing: 'ease-out' });
    }
  }

  /** Makes a row the selected one; 0: none. */
  select(/** @type {number} */ id, index = -1) {
    this.selected = id;
    if (id) this.active = { index: index < 0 ? this.#rows.byID(id)?.index ?? this.active.index : index, id };
    this.draw();
  }

  /** Scrolls to a row, which may have to come yet. */
  reveal(/** @type {number} */ index) {
    this.#resize(); // folders may just have been opened
    const top = index * ROW;
    if (top < this.#el.scrollTop) this.#el.scrollTop = top;
    else if (top + ROW > this.#el.scrollTop + this.#el.clientHeight) this.#el.scrollTop = top + ROW - this.#el.clientHeight;
    this.draw();
  }

  /** The rows changed; the server may have moved to others by itself. */
  update() {
    this.#asked = `${this.#rows.from} ${this.#rows.to - this.#rows.from}`;
    const row = this.#rows.byID(this.active.id);
    if (row) this.active.index = row.index;
    this.draw();
  }

  /** Forgets what was asked for: the server does not know it. */
  forget() {
    this.#asked = '';
    this.draw();
  }

  #paint() {
    this.#frame = 0;
    this.#resize();
    const first = Math.max(0, Math.floor(this.#el.scrollTop / ROW) - SPARE);
    const last = Math.ceil((this.#el.scrollTop + this.#el.clientHeight) / ROW) + SPARE;
    /** @type {Map<number, TopicRow>} */ const wanted = new Map();
    for (let i = first; i < Math.min(last, this.#rows.all); i++) {
      const row = this.#rows.at(i);
      if (row) wanted.set(row.id, row);
    }
    for (const [id, line] of this.#shown) {
      if (wanted.has(id)) continue;
      this.#shown.delete(id);
      this.#free.push(line);
    }
    for (const row of wanted.values()) {
      let line = this.#shown.get(row.id);
      if (!line) {
        line = this.#free.pop() ?? this.#make();
        line.drawn = '';
        line.el.hidden = false;
        this.#shown.set(row.id, line);
      }
      this.#fill(line, row);
    }
    for (const line of this.#free) line.el.hidden = true;
    this.#mark();
    this.#want(first, last);
  }

  /** Asks for rows when those in sight come near the end of what was asked for. */
  #want(/** @type {number} */ first, /** @type {number} */ last) {
    const [from, n] = this.#asked.split(' ').map(Number);
    const near = (last - first) / 2;
    const held = this.#asked !== '' && (from === 0 || first - from >= near / 2) &&
      (from + n >= this.#rows.all || from + n - last >= near / 2);
    if (held || this.#noticeTimer) return;
    const size = Math.min(this.visible, Math.max(40, Math.ceil((last - first) * 2.5)));
    const start = Math.max(0, Math.round((first + last - size) / 2));
    this.#asked = `${start} ${size}`;
    this.onWindow(start, size);
    this.#noticeTimer = setTimeout(() => {
      this.#noticeTimer = 0;
      this.draw();
    }, NOTICE_GAP);
  }

  #resize() {
    const height = this.#rows.all * ROW;
    if (height !== this.#height) {
      this.#height = height;
      this.#sizer.style.height = `${height}px`;
    }
  }

  /** @returns {Line} */
  #make() {
    const el = document.createElement('div');
    el.className = 'tree-row';
    el.setAttribute('role', 'treeitem');
    const part = (/** @type {string} */ cls, /** @type {string} */ tag = 'span') => {
      const p = document.createElement(tag);
      p.className = cls;
      return p;
    };
    const twist = part('tree-twist');
    twist.setAttribute('aria-hidden', 'true');
    const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
    svg.setAttribute('class', 'icon');
    const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
    use.setAttribute('href', '#i-chevron');
    svg.append(use);
    twist.append(svg);
    const [name, folder, dot, value, note, rate, age] = [part('tree-name', 'bdi'), part('tree-count'), part('tree-dot'),
      part('tree-value', 'bdi'), part('tree-note'), part('tree-rate'), part('tree-age')];
    note.textContent = 'retained';
    rate.title = 'Messages per second';
    el.append(twist, name, folder, dot, value, note, rate, age);
    this.#sizer.append(el);
    return { el, top: -1, drawn: '', twist, name, folder, value, dot, note, rate, age };
  }

  #fill(/** @type {Line} */ line, /** @type {TopicRow} */ row) {
    const top = row.index * ROW;
    if (line.top !== top) {
      line.top = top;
      line.el.style.transform = `translateY(${top}px)`;
    }
    const drawn = `${row.id} ${row.level} ${row.pos} ${row.size} ${row.folder} ${row.open} ${row.count} ${row.name}`;
    if (line.drawn === drawn) return;
    line.drawn = drawn;
    const el = line.el;
    el.id = `t${row.id}`;
    el.setAttribute('aria-level', String(row.level));
    el.setAttribute('aria-posinset', String(row.pos));
    el.setAttribute('aria-setsize', String(row.size));
    if (row.folder) el.setAttribute('aria-expanded', String(row.open));
    else el.removeAttribute('aria-expanded');
    el.style.setProperty('--level', String(row.level - 1));
    line.name.textContent = row.name === '' ? '(empty)' : visible(row.name);
    line.name.classList.toggle('is-empty', row.name === '');
    line.folder.textContent = row.folder ? count(row.count) : '';
    this.#fillValue(line, row);
  }

  #fillValue(/** @type {Line} */ line, /** @type {TopicRow} */ row) {
    const text = row.value ? row.value.text : '';
    if (line.value.textContent !== text) line.value.textContent = text;
    line.note.hidden = !row.value?.retained;
    this.#fillAge(line, row);
  }

  #fillAge(/** @type {Line} */ line, /** @type {TopicRow} */ row) {
    const since = row.value ? performance.now() - row.value.at : 0;
    const text = row.value ? shortSpan(since) : '';
    if (line.age.textContent !== text) line.age.textContent = text;
    // A rate that nothing came for since counts no more.
    const perSecond = row.value && since < 10_000 ? row.value.rate : 0;
    const rate = perSecond >= 0.1 ? `${perSecond < 9.95 ? perSecond.toFixed(1) : Math.round(perSecond)}/s` : '';
    if (line.rate.textContent !== rate) line.rate.textContent = rate;
  }

  #ages() {
    if (document.hidden) return;
    for (const [id, line] of this.#shown) {
      const row = this.#rows.byID(id);
      if (row) this.#fillAge(line, row);
    }
  }

  /** Shows which row is active and which is selected. */
  #mark() {
    if (this.active.index >= 0 && !this.active.id) this.active.id = this.#rows.at(this.active.index)?.id ?? 0;
    for (const [id, line] of this.#shown) {
      line.el.setAttribute('aria-selected', String(id === this.selected));
      line.el.classList.toggle('is-active', id === this.active.id);
    }
    const active = this.#shown.get(this.active.id);
    if (active) this.#el.setAttribute('aria-activedescendant', active.el.id);
    else this.#el.removeAttribute('aria-activedescendant');
  }

  #click(/** @type {MouseEvent} */ e) {
    if (!(e.target instanceof Element)) return;
    const el = e.target.closest('.tree-row');
    const row = el && this.#rows.byID(Number(el.id.slice(1)));
    if (!row) return;
    this.active = { index: row.index, id: row.id };
    const twist = e.target.closest('.tree-twist');
    if (row.folder && (twist || !row.topic || row.id === this.selected)) this.onFold(row, !row.open);
    if (!twist) this.#choose(row);
    this.draw();
  }

  #choose(/** @type {TopicRow} */ row) {
    this.selected = row.id;
    this.onSelect(row);
    this.draw();
  }

  /** Moves the keyboard to a row. */
  go(/** @type {number} */ index, id = 0) {
    const to = Math.max(0, Math.min(this.#rows.all - 1, index));
    this.active = { index: to, id: id || (this.#rows.at(to)?.id ?? 0) };
    this.reveal(to);
  }

  #key(/** @type {KeyboardEvent} */ e) {
    if (e.ctrlKey || e.altKey || e.metaKey) return;
    if (this.#rows.all === 0) return;
    const at = this.active.index;
    const row = at < 0 ? null : this.#rows.at(at);
    const page = Math.max(1, Math.floor(this.#el.clientHeight / ROW) - 1);
    let to = at;
    switch (e.key) {
      case 'ArrowDown': to = at + 1; break;
      case 'ArrowUp': to = at - 1; break;
      case 'PageDown': to = at + page; break;
      case 'PageUp': to = at - page; break;
      case 'Home': to = 0; break;
      case 'End': to = this.#rows.all - 1; break;
      case 'ArrowRight':
        if (row?.folder && !row.open) this.onFold(row, true);
        else if (row?.folder) to = at + 1;
        break;
      case 'ArrowLeft':
        if (row?.folder && row.open) this.onFold(row, false);
        else if (row && row.up >= 0) to = row.up;
        break;
      case 'Enter':
      case ' ':
        if (!row) return;
        if (!row.topic && row.folder) this.onFold(row, !row.open);
        this.#choose(row);
        break;
      default:
        if (e.key.length !== 1) return;
        e.preventDefault();
        this.#typeAhead(at, e.key);
        return;
    }
    e.preventDefault();
    this.go(to);
  }

  /** Typing goes to the next row whose name begins like that. */
  #typeAhead(/** @type {number} */ at, /** @type {string} */ key) {
    const now = performance.now();
    this.#typed = now - this.#typedAt > 700 ? key : this.#typed + key;
    this.#typedAt = now;
    this.onSeek(this.#typed, this.#typed.length === 1 ? at + 1 : Math.max(0, at));
  }
}
